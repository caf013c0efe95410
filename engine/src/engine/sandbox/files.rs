//! What a sandbox's containers have in common in the file system: hosts, hostname, resolv.conf, /dev/shm.

use std::net::IpAddr;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use reeve_network::etc;

use crate::engine::inner::make_dir;
use crate::error::{IoContext, Result};
use crate::types::{Dns, SandboxSpec};

/// As large as Docker's.
const SHM_OPTIONS: &str = "mode=1777,size=65536k";

pub(super) fn write(dir: &Path, spec: &SandboxSpec, ips: &[IpAddr]) -> Result<()> {
    let host_name = || nix::unistd::gethostname().at("read", "host name");
    let hostname = match spec.host_network || spec.hostname.is_empty() {
        true => host_name()?.to_string_lossy().into_owned(),
        false => spec.hostname.clone(),
    };
    let hosts = match spec.host_network {
        true => std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| etc::hosts(&hostname, &[], &[])),
        false => etc::hosts(&hostname, ips, &[]),
    };
    let Dns { servers, searches, options } = spec.dns.clone();
    let mut dns = etc::Dns { servers, searches, options };
    if dns.is_empty() {
        dns = etc::host_dns(Path::new("/"), spec.host_network);
    }
    for (name, text) in
        [("hosts", hosts), ("hostname", etc::hostname(&hostname)), ("resolv.conf", etc::resolv_conf(&dns))]
    {
        let path = dir.join(name);
        std::fs::write(&path, text).at("write", path)?;
    }
    Ok(())
}

/// Mounts the sandbox's /dev/shm.
pub(super) fn mount_shm(dir: &Path) -> Result<()> {
    let shm = dir.join("shm");
    make_dir(&shm)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("shm"), &shm, Some("tmpfs"), flags, Some(SHM_OPTIONS)).at("mount tmpfs on", shm)
}

/// Unmounts it; not mounted is well.
pub(crate) fn unmount_shm(dir: &Path) -> Result<()> {
    let shm = dir.join("shm");
    // More than once when a crash came between the mount and the note that it was made, and it was made again.
    loop {
        match umount2(&shm, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error).at("unmount", shm),
        }
    }
}
