//! Hooks: programs that the configuration has run at certain points, runtime-spec's config "POSIX-platform Hooks".

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Hook, Hooks};

use crate::Error;
use crate::sys::process::pidfd_open;

/// No more of a hook's stderr is kept than this.
const MAX_ERROR_TEXT: usize = 4096;

/// The points at which hooks run, by their names in config.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Point {
    const ALL: [Point; 6] = [
        Point::Prestart,
        Point::CreateRuntime,
        Point::CreateContainer,
        Point::StartContainer,
        Point::Poststart,
        Point::Poststop,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Point::Prestart => "prestart",
            Point::CreateRuntime => "createRuntime",
            Point::CreateContainer => "createContainer",
            Point::StartContainer => "startContainer",
            Point::Poststart => "poststart",
            Point::Poststop => "poststop",
        }
    }

    // prestart is deprecated, and engines still use it.
    #[allow(deprecated)]
    pub(crate) fn of(self, hooks: Option<&Hooks>) -> &[Hook] {
        let Some(hooks) = hooks else { return &[] };
        let list = match self {
            Point::Prestart => hooks.prestart(),
            Point::CreateRuntime => hooks.create_runtime(),
            Point::CreateContainer => hooks.create_container(),
            Point::StartContainer => hooks.start_container(),
            Point::Poststart => hooks.poststart(),
            Point::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Refuses hooks that cannot run, by field.
pub(crate) fn check(hooks: Option<&Hooks>) -> Result<(), Error> {
    for point in Point::ALL {
        for (index, hook) in point.of(hooks).iter().enumerate() {
            let field = |name: &str| format!("hooks.{}[{index}].{name}", point.name());
            if !hook.path().is_absolute() {
                return Err(Error::config(field("path"), "is not absolute"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(Error::config(field("timeout"), "must be over zero"));
            }
        }
    }
    Ok(())
}

/// Runs the hooks of `point` one after the other; the first that fails ends it. Each is given `state` (the container's
/// state as JSON) on stdin, its own environment and nothing of ours.
pub(crate) fn run(hooks: Option<&Hooks>, point: Point, state: &str) -> Result<(), Error> {
    for hook in point.of(hooks) {
        run_one(hook, state).map_err(|reason| Error::Hook {
            kind: point.name().to_owned(),
            path: hook.path().clone(),
            reason,
        })?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &str) -> Result<(), String> {
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    command.envs(hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its state; a short one fits the pipe in any case.
        let _ = stdin.write_all(state.as_bytes());
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let (ended, text) = watch(&mut child, timeout).map_err(|error| error.to_string())?;
    if !ended {
        // It may end by itself at this very moment.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match (ended, status.success()) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("took longer than {} s", timeout.unwrap_or_default().as_secs())),
        (true, false) => Err(format!("{status}, stderr: {}", text.trim_end())),
    }
}

/// Waits for the hook's end and collects its stderr meanwhile; false when the time is up first.
fn watch(child: &mut Child, timeout: Option<Duration>) -> io::Result<(bool, String)> {
    let pidfd = pidfd_open(child.id() as i32)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut stderr = child.stderr.take();
    let mut text = Vec::new();
    loop {
        let left = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        fds.extend(stderr.as_ref().map(|stderr| PollFd::new(stderr.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, left) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        let (ended, readable) = (ready(0), ready(1));
        if readable && !drain(&mut stderr, &mut text)? {
            stderr = None;
        }
        if ended {
            return Ok((true, String::from_utf8_lossy(&text).into_owned()));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok((false, String::new()));
        }
    }
}

/// Reads what is there; false at the end of the stream.
fn drain(stderr: &mut Option<impl Read + AsRawFd>, text: &mut Vec<u8>) -> io::Result<bool> {
    let Some(stream) = stderr else { return Ok(false) };
    let mut buffer = [0u8; 1024];
    let length = stream.read(&mut buffer)?;
    let room = MAX_ERROR_TEXT.saturating_sub(text.len()).min(length);
    text.extend_from_slice(&buffer[..room]);
    Ok(length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: &str) -> Hooks {
        serde_json::from_str(json).expect("json")
    }

    #[test]
    fn a_hook_gets_the_state_and_its_own_environment_only() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let script = format!("{{ cat; echo; env; echo $0; }} > {}", file.path().display());
        let hooks = hooks(&format!(
            r#"{{"createRuntime":[{{"path":"/bin/sh","args":["named","-c",{script:?}],"env":["ONLY=this"]}}]}}"#
        ));
        run(Some(&hooks), Point::CreateRuntime, "{\"id\":\"x\"}").expect("hook");
        let text = std::fs::read_to_string(file.path()).expect("output");
        assert!(text.starts_with("{\"id\":\"x\"}\n"), "{text}");
        assert!(text.contains("ONLY=this") && !text.contains("CARGO"), "{text}");
        assert!(text.contains("named"), "{text}");
    }

    #[test]
    fn failures_name_the_hook_and_its_words() {
        let bad = hooks(r#"{"poststop":[{"path":"/bin/sh","args":["sh","-c","echo wrong >&2; exit 3"]}]}"#);
        let text = run(Some(&bad), Point::Poststop, "").expect_err("fails").to_string();
        assert!(
            text.contains("poststop hook /bin/sh") && text.contains('3') && text.contains("wrong"),
            "{text}"
        );
        let slow = hooks(r#"{"prestart":[{"path":"/bin/sleep","args":["sleep","60"],"timeout":1}]}"#);
        let text = run(Some(&slow), Point::Prestart, "").expect_err("times out").to_string();
        assert!(text.contains("longer than 1 s"), "{text}");
    }

    #[test]
    fn impossible_hooks_are_refused_by_field() {
        let text = check(Some(&hooks(r#"{"poststart":[{"path":"x"}]}"#))).expect_err("relative").to_string();
        assert!(text.contains("hooks.poststart[0].path"), "{text}");
    }
}
