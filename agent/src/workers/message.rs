//! Termination messages: a small file that a container can leave behind, or the end of its log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use reeve_proto::cri::ContainerStatus;

use super::labels::{MESSAGE_PATH, MESSAGE_POLICY};
use super::record::Error;
use crate::log_line::Line;

/// Longest message of a file; of a longer one the end is read.
const LONGEST: u64 = 4096;
/// How much of a log is a message.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;
/// How much of a log is looked at. Lines come in records of 16 KiB, so that this holds a message of any lines.
const LOG_WINDOW: u64 = 256 << 10;

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

/// What a container that has ended left as its message, after what the runtime says of its end.
pub(super) fn termination_message(c: &ContainerStatus) -> Option<String> {
    let file = c.annotations.get(MESSAGE_PATH).and_then(|path| from_file(Path::new(path)).ok());
    let own = file.filter(|text| !text.is_empty()).or_else(|| {
        let falls_back = c.annotations.get(MESSAGE_POLICY).is_some_and(|p| p == "FallbackToLogsOnError");
        // One that was never started has no log.
        let wants_log = falls_back && c.exit_code != 0 && c.started_at > 0 && !c.log_path.is_empty();
        wants_log.then(|| from_log(Path::new(&c.log_path)).unwrap_or_else(|error| unread(&error)))
    });
    let parts = [Some(c.message.clone()), own];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn unread(error: &io::Error) -> String {
    format!("Error on reading termination message from logs: {error}")
}

fn from_file(path: &Path) -> io::Result<String> {
    // The container could have put a link or a pipe there; neither is followed.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    Ok(String::from_utf8_lossy(&end_of(&file, LONGEST)?.1).into_owned())
}

/// The text of the last lines of a log.
fn from_log(path: &Path) -> io::Result<String> {
    let (from, mut bytes) = end_of(&File::open(path)?, LOG_WINDOW)?;
    if from > 0 {
        // The first record is not whole.
        let whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..whole);
    }
    // Only whole records count, so nothing stands behind the last newline.
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0));
    let mut parts: Vec<(&[u8], &[u8])> = Vec::new();
    let (mut lines, mut length) = (0, 0);
    for line in bytes.rsplit(|byte| *byte == b'\n').filter_map(Line::parse) {
        lines += usize::from(line.full);
        if lines > LOG_LINES || length >= LOG_BYTES {
            break;
        }
        let end: &[u8] = if line.full { b"\n" } else { b"" };
        length += line.text.len() + end.len();
        parts.push((line.text, end));
    }
    let mut text: Vec<u8> =
        parts.iter().rev().flat_map(|(text, end)| [*text, *end]).flatten().copied().collect();
    text.drain(..text.len().saturating_sub(LOG_BYTES));
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last `most` bytes of a regular file, and where they begin.
fn end_of(file: &File, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let from = metadata.len().saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(metadata.len() - from).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    Ok((from, bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A container that ended with `code` and left a file and a log.
    fn ended(dir: &Path, policy: &str, code: i32, file: &str, log: &str) -> ContainerStatus {
        let path = make_file(dir, "web", 0).expect("a file");
        std::fs::write(&path, file).expect("written");
        std::fs::write(dir.join("0.log"), log).expect("written");
        ContainerStatus {
            exit_code: code,
            started_at: 1,
            log_path: dir.join("0.log").to_string_lossy().into_owned(),
            annotations: HashMap::from([
                (MESSAGE_PATH.to_owned(), path.to_string_lossy().into_owned()),
                (MESSAGE_POLICY.to_owned(), policy.to_owned()),
            ]),
            ..ContainerStatus::default()
        }
    }

    fn record(tag: char, text: &str) -> String {
        format!("2026-11-21T10:00:00.000000001Z stderr {tag} {text}\n")
    }

    #[test]
    fn the_log_speaks_only_for_a_failure_without_a_message() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = record('F', "starting") + &record('P', "no ") + &record('F', "config");
        let said = |policy, code, file| termination_message(&ended(dir.path(), policy, code, file, &log));
        assert_eq!(said("FallbackToLogsOnError", 1, "").as_deref(), Some("starting\nno config\n"));
        assert_eq!(said("FallbackToLogsOnError", 1, "mine").as_deref(), Some("mine"));
        assert_eq!(said("FallbackToLogsOnError", 0, ""), None);
        assert_eq!(said("File", 1, ""), None);
        let mut told = ended(dir.path(), "FallbackToLogsOnError", 1, "", &log);
        told.message = "killed".into();
        assert_eq!(termination_message(&told).as_deref(), Some("killed: starting\nno config\n"));
        told.started_at = 0;
        assert_eq!(termination_message(&told).as_deref(), Some("killed"));
    }

    #[test]
    fn messages_are_limited_as_the_kubelet_limits_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let said = |file: &str, log: &str| {
            termination_message(&ended(dir.path(), "FallbackToLogsOnError", 1, file, log)).expect("a message")
        };
        let long = format!("{}{}", "a".repeat(10), "b".repeat(4096));
        assert_eq!(said(&long, ""), "b".repeat(4096), "the end of the file");
        let lines: String = (0..200).map(|n| record('F', &n.to_string())).collect();
        let last: String = (120..200).map(|n| format!("{n}\n")).collect();
        assert_eq!(said("", &lines), last, "80 lines");
        let wide: String = (0..80).map(|n| record('F', &format!("{n:0100}"))).collect();
        let message = said("", &wide);
        assert_eq!((message.len(), message.ends_with("79\n")), (2048, true));
        let huge = record('P', &"x".repeat(16 << 10)).repeat(40) + &record('F', "end");
        assert_eq!(said("", &huge), "x".repeat(2044) + "end\n");
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let c = ended(dir.path(), "File", 1, "", "");
        let path = &c.annotations[MESSAGE_PATH];
        std::fs::remove_file(path).expect("removed");
        std::os::unix::fs::symlink("/etc/passwd", path).expect("a link");
        assert_eq!(termination_message(&c), None);
    }
}
