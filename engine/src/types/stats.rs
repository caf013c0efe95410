/// Counters of one container. Zero where the kernel has no such counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStats {
    /// Of which container.
    pub id: String,
    /// When they were read, in nanoseconds since 1970.
    pub timestamp: i64,
    /// CPU time since it began.
    pub cpu_usage_ns: u64,
    /// Memory in use, with page cache.
    pub memory_usage_bytes: u64,
    /// Memory in use less inactive file cache.
    pub memory_working_set_bytes: u64,
    /// Anonymous memory.
    pub memory_rss_bytes: u64,
    /// Page faults.
    pub memory_page_faults: u64,
    /// Page faults that read from disk.
    pub memory_major_page_faults: u64,
    /// Limit; 0: none.
    pub memory_limit_bytes: u64,
    /// Swap in use.
    pub swap_usage_bytes: u64,
    /// Limit of swap; 0: none.
    pub swap_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// What its writable layer takes on disk.
    pub writable_layer: FsUsage,
}

/// What a directory tree takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsUsage {
    /// Bytes.
    pub bytes: u64,
    /// Files, directories and other inodes.
    pub inodes: u64,
}

/// Counters of one network interface of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Name inside the sandbox.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Errors on receipt.
    pub rx_errors: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Errors on sending.
    pub tx_errors: u64,
}
