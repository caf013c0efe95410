//! A container by its state on disk.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxResources, State};

use crate::{CreateRequest, Error, ExecRequest, Started};

/// Where a container is in its life, after the runtime specification's "State" with runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; the program waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

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
    id: String,
    pid: i32,
    bundle: PathBuf,
}

impl Container {
    /// Makes a container up to, and not including, the user's program. Its first process is a child of the caller.
    pub fn create(req: CreateRequest<'_>) -> Result<(Container, Started), Error> {
        Err(Error::NotFound {
            id: req.id.to_owned(),
        })
    }

    /// The container `id` under `root`.
    pub fn load(_root: &Path, id: &str) -> Result<Container, Error> {
        Err(Error::NotFound { id: id.to_owned() })
    }

    /// All containers under `root`.
    pub fn list(_root: &Path) -> Result<Vec<Container>, Error> {
        Ok(Vec::new())
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its first process in the PID namespace of whoever made it; 0 before there is one.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its bundle directory, absolute.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Where it is in its life, asked of the kernel now.
    pub fn status(&self) -> Result<Status, Error> {
        Ok(Status::Stopped)
    }

    /// The state as the runtime specification has it; a paused container is `running` there.
    pub fn state(&self) -> Result<State, Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Lets a created container run its program.
    pub fn start(&mut self) -> Result<(), Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Sends a signal to the first process, or with `all` to every process of the container.
    pub fn kill(&self, _signal: i32, _all: bool) -> Result<(), Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Runs a further process in the container, as a child of the caller.
    pub fn exec(&self, _req: ExecRequest<'_>) -> Result<Started, Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Changes the limits of the container's cgroup; absent fields stay as they are.
    pub fn update(&self, _resources: &LinuxResources) -> Result<(), Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Counters of the container's cgroup.
    pub fn stats(&self) -> Result<Stats, Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// How many of the container's processes the kernel has killed for memory.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }

    /// Removes the cgroup and the state of a stopped container; with `force` kills it first. Goes on past what is
    /// missing already, so that a half-made container can be deleted.
    pub fn delete(self, _force: bool) -> Result<(), Error> {
        Err(Error::NotFound { id: self.id.clone() })
    }
}
