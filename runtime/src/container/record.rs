//! A container's state on disk: `state.json`, and beside it `config.json`, the configuration it was made from.

use std::collections::HashMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::sys::fs::read_text;

const FILE: &str = "state.json";
/// runc's limit; it is a file name.
const MAX_ID: usize = 1024;

/// The content of `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) oci_version: String,
    pub(super) id: String,
    /// 0 before the clone.
    pub(super) pid: i32,
    /// Of the process, in clock ticks since boot: process ids are used again.
    pub(super) start_time: u64,
    /// Whether `create` came to its end.
    pub(super) complete: bool,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: String,
    pub(super) owner: u32,
    pub(super) annotations: HashMap<String, String>,
    /// `CLONE_NEW*` of the namespaces that are not the caller's.
    pub(super) namespaces: u64,
    pub(super) new_keyring: bool,
    pub(super) cgroup: Cgroup,
}

impl Record {
    pub(super) fn read(directory: &Path, id: &str) -> Result<Record, Error> {
        let path = directory.join(FILE);
        let text = match std::fs::read(&path) {
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Err(Error::NotFound { id: id.to_owned() });
            }
            result => result.map_err(|error| Error::file("read", &path, error))?,
        };
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
    }

    /// Replaces the file as a whole.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(FILE);
        let text = serde_json::to_vec(self).map_err(|source| Error::Json { path: path.clone(), source })?;
        write_whole(&path, &text)
    }
}

/// Writes beside `path` and renames, so that no reader sees half a file.
pub(super) fn write_whole(path: &Path, text: &[u8]) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text).map_err(|error| Error::file("write", &beside, error))?;
    std::fs::rename(&beside, path).map_err(|error| Error::file("rename", path, error))
}

/// Makes `<root>/<id>`: the root for its owner alone, the directory passable, because the container's user opens the
/// FIFO in it.
pub(super) fn make_directory(root: &Path, id: &str) -> Result<PathBuf, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|error| Error::file("make the directory", root, error))?;
    let directory = root.join(id);
    match std::fs::create_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::AlreadyExists { id: id.to_owned() });
        }
        result => result.map_err(|error| Error::file("make the directory", &directory, error))?,
    }
    std::fs::set_permissions(&directory, Permissions::from_mode(0o711))
        .map_err(|error| Error::file("chmod", &directory, error))?;
    Ok(directory)
}

/// runc's rule: letters, digits, `_+-.`, and no name of a directory entry.
pub(super) fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
    if id.is_empty() || id.len() > MAX_ID || id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(Error::InvalidId { id: id.to_owned() });
    }
    Ok(())
}

/// When process `pid` started, field 22 of proc_pid_stat(5); none for a zombie and where there is no process.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let text = read_text(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    // The name in parentheses may have anything in it.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    if ["Z", "X"].contains(&state) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Now, as RFC 3339 in UTC with nanoseconds.
pub(super) fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    crate::time::rfc3339(since.as_secs(), since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for good in ["a", "web-1", "A_b.c+d"] {
            check_id(good).expect(good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn our_own_start_time_is_known() {
        assert!(start_time(std::process::id() as i32).is_some());
        assert_eq!(start_time(i32::MAX), None);
    }
}
