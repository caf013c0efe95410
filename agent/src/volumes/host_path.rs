//! `hostPath`: something of the host, checked for its type.

use std::fs::{DirBuilder, FileType, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::Error;

/// What a type allows, in words.
type Check = (&'static str, fn(FileType) -> bool);

pub(super) fn set_up(name: &str, volume: &HostPathVolumeSource) -> Result<PathBuf, Error> {
    let path = Path::new(&volume.path);
    let fail = |source| Error::at(name, path)(source);
    let check: Check = match volume.type_.as_deref().unwrap_or_default() {
        "DirectoryOrCreate" => {
            if !path.exists() {
                DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(fail)?;
            }
            ("a directory", |t| t.is_dir())
        }
        "FileOrCreate" => {
            if !path.exists() {
                OpenOptions::new().create(true).append(true).mode(0o644).open(path).map_err(fail)?;
            }
            ("a file", |t| t.is_file())
        }
        "Directory" => ("a directory", |t| t.is_dir()),
        "File" => ("a file", |t| t.is_file()),
        "Socket" => ("a socket", |t| t.is_socket()),
        "CharDevice" => ("a character device", |t| t.is_char_device()),
        "BlockDevice" => ("a block device", |t| t.is_block_device()),
        _ => {
            // Without a type nothing is checked, but most runtimes want something to mount.
            if !path.exists() {
                DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(fail)?;
            }
            return Ok(path.to_path_buf());
        }
    };
    let found = std::fs::metadata(path).map_err(fail)?.file_type();
    if check.1(found) {
        return Ok(path.to_path_buf());
    }
    Err(Error::Type { volume: name.to_owned(), path: path.to_path_buf(), expected: check.0 })
}
