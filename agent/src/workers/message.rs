//! Termination messages: a small file that a container can leave behind.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use reeve_proto::cri::ContainerStatus;

use super::labels::MESSAGE_PATH;
use super::record::Error;

/// Longest message that is read.
const LONGEST: u64 = 4096;

/// Makes the file of a container's next instance; it is mounted into the container.
pub(crate) fn make_file(pod_dir: &Path, container: &str, restarts: u32) -> Result<PathBuf, Error> {
    let dir = pod_dir.join("containers").join(container);
    std::fs::create_dir_all(&dir).map_err(Error::at(&dir))?;
    let file = dir.join(format!("message-{restarts}"));
    // Any user of the container may write it.
    let made = OpenOptions::new().create(true).write(true).truncate(true).mode(0o666).open(&file);
    let made = made.and_then(|f| f.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)));
    made.map_err(Error::at(&file))?;
    Ok(file)
}

/// What a container that has ended left as its message.
pub(crate) fn termination_message(c: &ContainerStatus) -> Option<String> {
    let path = c.annotations.get(MESSAGE_PATH)?;
    // The container could have put a link or a pipe there; neither is followed.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}
