//! The Unix socket of the server: locked, replaced atomically, removed at the end.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::Error;

/// A listening socket with the lock that says it is ours.
pub(crate) struct Socket {
    path: PathBuf,
    /// Held for its lock: a stale socket may be replaced only by whoever holds it.
    _lock: File,
}

impl Socket {
    /// Listens on `path`. A socket that a dead server left is replaced; a live server's is not.
    pub(crate) fn bind(path: &Path, mode: u32) -> Result<(Socket, UnixListener), Error> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed("create", parent))?;
        }
        let lock = lock(path)?;
        refuse_other_files(path)?;

        // Bound beside its place and renamed into it, so that no client ever meets it with the wrong mode.
        let fresh = beside(path, ".new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &fresh)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed("listen on", &fresh))?;
        fs::set_permissions(&fresh, Permissions::from_mode(mode))
            .map_err(failed("set the mode of", &fresh))?;
        fs::rename(&fresh, path).map_err(failed("create", path))?;
        Ok((Socket { path: path.to_owned(), _lock: lock }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the socket was gone already");
        }
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(failed("open", &lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path)(source)),
    }
}

/// Our lock says nothing about a server of another kind that was given the same path: ask it.
fn refuse_other_files(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(Error::NotASocket { path: path.to_owned() }),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(Error::InUse { path: path.to_owned() })
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Socket { action, path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reeve.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

        let (_socket, _listener) = Socket::bind(&path, 0o600).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn a_second_server_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reeve.sock");
        let _first = Socket::bind(&path, 0o600).unwrap();

        assert!(matches!(Socket::bind(&path, 0o600), Err(Error::InUse { .. })));
    }

    #[tokio::test]
    async fn a_foreign_server_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reeve.sock");
        let _foreign = std::os::unix::net::UnixListener::bind(&path).unwrap();

        assert!(matches!(Socket::bind(&path, 0o600), Err(Error::InUse { .. })));
    }

    #[tokio::test]
    async fn a_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reeve.sock");
        fs::write(&path, "precious").unwrap();

        assert!(matches!(Socket::bind(&path, 0o600), Err(Error::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_socket_goes_with_its_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reeve.sock");
        drop(Socket::bind(&path, 0o600).unwrap());

        assert!(!path.exists());
    }
}
