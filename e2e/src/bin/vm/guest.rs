//! The guest's side: this program as its init. The kernel has mounted the host's `/` read-only and nothing else.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, pivot_root, setsid};

use crate::order::{LINES, Order, VARIABLE};

/// Where the new root is put together: a directory that every host has.
const WORKSHOP: &str = "/tmp";
/// The command's own group: processes may not live beside groups that have controllers.
const CGROUP: &str = "/sys/fs/cgroup/reeve-vm";
/// The status of a command that cannot be started, as a shell has it.
const NOT_FOUND: i32 = 127;

/// The life of the guest.
pub(crate) fn main() -> ! {
    if let Err(error) = live() {
        // The console: the host shows it, since no status comes.
        eprintln!("reeve-vm: in the guest: {error:#}");
    }
    // Only fails without the right to; then init ends, and the kernel panics, which ends it as well.
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1)
}

fn live() -> Result<()> {
    let path = std::env::var(VARIABLE).context(VARIABLE)?;
    let order: Order = serde_json::from_slice(&fs::read(&path).context(path)?).context("read the order")?;
    make_root(&order)?;
    enable_controllers()?;
    loopback_up().context("set the loopback interface up")?;
    nix::unistd::sethostname("reeve-vm").context("set the host name")?;
    let status = match run(&order) {
        Ok(status) => status,
        Err(error) => {
            let mut line = open_line(LINES[1])?;
            writeln!(line, "reeve-vm: {}: {error:#}", order.command[0])?;
            NOT_FOUND
        }
    };
    for line in LINES {
        tcdrain(open_line(line)?).with_context(|| line.to_owned())?;
    }
    writeln!(open_line(LINES[2])?, "{status}").context("tell the exit status")
}

/// The host's root under an overlay in memory, and in it the file systems that a node has.
fn make_root(order: &Order) -> Result<()> {
    mount_at("tmpfs", WORKSHOP, "mode=755,size=80%", MsFlags::empty())?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| format!("{WORKSHOP}/{name}"));
    for directory in [&upper, &work, &root] {
        fs::create_dir(directory).with_context(|| directory.clone())?;
    }
    mount_at("overlay", &root, &format!("lowerdir=/,upperdir={upper},workdir={work}"), MsFlags::empty())?;

    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let device = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    for (kind, place, data, flags) in [
        ("proc", "proc", "", quiet),
        ("sysfs", "sys", "", quiet),
        ("devtmpfs", "dev", "mode=755", MsFlags::MS_NOSUID),
        ("devpts", "dev/pts", "ptmxmode=666,gid=5,mode=620", device),
        ("tmpfs", "dev/shm", "mode=1777", MsFlags::MS_NOSUID | MsFlags::MS_NODEV),
        ("mqueue", "dev/mqueue", "", quiet),
        ("tmpfs", "run", "mode=755", MsFlags::MS_NOSUID | MsFlags::MS_NODEV),
        ("tmpfs", "tmp", "mode=1777", MsFlags::empty()),
        ("cgroup2", "sys/fs/cgroup", "nsdelegate,memory_recursiveprot", quiet),
        ("securityfs", "sys/kernel/security", "", quiet),
        ("bpf", "sys/fs/bpf", "mode=700", quiet),
    ] {
        mount_at(kind, &format!("{root}/{place}"), data, flags)?;
    }
    for share in &order.shares {
        let place = format!("{root}{}", share.guest.display());
        let flags = if share.writable { MsFlags::empty() } else { MsFlags::MS_RDONLY };
        mount_at("hostfs", &place, &share.host.display().to_string(), flags)?;
    }
    enter(&root)
}

/// Makes this the root, and lets go of the old one.
fn enter(root: &str) -> Result<()> {
    chdir(root).with_context(|| root.to_owned())?;
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("unmount the old root")?;
    chdir("/").context("enter the new root")
}

fn mount_at(kind: &str, place: &str, data: &str, flags: MsFlags) -> Result<()> {
    // Not there on every host, and some directories of sysfs cannot be made.
    if !Path::new(place).exists() {
        fs::create_dir_all(place).with_context(|| place.to_owned())?;
    }
    mount(Some(kind), place, Some(kind), flags, Some(data))
        .with_context(|| format!("mount {kind} on {place}"))
}

/// Gives every controller to the groups below the root, and the command a group of its own.
fn enable_controllers() -> Result<()> {
    let root = Path::new(CGROUP).parent().unwrap_or(Path::new("/"));
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).context("list the controllers")?;
    for controller in controllers.split_whitespace() {
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("enable controller {controller}"))?;
    }
    fs::create_dir(CGROUP).context(CGROUP)
}

/// ioctl SIOCSIFFLAGS (netdevice(7)).
fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an ifreq of zeroes is valid: no name, no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the request is a valid ifreq that lives through the call.
    match unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A serial line that passes bytes on as they are.
fn open_line(path: &str) -> Result<File> {
    let line = OpenOptions::new().write(true).open(path).with_context(|| path.to_owned())?;
    let mut settings = tcgetattr(line.as_fd()).with_context(|| path.to_owned())?;
    cfmakeraw(&mut settings);
    tcsetattr(line.as_fd(), SetArg::TCSANOW, &settings).with_context(|| path.to_owned())?;
    Ok(line)
}

/// Runs the command to its end, and takes in orphans meanwhile.
fn run(order: &Order) -> Result<i32> {
    let mut command = Command::new(&order.command[0]);
    let directory = if order.directory.is_dir() { order.directory.clone() } else { PathBuf::from("/") };
    command
        .args(&order.command[1..])
        .env_clear()
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(open_line(LINES[0])?)
        .stderr(open_line(LINES[1])?);
    let procs = CString::new(format!("{CGROUP}/cgroup.procs"))?;
    // SAFETY: only async-signal-safe system calls between fork and exec; `procs` lives as long as the closure.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            let file = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if file < 0 || libc::write(file, b"0".as_ptr().cast(), 1) != 1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = Pid::from_raw(command.spawn().context("start")?.id() as i32);
    loop {
        match waitpid(None, None).context("wait")? {
            WaitStatus::Exited(pid, status) if pid == child => return Ok(status),
            WaitStatus::Signaled(pid, signal, _) if pid == child => {
                let status = ExitStatus::from_raw(signal as i32);
                return Ok(128 + status.signal().unwrap_or_default());
            }
            _ => {}
        }
    }
}
