//! The host's side: starts the kernel as a process, carries its output, waits for it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::kernel;
use crate::options::Options;
use crate::order::{Order, VARIABLE};

/// As timeout(1) has it.
const TIME_IS_UP: u8 = 124;
/// The first descriptor of the guest's serial lines in the kernel's process.
const FIRST_LINE: RawFd = 10;

/// Boots a guest for the command; gives the command's exit status.
pub(crate) fn run(options: &Options) -> Result<u8> {
    let kernel = kernel::find()?;
    let directory = tempfile::Builder::new().prefix("reeve-vm.").tempdir().context("make a directory")?;
    let order = directory.path().join("order");
    fs::write(&order, serde_json::to_vec(&order_for(options)?)?)
        .with_context(|| order.display().to_string())?;
    let console = directory.path().join("console");

    let (output, output_end) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
    let (errors, errors_end) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
    let (status, status_end) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
    let mut guest = boot(&kernel, options, directory.path(), &console, [output_end, errors_end, status_end])?;
    let output = carry(output, io::stdout());
    let errors = carry(errors, io::stderr());

    let in_time = wait(&guest, Duration::from_secs(options.timeout))?;
    if !in_time {
        guest.kill().context("kill the guest")?;
    }
    guest.wait().context("wait for the guest")?;
    for thread in [output, errors] {
        // A thread that panicked has said so.
        let _ = thread.join();
    }
    let mut text = String::new();
    File::from(status).read_to_string(&mut text).context("read the exit status")?;
    let status = text.trim().parse().ok();

    if options.verbose || status.is_none() {
        let log = fs::read(&console).with_context(|| console.display().to_string())?;
        io::stderr().write_all(&log).context("write the kernel's messages")?;
    }
    match status {
        Some(status) => Ok(status),
        None if !in_time => {
            eprintln!("reeve-vm: killed after {} s", options.timeout);
            Ok(TIME_IS_UP)
        }
        None => anyhow::bail!("the guest ended without telling how its command did; its messages are above"),
    }
}

fn order_for(options: &Options) -> Result<Order> {
    let mut environment: Vec<_> = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "dumb"),
        ("REEVE_VM", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for entry in &options.env {
        let given = entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let inherited = || Some((entry.clone(), std::env::var(entry).ok()?));
        environment.extend(given.or_else(inherited));
    }
    let directory = std::env::current_dir().context("find the current directory")?;
    Ok(Order { command: options.command.clone(), environment, directory, shares: options.share.clone() })
}

/// Starts the kernel: its root is the host's `/` by hostfs, its init this program, its serial lines our pipes.
fn boot(kernel: &Path, options: &Options, own: &Path, console: &Path, lines: [OwnedFd; 3]) -> Result<Child> {
    let init = std::env::current_exe().context("find this program")?;
    let log = File::create(console).with_context(|| console.display().to_string())?;
    let mut command = Command::new(kernel);
    command
        .args([format!("mem={}M", options.memory), format!("ncpus={}", options.cpus)])
        .args(["seccomp=on", "quiet", "panic=-1", "rootfstype=hostfs", "rootflags=/", "ro", "con=null"])
        .args([format!("uml_dir={}/", own.display()), "umid=vm".to_owned(), "con0=null,fd:1".to_owned()])
        .args((0..lines.len()).map(|n| format!("ssl{n}=null,fd:{}", FIRST_LINE + n as RawFd)))
        .args([format!("init={}", init.display()), format!("{VARIABLE}={}/order", own.display())])
        .args(options.append.iter().flat_map(|words| words.split_whitespace()))
        .env("HOME", own)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("copy a descriptor")?)
        .stderr(log);
    let ends = lines.each_ref().map(AsRawFd::as_raw_fd);
    // SAFETY: only async-signal-safe system calls between fork and exec; they act on descriptors that are open.
    unsafe {
        command.pre_exec(move || {
            // No guest outlives its runner.
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            for (number, end) in (FIRST_LINE..).zip(ends) {
                // Where the pipe already has that number dup2 would leave it to be closed by exec.
                let flags =
                    if number == end { libc::fcntl(end, libc::F_SETFD, 0) } else { libc::dup2(end, number) };
                if flags < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    command.spawn().with_context(|| kernel.display().to_string())
}

/// Carries bytes as they come, in a thread.
fn carry(from: OwnedFd, mut to: impl Write + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = File::from(from);
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            // Whoever read our output may have gone away; the guest goes on.
            let _ = to.write_all(&buffer[..length]).and_then(|()| to.flush());
        }
    })
}

/// Waits for the process to end; tells whether it did in time.
fn wait(child: &Child, limit: Duration) -> Result<bool> {
    // SAFETY: plain pidfd_open(2) on our own child, which is not reaped before this function returns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    anyhow::ensure!(fd >= 0, "pidfd_open: {}", io::Error::last_os_error());
    // SAFETY: `fd` was just opened and is nobody else's.
    let fd: OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd as RawFd) };
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], limit) {
            Err(nix::errno::Errno::EINTR) => {}
            ready => return Ok(ready.context("poll")? > 0),
        }
    }
}
