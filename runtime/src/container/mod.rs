//! A container by its state on disk, and the operations on it, a file each.

mod create;
mod delete;
mod exec;
mod kill;
mod listener;
mod record;
mod start;
mod status;
mod watch;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, Spec};

pub use status::Status;

use crate::{CreateRequest, Error, ExecRequest, Started};
use record::Record;

/// Counters of a container's cgroup; zero where the controller is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time used, user and system.
    pub cpu_usage_ns: u64,
    /// Memory charged, page cache included.
    pub memory_usage_bytes: u64,
    /// Memory charged less inactive file cache, as the kubelet computes the working set.
    pub memory_working_set_bytes: u64,
    /// Anonymous memory.
    pub memory_rss_bytes: u64,
    /// Page faults, minor and major.
    pub memory_page_faults: u64,
    /// Page faults that read from disk.
    pub memory_major_page_faults: u64,
    /// The limit; 0: none.
    pub memory_limit_bytes: u64,
    /// Swap used.
    pub swap_usage_bytes: u64,
    /// The limit of swap alone; 0: none.
    pub swap_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// A container that exists, by its state under the runtime's root.
#[derive(Debug)]
pub struct Container {
    /// `<root>/<id>`.
    directory: PathBuf,
    record: Record,
}

impl Container {
    /// Makes a container up to, and not including, the user's program. Its first process is a child of the caller.
    pub fn create(req: CreateRequest<'_>) -> Result<(Container, Started), Error> {
        create::create(req)
    }

    /// The container `id` under `root`.
    pub fn load(root: &Path, id: &str) -> Result<Container, Error> {
        record::check_id(id)?;
        let directory = root.join(id);
        let record = Record::read(&directory, id)?;
        Ok(Container { directory, record })
    }

    /// All containers under `root`, by name. What is no container's state is passed over.
    pub fn list(root: &Path) -> Result<Vec<Container>, Error> {
        let entries = match std::fs::read_dir(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(|error| Error::file("read", root, error))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut containers: Vec<_> = names.filter_map(|id| Container::load(root, &id).ok()).collect();
        containers.sort_by(|one, other| one.id().cmp(other.id()));
        Ok(containers)
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its first process in the PID namespace of whoever made it; 0 before there is one.
    pub fn pid(&self) -> i32 {
        self.record.pid
    }

    /// Its bundle directory, absolute.
    pub fn bundle(&self) -> &Path {
        &self.record.bundle
    }

    /// Its root directory on the host, as the configuration names it.
    pub fn rootfs(&self) -> &Path {
        &self.record.rootfs
    }

    /// When it was made, RFC 3339 in UTC.
    pub fn created(&self) -> &str {
        &self.record.created
    }

    /// Who made it, a user id.
    pub fn owner(&self) -> u32 {
        self.record.owner
    }

    /// The configuration that it was made from.
    pub fn spec(&self) -> Result<Spec, Error> {
        crate::spec::read(&self.directory.join(crate::spec::CONFIG))
    }

    /// Runs a further process in the container, as a child of the caller.
    pub fn exec(&self, req: ExecRequest<'_>) -> Result<Started, Error> {
        exec::exec(self, req)
    }

    /// Changes the limits of the container's cgroup; absent fields stay as they are.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        match self.status()? {
            Status::Stopped | Status::Creating => Err(self.wrong_state("update")),
            _ => self.record.cgroup.update(resources),
        }
    }

    /// Counters of the container's cgroup.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.record.cgroup.stats()
    }

    /// How many of the container's processes the kernel has killed for memory.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        self.record.cgroup.oom_kills()
    }

    /// The processes of the container's cgroup, in the caller's PID namespace.
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        self.record.cgroup.processes()
    }

    fn wrong_state(&self, operation: &'static str) -> Error {
        let status = self.status().unwrap_or(Status::Stopped);
        Error::WrongState { id: self.record.id.clone(), operation, status }
    }
}
