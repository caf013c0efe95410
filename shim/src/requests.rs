//! What each request does: answered at once, given to a worker, or left to wait.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use reeve_proto::shim::{
    Attach, Create, Delete, Empty, Error, Exec, ListReply, Pong, ReopenLog, ResizeTty, Response, Signal,
    Start, Stats, Update, Wait, error::Code, request, response,
};

use crate::attach::{Attachment, Sink};
use crate::connection::Phase;
use crate::container::{self, Container, State};
use crate::shim::{Errand, Key, Shim};

/// What became of a request.
enum Reply {
    Now(response::Kind),
    /// A worker answers.
    Worker,
    /// To be tried again after the next change.
    Later,
}

type Answer = Result<Reply, Error>;

const DONE: Answer = Ok(Reply::Now(response::Kind::Empty(Empty {})));

fn refuse(code: Code, message: impl Into<String>) -> Error {
    Error { code: code.into(), message: message.into() }
}

impl Shim {
    /// Does a request of connection `client`, or says why not.
    pub(crate) fn dispatch(&mut self, client: Key, kind: request::Kind, descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors;
        let answer = self.perform(client, &kind, &mut descriptors);
        let Some(connection) = self.connections.get_mut(&client) else {
            return;
        };
        let response = match answer {
            Ok(Reply::Worker) => return,
            Ok(Reply::Later) => {
                connection.phase = Phase::Waiting(kind, descriptors);
                return;
            }
            Ok(Reply::Now(kind)) => Response { error: None, kind: Some(kind) },
            Err(error) => Response { error: Some(error), kind: None },
        };
        self.answer(client, &response, Vec::new());
    }

    fn perform(&mut self, client: Key, kind: &request::Kind, descriptors: &mut Vec<OwnedFd>) -> Answer {
        match kind {
            request::Kind::Ping(_) => Ok(Reply::Now(response::Kind::Pong(self.pong()))),
            request::Kind::Create(request) => self.create(client, request),
            request::Kind::Start(request) => self.start(client, request),
            request::Kind::Signal(request) => self.signal(client, request),
            request::Kind::Exec(request) => self.exec(client, request, descriptors),
            request::Kind::ResizeTty(request) => self.resize(request),
            request::Kind::Attach(request) => self.attach(request, std::mem::take(descriptors)),
            request::Kind::Update(request) => self.update(client, request),
            request::Kind::Stats(request) => self.stats(client, request),
            request::Kind::ReopenLog(request) => self.reopen_log(request),
            request::Kind::List(_) => Ok(Reply::Now(response::Kind::List(self.list()))),
            request::Kind::Delete(request) => self.delete(client, request),
            request::Kind::Wait(request) => self.await_exit(request),
            request::Kind::Shutdown(request) => self.shutdown(client, request.force),
            request::Kind::Subscribe(_) => {
                if let Some(connection) = self.connections.get_mut(&client) {
                    connection.phase = Phase::Subscribed;
                }
                DONE
            }
        }
    }

    fn pong(&self) -> Pong {
        let version = env!("REEVE_VERSION").to_owned();
        Pong { version, pid: std::process::id(), pod_init_pid: self.pod_init.unsigned_abs() }
    }

    fn list(&self) -> ListReply {
        ListReply { containers: self.containers.values().filter_map(Container::listed).collect() }
    }

    /// The container `id`; one that is being made is not there yet.
    fn find(&mut self, id: &str) -> Result<(Key, &mut Container), Error> {
        let found = self.containers.iter_mut().find(|(_, container)| container.id == id);
        match found {
            Some((key, container)) if !matches!(container.state, State::Creating) => Ok((*key, container)),
            _ => Err(refuse(Code::NotFound, format!("container {id:?} does not exist"))),
        }
    }

    /// The container `id` with its first process alive.
    fn find_alive(&mut self, id: &str) -> Result<(Key, &mut Container), Error> {
        match self.find(id)? {
            (key, container) if container.is_alive() => Ok((key, container)),
            _ => Err(refuse(Code::FailedPrecondition, format!("container {id:?} has stopped"))),
        }
    }

    fn create(&mut self, client: Key, request: &Create) -> Answer {
        let id = &request.container_id;
        check_id(id)?;
        if self.containers.values().any(|container| container.id == *id) {
            return Err(refuse(Code::AlreadyExists, format!("container {id:?} exists")));
        }
        let container =
            Container::new(request).map_err(|error| refuse(Code::Internal, crate::chain(&error)))?;
        let key = self.key();
        self.employ(Some(client), Errand::Create(key), &[], |jobs| jobs.framed(|jobs| jobs.create(request)))?;
        self.containers.insert(key, container);
        Ok(Reply::Worker)
    }

    fn start(&mut self, client: Key, request: &Start) -> Answer {
        let id = &request.container_id;
        let (key, container) = self.find(id)?;
        if container.busy {
            return Ok(Reply::Later);
        }
        if !matches!(container.state, State::Created) {
            return Err(refuse(Code::FailedPrecondition, format!("container {id:?} was started before")));
        }
        container.busy = true;
        let employed =
            self.employ(Some(client), Errand::Start(key), &[], |jobs| jobs.framed(|jobs| jobs.start(id)));
        self.unless_employed(key, employed)
    }

    /// A container whose worker could not be started is not busy.
    fn unless_employed(&mut self, key: Key, employed: Result<(), Error>) -> Answer {
        if employed.is_err()
            && let Some(container) = self.containers.get_mut(&key)
        {
            container.busy = false;
        }
        employed.map(|()| Reply::Worker)
    }

    fn signal(&mut self, client: Key, request: &Signal) -> Answer {
        let id = &request.container_id;
        let signal = request.signal as i32;
        let (_, container) = self.find_alive(id)?;
        if request.all {
            if signal != libc::SIGKILL {
                return Err(refuse(Code::InvalidArgument, "only SIGKILL can be sent to all processes"));
            }
            self.employ(Some(client), Errand::Read, &[], |jobs| jobs.framed(|jobs| jobs.kill_all(id)))?;
            return Ok(Reply::Worker);
        }
        let pid = if request.exec_id.is_empty() {
            container.pid
        } else {
            let exec = container.execs.iter().find(|exec| exec.id == request.exec_id && exec.exit.is_none());
            exec.map(|exec| exec.pid)
                .filter(|pid| *pid > 0)
                .ok_or_else(|| refuse(Code::NotFound, format!("exec {:?} does not run", request.exec_id)))?
        };
        // The id cannot have been taken by another process: it is our child, and we have not reaped it.
        // SAFETY: kill(2) has no preconditions.
        match Errno::result(unsafe { libc::kill(pid, signal) }) {
            Ok(_) => DONE,
            Err(Errno::EINVAL) => Err(refuse(Code::InvalidArgument, format!("there is no signal {signal}"))),
            Err(errno) => Err(refuse(Code::Internal, format!("signal {signal} to process {pid}: {errno}"))),
        }
    }

    fn exec(&mut self, client: Key, request: &Exec, descriptors: &mut Vec<OwnedFd>) -> Answer {
        let flags = [request.has_stdin, request.has_stdout, request.has_stderr];
        check_descriptors(&flags, descriptors)?;
        if request.exec_id.is_empty() {
            return Err(refuse(Code::InvalidArgument, "an exec needs an id"));
        }
        let (key, container) = self.find_alive(&request.container_id)?;
        if container.execs.iter().any(|exec| exec.id == request.exec_id) {
            return Err(refuse(Code::AlreadyExists, format!("exec {:?} exists", request.exec_id)));
        }
        let id = request.exec_id.clone();
        container.execs.push(container::Exec { id: id.clone(), pid: 0, exit: None });
        let keep: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let descriptors = std::mem::take(descriptors);
        let errand = Errand::Exec(key, id.clone());
        let job = |jobs: &crate::worker::Jobs| jobs.framed(|jobs| jobs.exec(request, descriptors));
        let employed = self.employ(Some(client), errand, &keep, job);
        if employed.is_err()
            && let Some(container) = self.containers.get_mut(&key)
        {
            container.execs.retain(|exec| exec.id != id);
        }
        employed.map(|()| Reply::Worker)
    }

    fn resize(&mut self, request: &ResizeTty) -> Answer {
        let (_, container) = self.find(&request.container_id)?;
        let Some(terminal) = &container.terminal else {
            return Err(refuse(
                Code::FailedPrecondition,
                format!("container {:?} has no terminal", container.id),
            ));
        };
        let clamp = |size: u32| u16::try_from(size).unwrap_or(u16::MAX);
        let (ws_row, ws_col) = (clamp(request.rows), clamp(request.columns));
        let size = libc::winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads a winsize (TIOCGWINSZ(2const)).
        match Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) }) {
            Ok(_) => DONE,
            Err(errno) => Err(refuse(Code::Internal, format!("set the terminal's size: {errno}"))),
        }
    }

    fn attach(&mut self, request: &Attach, descriptors: Vec<OwnedFd>) -> Answer {
        check_descriptors(&[request.has_stdin, request.has_stdout, request.has_stderr], &descriptors)?;
        let (_, container) = self.find_alive(&request.container_id)?;
        if request.has_stdin && container.input.is_none() {
            let message = format!("stdin of container {:?} is not open", container.id);
            return Err(refuse(Code::FailedPrecondition, message));
        }
        let failed = |errno: Errno| refuse(Code::Internal, format!("attach: {errno}"));
        let mut given = descriptors.into_iter();
        let mut next = |has: bool| if has { given.next() } else { None };
        let stdin = next(request.has_stdin);
        if let Some(stdin) = &stdin {
            crate::attach::set_nonblocking(stdin).map_err(failed)?;
        }
        let stdout = next(request.has_stdout).map(Sink::new).transpose().map_err(failed)?;
        let stderr = next(request.has_stderr).map(Sink::new).transpose().map_err(failed)?;
        // A terminal has one output; a stderr of the client's would stay silent for ever.
        let stderr = stderr.filter(|_| container.terminal.is_none());
        container.attachments.push(Attachment { stdin, stdout, stderr });
        container.sweep_attachments();
        DONE
    }

    fn update(&mut self, client: Key, request: &Update) -> Answer {
        let (key, container) = self.find_alive(&request.container_id)?;
        if container.busy {
            return Ok(Reply::Later);
        }
        container.busy = true;
        let job = |jobs: &crate::worker::Jobs| jobs.framed(|jobs| jobs.update(request));
        let employed = self.employ(Some(client), Errand::Change(key), &[], job);
        self.unless_employed(key, employed)
    }

    fn stats(&mut self, client: Key, request: &Stats) -> Answer {
        let mut ids = Vec::new();
        for id in &request.container_ids {
            ids.push(self.find_alive(id)?.1.id.clone());
        }
        let all = ids.is_empty();
        if all {
            ids.extend(self.containers.values().filter(|it| it.is_alive()).map(|it| it.id.clone()));
        }
        self.employ(Some(client), Errand::Read, &[], |jobs| jobs.framed(|jobs| jobs.stats(&ids, all)))?;
        Ok(Reply::Worker)
    }

    fn reopen_log(&mut self, request: &ReopenLog) -> Answer {
        let (_, container) = self.find(&request.container_id)?;
        container.log.reopen().map_err(|error| refuse(Code::Internal, crate::chain(&error)))?;
        DONE
    }

    fn delete(&mut self, client: Key, request: &Delete) -> Answer {
        let id = &request.container_id;
        let (key, container) = self.find(id)?;
        if container.busy || matches!(container.state, State::Ending(_)) {
            return Ok(Reply::Later);
        }
        if container.is_alive() {
            if !request.force {
                return Err(refuse(Code::FailedPrecondition, format!("container {id:?} runs")));
            }
            kill(container.pid);
            return Ok(Reply::Later);
        }
        container.busy = true;
        let employed =
            self.employ(Some(client), Errand::Delete(key), &[], |jobs| jobs.framed(|jobs| jobs.delete(id)));
        self.unless_employed(key, employed)
    }

    fn await_exit(&mut self, request: &Wait) -> Answer {
        let (_, container) = self.find(&request.container_id)?;
        if request.exec_id.is_empty() {
            return Ok(container
                .exit()
                .map_or(Reply::Later, |exit| Reply::Now(response::Kind::Exit(exit.clone()))));
        }
        let Some(index) = container.execs.iter().position(|exec| exec.id == request.exec_id) else {
            return Err(refuse(Code::NotFound, format!("exec {:?} does not exist", request.exec_id)));
        };
        Ok(match container.execs[index].exit.take() {
            Some(exit) => {
                container.execs.remove(index);
                Reply::Now(response::Kind::Exit(exit))
            }
            None => Reply::Later,
        })
    }

    fn shutdown(&mut self, client: Key, force: bool) -> Answer {
        let stopped = |container: &Container| container.exit().is_some() && !container.busy;
        if !self.containers.values().all(stopped) {
            if !force {
                return Err(refuse(Code::FailedPrecondition, "a container of the pod still runs"));
            }
            for container in self.containers.values().filter(|container| container.is_alive()) {
                kill(container.pid);
            }
            for running in self.workers.values().filter(|it| matches!(it.errand, Errand::Create(_))) {
                kill(running.worker.pid());
            }
            return Ok(Reply::Later);
        }
        self.employ(Some(client), Errand::Clear, &[], |jobs| jobs.framed(|jobs| jobs.delete_all()))?;
        Ok(Reply::Worker)
    }
}

fn kill(pid: i32) {
    // SAFETY: kill(2) has no preconditions; the process is a child that was not reaped yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Ids become file names.
fn check_id(id: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.chars().all(plain) {
        return Err(refuse(Code::InvalidArgument, format!("{id:?} cannot be a container's id")));
    }
    Ok(())
}

fn check_descriptors(wanted: &[bool], given: &[OwnedFd]) -> Result<(), Error> {
    let wanted = wanted.iter().filter(|wanted| **wanted).count();
    if wanted != given.len() {
        let message = format!("the request names {wanted} descriptors and brings {}", given.len());
        return Err(refuse(Code::InvalidArgument, message));
    }
    Ok(())
}
