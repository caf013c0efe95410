//! Kernel settings of the network, under /proc/sys/net (proc_sys_net(5), the kernel's ip-sysctl.rst).
//!
//! The directory shows the network namespace of the thread that opens it.

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Sets `net.<key>` unless it already has the value, so that a read-only /proc/sys with the right value is fine.
pub(crate) fn ensure(key: &str, value: &str) -> Result<()> {
    let path = path(key);
    let now = fs::read_to_string(&path).map_err(|source| Error::file("read", &path, source))?;
    if now.trim() == value {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| Error::file("write", &path, source))
}

/// Whether `net.<key>` has this value.
pub(crate) fn is(key: &str, value: &str) -> bool {
    fs::read_to_string(path(key)).is_ok_and(|now| now.trim() == value)
}

/// The interfaces' own directories under `net.<family>.conf`.
pub(crate) fn interfaces(family: &str) -> Result<Vec<String>> {
    let path = path(&format!("{family}/conf"));
    let wrap = |source| Error::file("list", &path, source);
    let entries = fs::read_dir(&path).map_err(wrap)?;
    entries.map(|entry| Ok(entry.map_err(wrap)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Sets a key from one value to another, where it has the first.
pub(crate) fn change(key: &str, from: &str, to: &str) -> Result<()> {
    let path = path(key);
    match fs::read_to_string(&path) {
        Ok(now) if now.trim() == from => {
            fs::write(&path, to).map_err(|source| Error::file("write", &path, source))
        }
        // An interface may vanish while one looks.
        _ => Ok(()),
    }
}

/// Keys are written with slashes: an interface's name may hold dots.
fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(key)
}
