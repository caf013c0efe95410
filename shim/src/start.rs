//! From the command line to the loop.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{chdir, setsid};

use crate::exits::{Exits, ExitsError};
use crate::options::{Options, OptionsError};
use crate::pod::{self, PodError};
use crate::shim::{LoopError, Shim};
use crate::worker::Jobs;

/// Better than any pod's, so that a full machine loses containers and not the shim (kubelet's value for them).
const OOM_SCORE_ADJ: &str = "-998";

/// Why the shim could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command line.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The pod's namespaces or init.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// A file of the shim's directory.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A call about the process itself.
    #[error("{step}: {source}")]
    Process {
        /// What was attempted.
        step: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
    /// The exit records or the loop; the text says which and why.
    #[error("{0}")]
    Other(String),
}

impl From<LoopError> for StartError {
    fn from(error: LoopError) -> Self {
        StartError::Other(crate::chain(&error))
    }
}

impl From<ExitsError> for StartError {
    fn from(error: ExitsError) -> Self {
        StartError::Other(crate::chain(&error))
    }
}

fn process(step: &'static str) -> impl FnOnce(Errno) -> StartError {
    move |source| StartError::Process { step, source }
}

/// Sets the pod up, says `ready` on stdout, and serves until `Shutdown`.
pub fn run(options: Options) -> Result<(), StartError> {
    // SAFETY: nothing of ours is open yet besides the standard streams.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    // Fails for a leader of a process group, who is in a session of his own or was put there on purpose.
    let _ = setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let signals = take_signals()?;
    nix::sys::prctl::set_child_subreaper(true).map_err(process("become a subreaper"))?;
    let oom_score_adj = protect();

    chdir(&options.dir)
        .map_err(|errno| StartError::File { path: options.dir.clone(), source: errno.into() })?;
    pod::enter(&options)?;
    let (pod_init, guard) =
        if options.share_pid { (pod::start_init()?, None) } else { (0, Some(pod::guard::start()?)) };
    let exits = Exits::open(&options.dir)?;
    let root = options.dir.join("containers");
    make_folder(&root)?;
    let listener = listen(&options)?;
    write_file(&options.dir.join("shim.pid"), &std::process::id().to_string())?;

    let jobs = Jobs { root, systemd_cgroup: options.systemd_cgroup, guard, oom_score_adj };
    let mut shim = Shim::new(jobs, exits, pod_init, listener, signals)?;
    detach(&options)?;
    let result = shim.run();
    for name in ["shim.sock", "shim.pid"] {
        let _ = fs::remove_file(options.dir.join(name));
    }
    Ok(result?)
}

/// SIGCHLD comes as a descriptor; what would end us is ignored, for only `Shutdown` does.
fn take_signals() -> Result<SignalFd, StartError> {
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { signal(ignored, SigHandler::SigIgn) }.map_err(process("ignore a signal"))?;
    }
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_set_mask().map_err(process("block SIGCHLD"))?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(process("signalfd"))
}

/// Asks to be spared when memory is short; returns what containers start from, where that was granted.
fn protect() -> Option<String> {
    let path = "/proc/self/oom_score_adj";
    let before = fs::read_to_string(path).ok()?;
    // Needs CAP_SYS_RESOURCE; without it the shim is as exposed as whoever started it.
    fs::write(path, OOM_SCORE_ADJ).ok().map(|()| before.trim().to_owned())
}

fn make_folder(path: &PathBuf) -> Result<(), StartError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(StartError::File { path: path.clone(), source })
        }
        _ => Ok(()),
    }
}

fn write_file(path: &PathBuf, text: &str) -> Result<(), StartError> {
    fs::write(path, text).map_err(|source| StartError::File { path: path.clone(), source })
}

/// Binds `shim.sock` by its bare name, for the names of sockets are short (unix(7)) and the directory's is not.
fn listen(options: &Options) -> Result<UnixListener, StartError> {
    let failed = |source| StartError::File { path: options.dir.join("shim.sock"), source };
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
    let bound = UnixListener::bind("shim.sock");
    nix::sys::stat::umask(mask);
    let listener = bound.map_err(failed)?;
    fs::set_permissions("shim.sock", fs::Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Says that all is up, and lets go of the standard streams of whoever started us.
fn detach(options: &Options) -> Result<(), StartError> {
    let path = options.dir.join("shim.log");
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let log = log.map_err(|source| StartError::File { path, source })?;
    let null = "/dev/null";
    let null = OpenOptions::new()
        .read(true)
        .open(null)
        .map_err(|source| StartError::File { path: null.into(), source })?;
    // An engine that does not listen finds the socket all the same.
    let _ = writeln!(io::stdout(), "ready");
    for (from, to) in [(null.as_fd(), 0), (log.as_fd(), 1), (log.as_fd(), 2)] {
        // SAFETY: replaces one of the standard streams, which nobody owns.
        Errno::result(unsafe { libc::dup2(from.as_raw_fd(), to) })
            .map_err(process("replace the standard streams"))?;
    }
    Ok(())
}
