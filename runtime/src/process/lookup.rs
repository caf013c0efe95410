//! Finding the program to run, as the user who will run it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::error::CommandFault;
use crate::sys::{c_str, check, fs};

/// The kernel follows this many interpreters, `BINPRM_BUF_SIZE` and the depth in fs/exec.c.
const MAX_INTERPRETERS: usize = 5;

/// Device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// The binary that runs now, which nothing in a container may get hold of (CVE-2019-5736).
    pub(crate) fn own_binary() -> io::Result<Identity> {
        let metadata = std::fs::metadata("/proc/self/exe")?;
        Ok(Identity(metadata.dev(), metadata.ino()))
    }
}

/// The path of the program `command` for execve(2): itself when it has a slash in it, and otherwise the first
/// executable of that name in the directories of `search`.
pub(crate) fn find(command: &CStr, search: &str, own: Identity) -> Result<CString, CommandFault> {
    if command.to_bytes().contains(&b'/') {
        executable(command)?;
        refuse_own(command, own)?;
        return Ok(command.to_owned());
    }
    let name = command.to_string_lossy();
    let mut refused = CommandFault::NotInPath;
    for directory in search.split(':') {
        // An empty entry of PATH means the working directory.
        let directory = if directory.is_empty() { "." } else { directory };
        let Ok(path) = c_str(&format!("{directory}/{name}")) else { continue };
        match executable(&path) {
            Ok(()) => {
                refuse_own(&path, own)?;
                return Ok(path);
            }
            Err(fault @ CommandFault::NotExecutable) => refused = fault,
            Err(_) => {}
        }
    }
    Err(refused)
}

fn executable(path: &CStr) -> Result<(), CommandFault> {
    let missing = || CommandFault::NoSuchFile { path: path.to_string_lossy().into_owned() };
    let stat = match nix::sys::stat::stat(path) {
        Ok(stat) => stat,
        Err(nix::errno::Errno::EACCES) => return Err(CommandFault::NotExecutable),
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => return Err(missing()),
        Err(error) => return Err(CommandFault::Exec { reason: error.desc().to_lowercase() }),
    };
    if fs::is_type(&stat, libc::S_IFDIR) {
        return Err(CommandFault::NotAFile);
    }
    // SAFETY: `path` is a C string.
    let access = check(unsafe {
        libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS)
    });
    if access.is_err() || !fs::is_type(&stat, libc::S_IFREG) {
        return Err(CommandFault::NotExecutable);
    }
    Ok(())
}

/// Refuses a program, or a script with an interpreter, that leads to the runtime's own binary: what runs from it
/// inside the container could be opened there and overwritten.
fn refuse_own(path: &CStr, own: Identity) -> Result<(), CommandFault> {
    let mut path = PathBuf::from(path.to_string_lossy().into_owned());
    for _ in 0..=MAX_INTERPRETERS {
        // A file that may be executed and not read is no script: its interpreter could not read it either.
        let Ok(mut file) = File::open(&path) else { return Ok(()) };
        let Ok(stat) = fs::stat(file.as_fd()) else { return Ok(()) };
        if Identity(stat.st_dev, stat.st_ino) == own {
            return Err(CommandFault::Runtime);
        }
        let mut head = [0u8; 256];
        let Ok(length) = file.read(&mut head) else { return Ok(()) };
        match interpreter(&head[..length]) {
            Some(next) => path = next,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// The interpreter that a script's first line names.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    text.split_whitespace().next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Identity {
        Identity(0, 0)
    }

    #[test]
    fn a_bare_name_is_searched_in_order() {
        let found = find(c"sh", "/nonexistent:/bin:/usr/bin", nobody()).expect("sh");
        assert_eq!(found.as_c_str(), c"/bin/sh");
        assert_eq!(find(c"no-such-program", "/bin", nobody()), Err(CommandFault::NotInPath));
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let missing = find(c"/bin/no-such-program", "/bin", nobody());
        assert_eq!(missing, Err(CommandFault::NoSuchFile { path: "/bin/no-such-program".to_owned() }));
        assert_eq!(find(c"/etc/passwd", "/bin", nobody()), Err(CommandFault::NotExecutable));
        assert_eq!(find(c"/etc", "/bin", nobody()), Err(CommandFault::NotAFile));
    }

    #[test]
    fn our_own_binary_is_refused_directly_and_as_interpreter() {
        let own = Identity::own_binary().expect("own");
        assert_eq!(find(c"/proc/self/exe", "", own), Err(CommandFault::Runtime));
        let directory = tempfile::tempdir().expect("tempdir");
        let script = directory.path().join("script");
        std::fs::write(&script, "#!/proc/self/exe --help\n").expect("write");
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("chmod");
        let script = crate::sys::c_path(&script).expect("path");
        assert_eq!(find(&script, "", own), Err(CommandFault::Runtime));
    }

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        assert_eq!(interpreter(b"#! /bin/sh -e\necho"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(interpreter(b"\x7fELF"), None);
        assert_eq!(interpreter(b"#!\n"), None);
    }
}
