//! What workers do: one call of the runtime library each.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Process, Spec};
use reeve_proto::shim::{ContainerStats, Create, Empty, Exec, StatsReply, Update, error::Code, response};
use reeve_runtime::{Container, CreateRequest, Error, ExecRequest, Started, Stdio};

use super::{Outcome, Part, rootfs, watch};
use crate::frame::Frame;
use crate::pod::guard;
use crate::timestamp;

/// How often and how far apart a count of OOM kills is looked at: two seconds in all.
const OOM_LOOKS: u32 = 200;
const OOM_PAUSE_MS: u8 = 10;

/// Why a job could not be done, as the client is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A step of the shim's own.
    #[error("{0}: {1}")]
    Step(String, #[source] io::Error),
    /// The runtime's answer.
    #[error(transparent)]
    Runtime(#[from] Error),
}

impl Problem {
    fn code(&self) -> Code {
        match self {
            Problem::Step(..) => Code::Internal,
            Problem::Invalid(_) => Code::InvalidArgument,
            Problem::Runtime(error) => match error {
                Error::NotFound { .. } => Code::NotFound,
                Error::AlreadyExists { .. } => Code::AlreadyExists,
                Error::WrongState { .. } => Code::FailedPrecondition,
                Error::CommandNotFound { .. } => Code::CommandNotFound,
                Error::InvalidId { .. } | Error::Config { .. } | Error::Json { .. } | Error::Seccomp(_) => {
                    Code::InvalidArgument
                }
                _ => Code::Internal,
            },
        }
    }
}

fn step(name: impl Into<String>) -> impl FnOnce(nix::Error) -> Problem {
    |errno| Problem::Step(name.into(), errno.into())
}

fn empty() -> Outcome {
    Outcome::new(response::Kind::Empty(Empty {}))
}

/// What every job needs to know of the shim.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// The runtime's state root.
    pub(crate) root: PathBuf,
    pub(crate) systemd_cgroup: bool,
    /// Where the pod's guard takes pidfds; None where the pod shares PIDs and its init does the guarding.
    pub(crate) guard: Option<UnixStream>,
    /// What the shim was started with: containers must not inherit what it set for itself.
    pub(crate) oom_score_adj: Option<String>,
}

impl Jobs {
    /// Does a job, and puts its outcome, or why there is none, into a frame.
    pub(crate) fn framed(&self, job: impl FnOnce(&Self) -> Result<Outcome, Problem>) -> Frame {
        job(self).unwrap_or_else(|problem| Outcome::refused(problem.code(), problem.to_string())).frame()
    }

    fn load(&self, id: &str) -> Result<Container, Problem> {
        Ok(Container::load(&self.root, id)?)
    }

    /// Makes the container, with its pipes or its terminal.
    pub(crate) fn create(&self, request: &Create) -> Result<Outcome, Problem> {
        self.reset_oom_score();
        let bundle = Path::new(&request.bundle);
        let config = bundle.join("config.json");
        let spec = Spec::load(&config)
            .map_err(|error| Problem::Invalid(format!("{}: {error}", config.display())))?;
        let own_pids = makes_pid_namespace(&spec);
        let terminal = spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
        let (stdio, mut parts) = if terminal { (Stdio::Terminal, Vec::new()) } else { pipes(request.stdin)? };
        let rootfs = rootfs::make(&request.rootfs)?;
        let (container, started) = Container::create(CreateRequest {
            spec: Some(spec),
            rootfs,
            stdio,
            systemd_cgroup: self.systemd_cgroup,
            ..CreateRequest::new(&request.container_id, bundle, &self.root)
        })?;
        if let Err(problem) = self.entrust(&started) {
            guard::kill(&started.pidfd);
            container.delete(true)?;
            return Err(problem);
        }
        parts.extend(watch::memory_of(started.pid).map(|watch| (Part::OomWatch, watch)));
        let mut outcome = process(started);
        outcome.parts.append(&mut parts);
        outcome.shares_pid = !own_pids;
        Ok(outcome)
    }

    pub(crate) fn start(&self, id: &str) -> Result<Outcome, Problem> {
        self.load(id)?.start()?;
        Ok(empty())
    }

    /// Starts a further process on `descriptors`, those of stdin, stdout and stderr that the request names.
    pub(crate) fn exec(&self, request: &Exec, descriptors: Vec<OwnedFd>) -> Result<Outcome, Problem> {
        self.reset_oom_score();
        let wanted: Process = serde_json::from_slice(&request.process)
            .map_err(|error| Problem::Invalid(format!("exec process: {error}")))?;
        let stdio = if wanted.terminal().unwrap_or(false) {
            Stdio::Terminal
        } else {
            let mut given = descriptors.into_iter();
            let mut next = |has: bool| if has { given.next() } else { None }.map_or_else(null, Ok);
            let stdin = next(request.has_stdin)?;
            let stdout = next(request.has_stdout)?;
            Stdio::Fds { stdin, stdout, stderr: next(request.has_stderr)? }
        };
        let started = self.load(&request.container_id)?.exec(ExecRequest::new(&wanted, stdio))?;
        Ok(process(started))
    }

    /// Kills every process of the container.
    pub(crate) fn kill_all(&self, id: &str) -> Result<Outcome, Problem> {
        self.load(id)?.kill(libc::SIGKILL, true)?;
        Ok(empty())
    }

    pub(crate) fn update(&self, request: &Update) -> Result<Outcome, Problem> {
        let resources: LinuxResources = serde_json::from_slice(&request.resources)
            .map_err(|error| Problem::Invalid(format!("resources: {error}")))?;
        self.load(&request.container_id)?.update(&resources)?;
        Ok(empty())
    }

    /// Counters of the containers `ids`; with `skip`, those that went meanwhile are left out.
    pub(crate) fn stats(&self, ids: &[String], skip: bool) -> Result<Outcome, Problem> {
        let mut containers = Vec::new();
        for id in ids {
            match self.stats_of(id) {
                Ok(stats) => containers.push(stats),
                Err(_) if skip => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(Outcome::new(response::Kind::Stats(StatsReply { containers })))
    }

    fn stats_of(&self, id: &str) -> Result<ContainerStats, Problem> {
        let stats = self.load(id)?.stats()?;
        Ok(ContainerStats {
            container_id: id.to_owned(),
            timestamp_ns: timestamp::now_ns(),
            cpu_usage_ns: stats.cpu_usage_ns,
            memory_usage_bytes: stats.memory_usage_bytes,
            memory_working_set_bytes: stats.memory_working_set_bytes,
            memory_rss_bytes: stats.memory_rss_bytes,
            memory_page_faults: stats.memory_page_faults,
            memory_major_page_faults: stats.memory_major_page_faults,
            memory_limit_bytes: stats.memory_limit_bytes,
            swap_usage_bytes: stats.swap_usage_bytes,
            swap_limit_bytes: stats.swap_limit_bytes,
            pids: stats.pids,
        })
    }

    /// After the first process ended: kills what it left (in a PID namespace that goes on), and counts what
    /// the kernel killed for memory. A container that is half gone has nothing to kill and no count.
    pub(crate) fn autopsy(&self, id: &str, kill: bool) -> Result<Outcome, Problem> {
        let container = self.load(id)?;
        let killed = if kill { container.kill(libc::SIGKILL, true) } else { Ok(()) };
        let mut outcome = empty();
        outcome.oom_kills = container.oom_kills().unwrap_or(0);
        match killed {
            Ok(()) | Err(Error::WrongState { .. }) => Ok(outcome),
            Err(error) => Err(error.into()),
        }
    }

    /// How many processes were killed for memory. `early`: the kill that is asked about may not be counted yet,
    /// so a count above `known` is waited for, as long as a process may take to die.
    pub(crate) fn count_ooms(&self, id: &str, known: u64, early: bool) -> Result<Outcome, Problem> {
        let container = self.load(id)?;
        let mut outcome = empty();
        for _ in 0..if early { OOM_LOOKS } else { 1 } {
            outcome.oom_kills = container.oom_kills()?;
            if outcome.oom_kills > known || !early {
                break;
            }
            // The kernel announces the counting nowhere.
            nix::poll::poll(&mut [], OOM_PAUSE_MS).map_err(step("wait for the count of OOM kills"))?;
        }
        Ok(outcome)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<Outcome, Problem> {
        match Container::load(&self.root, id) {
            Ok(container) => container.delete(true)?,
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(empty())
    }

    /// Deletes every container, going on past failures; the first is told.
    pub(crate) fn delete_all(&self) -> Result<Outcome, Problem> {
        let mut first = None;
        for container in Container::list(&self.root)? {
            if let Err(error) = container.delete(true) {
                first.get_or_insert(error);
            }
        }
        first.map_or_else(|| Ok(empty()), |error| Err(error.into()))
    }

    /// From here on the container ends when the shim does.
    fn entrust(&self, started: &Started) -> Result<(), Problem> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let pidfd = started.pidfd.try_clone();
        let entrusted = pidfd.and_then(|pidfd| guard::entrust(guard, pidfd));
        entrusted.map_err(|error| Problem::Step("put the container under the pod's guard".into(), error))
    }

    fn reset_oom_score(&self) {
        if let Some(score) = &self.oom_score_adj {
            // Raising one's own is always allowed (proc_pid_oom_score_adj(5)).
            let _ = fs::write("/proc/self/oom_score_adj", score);
        }
    }
}

/// Whether the bundle asks for a PID namespace of the container's own.
fn makes_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
    let is_new = |namespace: &oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()
    };
    namespaces.unwrap_or_default().iter().any(is_new)
}

fn process(started: Started) -> Outcome {
    let pid = started.pid.unsigned_abs();
    let mut outcome = Outcome::new(response::Kind::Process(reeve_proto::shim::Process { pid }));
    outcome.parts.extend(started.terminal.map(|terminal| (Part::Terminal, terminal)));
    outcome
}

type Parts = Vec<(Part, OwnedFd)>;

fn pipes(stdin: bool) -> Result<(Stdio, Parts), Problem> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(step("make a pipe"));
    let (stdout, stderr) = (pipe()?, pipe()?);
    let mut parts = vec![(Part::Stdout, stdout.0), (Part::Stderr, stderr.0)];
    let stdin = if stdin {
        let (read, write) = pipe()?;
        parts.push((Part::Stdin, write));
        read
    } else {
        null()?
    };
    Ok((Stdio::Fds { stdin, stdout: stdout.1, stderr: stderr.1 }, parts))
}

fn null() -> Result<OwnedFd, Problem> {
    open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(step("open /dev/null"))
}
