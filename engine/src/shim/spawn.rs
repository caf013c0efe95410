//! Starting a shim.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;

use super::ShimError;
use crate::process::ProcessId;

/// How long a shim may take to set its pod up. Making namespaces is slow on a machine that makes many.
const READY: Duration = Duration::from_secs(60);

/// How to start a shim.
#[derive(Debug, Default)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) id: String,
    /// Exists, with mode 0700.
    pub(crate) dir: PathBuf,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) hostname: Option<String>,
    pub(crate) share_pid: bool,
    pub(crate) host_ipc: bool,
    pub(crate) host_uts: bool,
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) systemd_cgroup: bool,
}

impl Launch {
    fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> =
            vec!["--id".into(), (&self.id).into(), "--dir".into(), (&self.dir).into()];
        let mut option = |name: &str, value: Option<OsString>| {
            args.extend([Some(name.into()), value].into_iter().flatten())
        };
        if let Some(netns) = &self.netns {
            option("--netns", Some(netns.into()));
        }
        if let Some(hostname) = &self.hostname {
            option("--hostname", Some(hostname.into()));
        }
        for (key, value) in &self.sysctls {
            option("--sysctl", Some(format!("{key}={value}").into()));
        }
        for (name, set) in [
            ("--share-pid", self.share_pid),
            ("--host-ipc", self.host_ipc),
            ("--host-uts", self.host_uts),
            ("--systemd-cgroup", self.systemd_cgroup),
        ] {
            if set {
                option(name, None);
            }
        }
        args
    }

    /// Starts the program and gives what it is known by, and where it says that it is ready. The process is
    /// there from now on, whatever becomes of the caller.
    pub(crate) async fn spawn(self) -> Result<(ProcessId, Starting), ShimError> {
        let id = self.id.clone();
        let failed = |id: &str, problem: String| ShimError::Spawn { id: id.to_owned(), problem };
        // By posix_spawn(3), as nothing is asked that it cannot do: the daemon's memory is not copied. It waits
        // for the exec, so it is not for this thread.
        let spawned = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(&self.program);
            command.args(self.args()).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
            let child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
            let process =
                ProcessId::of(child.id()).map_err(|error| format!("process {}: {error}", child.id()))?;
            let stdout = child.stdout.ok_or("it has no stdout")?;
            Ok::<_, String>((process, OwnedFd::from(stdout)))
        });
        let (process, stdout) = match spawned.await {
            Ok(result) => result.map_err(|problem| failed(&id, problem))?,
            Err(error) => return Err(failed(&id, error.to_string())),
        };
        let stdout = pipe::Receiver::from_owned_fd(stdout).map_err(|error| failed(&id, error.to_string()))?;
        Ok((process, Starting { id, stdout }))
    }
}

/// A shim that has not said yet that it is ready.
pub(crate) struct Starting {
    id: String,
    stdout: pipe::Receiver,
}

impl Starting {
    /// Waits for the line `ready`.
    pub(crate) async fn ready(self) -> Result<(), ShimError> {
        let mut line = String::new();
        let mut stdout = BufReader::new(self.stdout);
        let problem = match tokio::time::timeout(READY, stdout.read_line(&mut line)).await {
            Ok(Ok(_)) if line == "ready\n" => return Ok(()),
            Ok(Ok(0)) => "it ended without a word".to_owned(),
            Ok(Ok(_)) => line.trim().trim_start_matches("error: ").to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was not ready after {READY:?}"),
        };
        Err(ShimError::Spawn { id: self.id, problem })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(dir: &std::path::Path, script: &str) -> Launch {
        let program = dir.join("shim");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Launch { program, id: "s".into(), dir: dir.into(), ..Launch::default() }
    }

    async fn start(launch: Launch) -> String {
        let (process, starting) = match launch.spawn().await {
            Ok(started) => started,
            Err(error) => return error.to_string(),
        };
        let result = starting.ready().await;
        if let Some(pidfd) = process.open().unwrap() {
            pidfd.ended().await.unwrap();
        }
        result.map_or_else(|error| error.to_string(), |()| "ready".to_owned())
    }

    #[tokio::test]
    async fn the_first_line_decides() {
        let dir = tempfile::tempdir().unwrap();
        for (script, result) in [
            ("echo ready", "ready"),
            ("echo error: no namespaces left", "cannot start the shim of s: no namespaces left"),
            ("exit 3", "cannot start the shim of s: it ended without a word"),
        ] {
            assert_eq!(start(program(dir.path(), script)).await, result);
        }
        let absent = Launch { program: "/absent/shim".into(), ..Launch::default() };
        assert!(start(absent).await.contains("/absent/shim"));
    }

    #[test]
    fn the_command_line() {
        let launch = Launch {
            id: "s".into(),
            dir: "/d".into(),
            netns: Some("/n".into()),
            sysctls: vec![("net.a".into(), "1".into())],
            share_pid: true,
            ..Launch::default()
        };
        let words = ["--id", "s", "--dir", "/d", "--netns", "/n", "--sysctl", "net.a=1", "--share-pid"];
        assert_eq!(launch.args(), words);
    }
}
