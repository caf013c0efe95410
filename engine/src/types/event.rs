/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A sandbox became ready.
    SandboxCreated,
    /// A sandbox is ready no more.
    SandboxStopped,
    /// A sandbox is gone.
    SandboxDeleted,
    /// A container was made.
    ContainerCreated,
    /// A container's program began.
    ContainerStarted,
    /// A container's program ended.
    ContainerStopped,
    /// A container is gone.
    ContainerDeleted,
    /// The kernel killed a process of a container for memory.
    ContainerOom,
}

/// A change; state is to be read again, events only wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which sandbox.
    pub sandbox_id: String,
    /// To which container; empty for events of the sandbox itself.
    pub container_id: String,
    /// When, in nanoseconds since 1970.
    pub timestamp: i64,
}
