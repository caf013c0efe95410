//! Running commands in containers, and taking part in what runs there.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use reeve_proto::shim::{self as wire, Exit, error::Code};
use serde_json::Value;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::inner::{Inner, blocking};
use super::state::ContainerEntry;
use crate::error::{Error, IoContext, Result, chain};
use crate::process::{output, pty};
use crate::shim::{Client, ShimError};
use crate::spec::exec_process;
use crate::types::{AttachSpec, ExecOutput, ExecSession, ExecSpec, Terminal};

/// How long a killed command may take to be gone.
const KILL: Duration = Duration::from_secs(10);

impl Inner {
    pub(crate) async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        limit: Option<Duration>,
    ) -> Result<ExecOutput> {
        let entry = self.containers.find(id)?;
        let spec = ExecSpec { cmd, stdout: true, stderr: true, ..ExecSpec::default() };
        let process = self.exec_process(&entry, &spec).await?;
        let (streams, fds) = Streams::new(false, true, true)?;
        let exec = self.start_exec(&entry, process, &spec, fds).await?.0;
        let (ended, when_ended) = watch::channel(false);
        let collect = |stream: Option<Receiver>| {
            let when_ended = when_ended.clone();
            async move {
                match stream {
                    Some(stream) => output::collect(stream, when_ended).await.at("read output of", "command"),
                    None => Ok(Vec::new()),
                }
            }
        };
        let wait = async {
            let exit = wait_at_most(&entry, &exec, limit).await;
            ended.send_replace(true);
            exit
        };
        let (exit, stdout, stderr) = tokio::join!(wait, collect(streams.stdout), collect(streams.stderr));
        Ok(ExecOutput { exit_code: exit?.exit_code, stdout: stdout?, stderr: stderr? })
    }

    pub(crate) async fn exec(&self, id: &str, spec: ExecSpec) -> Result<ExecSession> {
        let entry = self.containers.find(id)?;
        let process = self.exec_process(&entry, &spec).await?;
        let wanted = |stream: bool| stream && !spec.tty;
        let (streams, fds) = Streams::new(wanted(spec.stdin), wanted(spec.stdout), wanted(spec.stderr))?;
        let (exec, master) = self.start_exec(&entry, process, &spec, fds).await?;
        let master = master.map(Arc::new);
        let terminal = Terminal {
            shim: entry.sandbox.shim.clone(),
            container: entry.id.clone(),
            exec: exec.clone(),
            master: master.clone(),
        };
        let exit = self.report_exit(&entry, exec);
        let Some(master) = master else { return Ok(streams.session(terminal, exit)) };
        let master = pty::Master::new(master).at("use", "terminal")?;
        Ok(ExecSession {
            stdin: spec.stdin.then(|| Box::new(master.clone()) as _),
            stdout: spec.stdout.then(|| Box::new(master) as _),
            stderr: None,
            terminal,
            exit,
        })
    }

    pub(crate) async fn attach(&self, id: &str, spec: AttachSpec) -> Result<ExecSession> {
        let entry = self.containers.find(id)?;
        let record = entry.running("attach to it")?;
        if spec.stdin && !record.spec.stdin {
            let problem = "the container was made without one".to_owned();
            return Err(Error::Invalid { field: "stdin", problem });
        }
        let stderr = spec.stderr && !record.spec.tty;
        let (streams, fds) = Streams::new(spec.stdin, spec.stdout, stderr)?;
        let attach = wire::Attach {
            container_id: entry.id.clone(),
            has_stdin: spec.stdin,
            has_stdout: spec.stdout,
            has_stderr: stderr,
        };
        let shim = entry.sandbox.shim.clone();
        shim.attach(attach, &fds).await?;
        let terminal = Terminal { shim, container: entry.id.clone(), exec: String::new(), master: None };
        Ok(streams.session(terminal, self.report_exit(&entry, String::new())))
    }

    /// The process object of an exec, made from the container's own in its bundle.
    async fn exec_process(&self, entry: &ContainerEntry, spec: &ExecSpec) -> Result<Value> {
        let record = entry.running("run a command in it")?;
        let path = self.config.bundle_dir(&entry.id).join("config.json");
        let config = blocking(move || {
            let text = std::fs::read(&path).at("read", &path)?;
            serde_json::from_slice::<Value>(&text).map_err(std::io::Error::from).at("read", &path)
        });
        exec_process(&record, &config.await?["process"], &spec.cmd, spec.tty)
    }

    async fn start_exec(
        &self,
        entry: &ContainerEntry,
        process: Value,
        spec: &ExecSpec,
        fds: Vec<OwnedFd>,
    ) -> Result<(String, Option<OwnedFd>)> {
        let exec_id = Uuid::new_v4().simple().to_string();
        let exec = wire::Exec {
            container_id: entry.id.clone(),
            exec_id: exec_id.clone(),
            process: process.to_string().into_bytes(),
            has_stdin: spec.stdin && !spec.tty,
            has_stdout: spec.stdout && !spec.tty,
            has_stderr: spec.stderr && !spec.tty,
        };
        match entry.sandbox.shim.exec(exec, &fds).await {
            Ok(master) => Ok((exec_id, master)),
            Err(ShimError::Refused { code: Code::CommandNotFound, message }) => {
                Err(Error::CommandNotFound(message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the session of the process's end, whether or not it still wants to know: the shim keeps an exit
    /// until it is fetched.
    fn report_exit(&self, entry: &ContainerEntry, exec: String) -> oneshot::Receiver<i32> {
        let (report, exit) = oneshot::channel();
        let (shim, container, closing) = (entry.sandbox.shim.clone(), entry.id.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            let exit = tokio::select! {
                () = closing.cancelled() => return,
                exit = shim.wait(&container, &exec) => exit,
            };
            match exit {
                Ok(exit) => drop(report.send(exit.exit_code)),
                Err(error) => tracing::debug!(container, exec, "no exit: {}", chain(&error)),
            }
        });
        exit
    }
}

/// Kills the process when it takes longer than it may.
async fn wait_at_most(entry: &ContainerEntry, exec: &str, limit: Option<Duration>) -> Result<Exit> {
    let shim: &Client = &entry.sandbox.shim;
    let wait = shim.wait(&entry.id, exec);
    let Some(limit) = limit else { return Ok(wait.await?) };
    tokio::pin!(wait);
    if let Ok(exit) = tokio::time::timeout(limit, &mut wait).await {
        return Ok(exit?);
    }
    match shim.signal(&entry.id, exec, libc::SIGKILL, false).await {
        Err(error) if !error.is(Code::NotFound) && !error.is(Code::FailedPrecondition) => {
            return Err(error.into());
        }
        _ => {}
    }
    // Whether or not it is gone by then, it took too long.
    let _ = tokio::time::timeout(KILL, wait).await;
    Err(Error::ExecTimeout(limit))
}

/// Our ends of the pipes to a process; its ends go with the request.
struct Streams {
    stdin: Option<Sender>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

impl Streams {
    fn new(stdin: bool, stdout: bool, stderr: bool) -> Result<(Self, Vec<OwnedFd>)> {
        let mut fds = Vec::new();
        let mut ours = Self { stdin: None, stdout: None, stderr: None };
        if stdin {
            let (reader, writer) = pipe()?;
            fds.push(reader);
            ours.stdin = Some(Sender::from_owned_fd(writer).at("use", "pipe")?);
        }
        for (wanted, place) in [(stdout, &mut ours.stdout), (stderr, &mut ours.stderr)] {
            if wanted {
                let (reader, writer) = pipe()?;
                fds.push(writer);
                *place = Some(Receiver::from_owned_fd(reader).at("use", "pipe")?);
            }
        }
        Ok((ours, fds))
    }

    fn session(self, terminal: Terminal, exit: oneshot::Receiver<i32>) -> ExecSession {
        ExecSession {
            stdin: self.stdin.map(|stream| Box::new(stream) as _),
            stdout: self.stdout.map(|stream| Box::new(stream) as _),
            stderr: self.stderr.map(|stream| Box::new(stream) as _),
            terminal,
            exit,
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = std::io::pipe().at("make", "pipe")?;
    Ok((reader.into(), writer.into()))
}
