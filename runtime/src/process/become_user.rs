//! The last stretch of a process before its program, inside its namespaces and root: it gives up what it was.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::lookup::{self, Identity};
use super::{Prepared, capability};
use crate::Error;
use crate::error::CommandFault;
use crate::sys::{self, c_str, check, fs, process as call};

const CAP_SYS_ADMIN: u64 = 1 << 21;
/// No passwd file of a container is read beyond this.
const MAX_PASSWD: u64 = 1 << 20;

/// What becomes descriptors 0, 1 and 2.
pub(crate) enum Streams {
    /// What they are now.
    Inherit,
    /// These three.
    Fds([OwnedFd; 3]),
    /// This terminal, which also becomes the controlling one.
    Terminal(OwnedFd),
}

/// A program that was found, and everything execve(2) takes.
pub(crate) struct Program<'a> {
    prepared: &'a Prepared,
    path: CString,
    home: Option<CString>,
}

impl Prepared {
    /// Everything between the container's construction and its program. `proc` is the host's procfs; `report` is
    /// given the seccomp listener where there is one.
    pub(crate) fn become_user(
        &self,
        own: Identity,
        proc: OwnedFd,
        streams: Streams,
        report: impl FnOnce(&OwnedFd) -> Result<(), Error>,
    ) -> Result<Program<'_>, Error> {
        take_streams(streams).map_err(|error| Error::setup("set up the standard streams", error))?;
        give_streams(self.uid).map_err(|error| Error::setup("chown the standard streams", error))?;
        self.join_keyring()?;
        self.scheduling.apply().map_err(|error| Error::setup("process.scheduler", error))?;
        if let Some(personality) = self.personality {
            // SAFETY: no pointers.
            check(unsafe { libc::syscall(libc::SYS_personality, personality) })
                .map_err(|error| Error::setup("linux.personality", error))?;
        }
        if let Some(profile) = &self.apparmor {
            set_apparmor(proc.as_fd(), profile).map_err(|error| {
                Error::setup(format!("process.apparmorProfile: apply {profile:?}"), error)
            })?;
        }
        drop(proc);
        let kept = 3 + self.preserve_fds;
        call::cloexec_from(kept).map_err(|error| Error::setup("close_range", error))?;
        self.switch_user()?;
        check_cwd()?;
        let home = if self.has_home { None } else { home_of(self.uid) };
        let path = lookup::find(&self.args[0], &self.path, own).map_err(|fault| self.fault(fault))?;
        self.lock_down(report)?;
        Ok(Program { prepared: self, path, home })
    }

    fn fault(&self, fault: CommandFault) -> Error {
        Error::CommandNotFound { command: self.command(), fault }
    }

    /// A session keyring of its own, so that the caller's keys stay out of reach, keyctl(2).
    fn join_keyring(&self) -> Result<(), Error> {
        /// `KEYCTL_JOIN_SESSION_KEYRING` of linux/keyctl.h.
        const JOIN_SESSION_KEYRING: libc::c_int = 1;
        let Some(name) = &self.keyring else { return Ok(()) };
        // SAFETY: `name` is a C string.
        match check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) }) {
            // A kernel without keys has none to keep apart.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            result => result.map(drop).map_err(|error| Error::setup("join a session keyring", error)),
        }
    }

    /// Working directory, groups, user and capabilities.
    fn switch_user(&self) -> Result<(), Error> {
        // As the runtime first, for directories that root alone may enter, and again as the user.
        let early = self.enter_cwd();
        self.capabilities.drop_bounding().map_err(|error| Error::setup("drop the bounding set", error))?;
        call::prctl(libc::PR_SET_KEEPCAPS, 1, 0)
            .map_err(|error| Error::setup("prctl(PR_SET_KEEPCAPS)", error))?;
        if !self.groups.is_empty() || may_set_groups() {
            call::setgroups(&self.groups)
                .map_err(|error| Error::setup("process.user.additionalGids", error))?;
        }
        call::setgid(self.gid).map_err(|error| Error::setup(format!("setgid {}", self.gid), error))?;
        call::setuid(self.uid).map_err(|error| Error::setup(format!("setuid {}", self.uid), error))?;
        call::prctl(libc::PR_SET_KEEPCAPS, 0, 0)
            .map_err(|error| Error::setup("prctl(PR_SET_KEEPCAPS)", error))?;
        let mut meanwhile = capability::Sets { inheritable: 0, ambient: 0, ..self.capabilities };
        if self.seccomp.is_some() && !self.no_new_privileges {
            // Loading a filter takes this capability where no_new_privs is off; `lock_down` gives it back.
            meanwhile.effective |= CAP_SYS_ADMIN;
            meanwhile.permitted |= CAP_SYS_ADMIN;
        }
        meanwhile.apply().map_err(|error| Error::setup("process.capabilities", error))?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(self.umask));
        early
            .or_else(|_| self.enter_cwd())
            .map_err(|error| Error::setup(format!("process.cwd: chdir to {}", self.cwd().display()), error))
    }

    fn enter_cwd(&self) -> io::Result<()> {
        // No magic link: /proc/self/fd/N would lead to whatever the runtime had open (CVE-2024-21626).
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory = fs::openat2(nix::fcntl::AT_FDCWD, &self.cwd, flags, fs::resolve::NO_MAGICLINKS)?;
        // SAFETY: no pointers.
        check(unsafe { libc::syscall(libc::SYS_fchdir, directory.as_raw_fd()) })?;
        Ok(())
    }

    /// no_new_privs, the seccomp filter and the final capabilities.
    fn lock_down(&self, report: impl FnOnce(&OwnedFd) -> Result<(), Error>) -> Result<(), Error> {
        if self.no_new_privileges {
            call::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
                .map_err(|error| Error::setup("process.noNewPrivileges", error))?;
        }
        let capabilities =
            || self.capabilities.apply().map_err(|error| Error::setup("process.capabilities", error));
        // With no_new_privs the filter comes last, so that it need not allow what happens here.
        if self.no_new_privileges {
            capabilities()?;
        }
        if let Some(program) = &self.seccomp {
            let listener =
                program.install().map_err(|error| Error::setup("linux.seccomp: load the filter", error))?;
            if let Some(listener) = listener {
                report(&listener)?;
            }
        }
        if !self.no_new_privileges {
            capabilities()?;
        }
        Ok(())
    }
}

impl Program<'_> {
    /// execve(2); returns only with what the kernel refused.
    pub(crate) fn execute(&self) -> Result<Infallible, Error> {
        let args = pointers(self.prepared.args.iter());
        let env = pointers(self.prepared.env.iter().chain(&self.home));
        // SAFETY: path, arguments and environment are C strings, the lists end with null.
        unsafe { libc::execve(self.path.as_ptr(), args.as_ptr(), env.as_ptr()) };
        let reason = nix::errno::Errno::last().desc().to_lowercase();
        Err(self.prepared.fault(CommandFault::Exec { reason }))
    }
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*const libc::c_char> {
    strings.map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

fn take_streams(streams: Streams) -> io::Result<()> {
    let place = |fd: BorrowedFd<'_>, number: i32| -> io::Result<()> {
        // SAFETY: 0 to 2 are nobody's but the process' own streams.
        check(unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), number, 0) })?;
        Ok(())
    };
    match streams {
        Streams::Inherit => {}
        Streams::Fds(fds) => {
            // First out of the way of 0 to 2, where dup3 of one could overwrite another.
            let mut moved = Vec::with_capacity(3);
            for fd in &fds {
                // SAFETY: the result is a new descriptor.
                moved.push(unsafe {
                    sys::check_fd(libc::syscall(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3))
                }?);
            }
            for (number, fd) in moved.iter().enumerate() {
                place(fd.as_fd(), number as i32)?;
            }
            // The originals may be 0 to 2 themselves and are closed at exec anyway.
            std::mem::forget(fds);
        }
        Streams::Terminal(terminal) => {
            // SAFETY: TIOCSCTTY takes an integer.
            check(unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSCTTY, 0) })?;
            for number in 0..3 {
                place(terminal.as_fd(), number)?;
            }
        }
    }
    Ok(())
}

/// Makes the streams the user's, who could otherwise not open /dev/stdout or its terminal again. The null device is
/// everybody's.
fn give_streams(uid: u32) -> io::Result<()> {
    for number in 0..3 {
        // SAFETY: 0 to 2 stay open for the whole call.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        let Ok(stat) = fs::stat(stream) else { continue };
        if stat.st_uid == uid || stat.st_rdev == libc::makedev(1, 3) {
            continue;
        }
        match nix::unistd::fchown(stream, Some(uid.into()), None) {
            // Not ours to give: of another user namespace, on a read-only file system, of a kind without owners.
            Ok(()) | Err(nix::Error::EPERM | nix::Error::EINVAL | nix::Error::EROFS | nix::Error::ENOSYS) => {
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The directory must be below the root that the process sees; the kernel marks one that is not.
fn check_cwd() -> Result<(), Error> {
    let mut path = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the pointer and the length are those of one buffer.
    check(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })
        .map_err(|error| Error::setup("process.cwd: getcwd", error))?;
    if path[0] == b'/' {
        return Ok(());
    }
    let path = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
    Err(Error::config("process.cwd", format!("leads out of the container ({})", path.to_string_lossy())))
}

/// In a user namespace without a group map written by root, setgroups(2) is off and the groups are empty anyway.
fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

fn set_apparmor(proc: BorrowedFd<'_>, profile: &str) -> io::Result<()> {
    let rules = fs::resolve::BENEATH | fs::resolve::NO_MAGICLINKS | fs::resolve::NO_XDEV;
    let file = match fs::openat2(proc, c"self/attr/apparmor/exec", libc::O_WRONLY, rules) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            fs::openat2(proc, c"self/attr/exec", libc::O_WRONLY, rules)?
        }
        other => other?,
    };
    nix::unistd::write(&file, format!("exec {profile}").as_bytes())?;
    Ok(())
}

/// `HOME=` for `uid` from the container's own passwd file; `/` for a user that it does not know.
fn home_of(uid: u32) -> Option<CString> {
    use std::io::Read;
    let mut text = String::new();
    // Non-blocking: a FIFO of that name in the image must not hold the container up.
    let file = fs::openat2(
        nix::fcntl::AT_FDCWD,
        c"/etc/passwd",
        libc::O_RDONLY | libc::O_NONBLOCK,
        fs::resolve::NO_MAGICLINKS,
    );
    if let Ok(file) = file {
        let mut file = std::fs::File::from(file).take(MAX_PASSWD);
        // A file that is no text has no entry for the user either.
        let _ = file.read_to_string(&mut text);
    }
    c_str(&format!("HOME={}", home_in(&text, uid))).ok()
}

fn home_in(passwd: &str, uid: u32) -> &str {
    let uid = uid.to_string();
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .and_then(|fields| fields.get(5).copied())
        .filter(|home| !home.is_empty())
        .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::home_in;

    #[test]
    fn home_is_that_of_the_first_matching_line() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/srv:/bin/sh\nempty:x:7:7:::\n";
        assert_eq!(home_in(passwd, 0), "/root");
        assert_eq!(home_in(passwd, 33), "/srv");
        assert_eq!(home_in(passwd, 7), "/");
        assert_eq!(home_in(passwd, 1000), "/");
    }
}
