//! What a caller asks for, and what it gets back.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{Process, Spec};

/// A container to be made by [`crate::Container::create`].
pub struct CreateRequest<'a> {
    /// Its name, unique under `root`.
    pub id: &'a str,
    /// The bundle directory; relative paths in the configuration start here.
    pub bundle: &'a Path,
    /// Where the runtime keeps its state: `<root>/<id>/`.
    pub root: &'a Path,
    /// The configuration, when the caller has it parsed already; otherwise `config.json` of the bundle is read.
    pub spec: Option<Spec>,
    /// A detached mount (fsmount(2), open_tree(2)) to be the root file system instead of `root.path`.
    pub rootfs: Option<OwnedFd>,
    /// Where the process' standard streams lead.
    pub stdio: Stdio,
    /// A listening Unix socket that is sent the terminal's master, as runc's `--console-socket`.
    pub console_socket: Option<&'a Path>,
    /// A file that is given the process id in decimal.
    pub pid_file: Option<&'a Path>,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Move the root with `MS_MOVE` and chroot(2) instead of pivot_root(2), for roots on a ramdisk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Make the cgroup through systemd; `linux.cgroupsPath` is then `slice:prefix:name`.
    pub systemd_cgroup: bool,
}

impl<'a> CreateRequest<'a> {
    /// A request with everything optional left out and the caller's own standard streams.
    pub fn new(id: &'a str, bundle: &'a Path, root: &'a Path) -> Self {
        CreateRequest {
            id,
            bundle,
            root,
            spec: None,
            rootfs: None,
            stdio: Stdio::Inherit,
            console_socket: None,
            pid_file: None,
            preserve_fds: 0,
            no_pivot: false,
            no_new_keyring: false,
            systemd_cgroup: false,
        }
    }
}

/// A further process for a running container, see [`crate::Container::exec`].
pub struct ExecRequest<'a> {
    /// The OCI process object.
    pub process: &'a Process,
    /// Where the process' standard streams lead.
    pub stdio: Stdio,
    /// A listening Unix socket that is sent the terminal's master.
    pub console_socket: Option<&'a Path>,
    /// A file that is given the process id in decimal.
    pub pid_file: Option<&'a Path>,
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// A cgroup below the container's own for the process, created beforehand by someone else.
    pub cgroup: Option<&'a Path>,
    /// Exec into a paused container too: the process runs once the container is resumed.
    pub ignore_paused: bool,
}

impl<'a> ExecRequest<'a> {
    /// A request with everything optional left out.
    pub fn new(process: &'a Process, stdio: Stdio) -> Self {
        ExecRequest {
            process,
            stdio,
            console_socket: None,
            pid_file: None,
            preserve_fds: 0,
            cgroup: None,
            ignore_paused: false,
        }
    }
}

/// The standard streams of a process.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's own.
    Inherit,
    /// The given descriptors.
    Fds {
        /// Becomes descriptor 0.
        stdin: OwnedFd,
        /// Becomes descriptor 1.
        stdout: OwnedFd,
        /// Becomes descriptor 2.
        stderr: OwnedFd,
    },
    /// A terminal made in the container's own devpts. Its master goes to the console socket where one is named, and
    /// otherwise to the caller in [`Started::terminal`]. `process.terminal` must be true.
    Terminal,
}

/// A process that was started. It is the caller's child: the caller reaps it.
#[derive(Debug)]
pub struct Started {
    /// Its id in the caller's PID namespace.
    pub pid: i32,
    /// A pidfd of it, CLOEXEC.
    pub pidfd: OwnedFd,
    /// The terminal's master, for [`Stdio::Terminal`] without a console socket.
    pub terminal: Option<OwnedFd>,
}
