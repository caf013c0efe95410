//! What the shim knows of one container.

use std::os::fd::OwnedFd;

use reeve_proto::shim::{ContainerState, ExecState, Exit, container_state::Status};

use crate::attach::{self, Attachment, Input};
use crate::log::{Log, LogError, Origin};
use crate::scratch::Scratch;
use crate::worker::Part;

/// How many ends of execs wait to be fetched, at most; the oldest is forgotten first.
const EXITS_KEPT: usize = 64;

/// Bytes read from an output at one time.
pub(crate) const CHUNK: usize = 64 << 10;

/// Where a container is in its life.
#[derive(Debug)]
pub(crate) enum State {
    /// A worker makes it.
    Creating,
    Created,
    Running,
    /// Its first process was reaped; a worker clears up after it.
    Ending(Exit),
    Stopped(Exit),
}

/// A further process of a container.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    /// 0 while a worker starts it.
    pub(crate) pid: i32,
    pub(crate) exit: Option<Exit>,
}

/// A pipe or terminal that the container writes to.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) fd: OwnedFd,
    pub(crate) origin: Origin,
}

/// A container, from its creation to its deletion.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) state: State,
    pub(crate) pid: i32,
    pub(crate) created_at_ns: i64,
    pub(crate) started_at_ns: i64,
    /// Processes in it may outlive its first.
    pub(crate) shares_pid: bool,
    /// A worker changes it; other changes wait.
    pub(crate) busy: bool,
    pub(crate) log: Log,
    pub(crate) streams: Vec<Stream>,
    pub(crate) input: Option<Input>,
    /// The terminal's master, for its size.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) execs: Vec<Exec>,
    pub(crate) oom_watch: Option<OwnedFd>,
    pub(crate) oom_kills: u64,
    /// A worker counts; what the watch says meanwhile is heard afterwards.
    pub(crate) counting: bool,
    wants_stdin: bool,
    stdin_once: bool,
}

impl Container {
    /// A container that is about to be made.
    pub(crate) fn new(request: &reeve_proto::shim::Create) -> Result<Self, LogError> {
        Ok(Container {
            id: request.container_id.clone(),
            state: State::Creating,
            pid: 0,
            created_at_ns: 0,
            started_at_ns: 0,
            shares_pid: false,
            busy: true,
            log: Log::open(request.log_path.as_ref())?,
            streams: Vec::new(),
            input: None,
            terminal: None,
            attachments: Vec::new(),
            execs: Vec::new(),
            oom_watch: None,
            oom_kills: 0,
            counting: false,
            wants_stdin: request.stdin,
            stdin_once: request.stdin_once,
        })
    }

    /// Takes the descriptors that its making brought.
    pub(crate) fn adopt(&mut self, parts: Vec<(Part, OwnedFd)>) -> nix::Result<()> {
        for (part, fd) in parts {
            match part {
                Part::Stdin => self.input = Some(Input::new(fd)?),
                Part::Stdout => self.add_stream(fd, Origin::Stdout)?,
                Part::Stderr => self.add_stream(fd, Origin::Stderr)?,
                Part::Terminal => {
                    let clone = || fd.try_clone().map_err(|_| nix::errno::Errno::last());
                    if self.wants_stdin {
                        self.input = Some(Input::new(clone()?)?);
                    }
                    self.terminal = Some(clone()?);
                    self.add_stream(fd, Origin::Stdout)?;
                }
                Part::OomWatch => self.oom_watch = Some(fd),
            }
        }
        Ok(())
    }

    fn add_stream(&mut self, fd: OwnedFd, origin: Origin) -> nix::Result<()> {
        attach::set_nonblocking(&fd)?;
        self.streams.push(Stream { fd, origin });
        Ok(())
    }

    /// Its end, once all that belongs to it is done.
    pub(crate) fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Stopped(exit) => Some(exit),
            _ => None,
        }
    }

    /// Whether its first process is there to be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, State::Created | State::Running)
    }

    /// As `List` tells it; None while it is being made.
    pub(crate) fn listed(&self) -> Option<ContainerState> {
        let status = match self.state {
            State::Creating => return None,
            State::Created => Status::Created,
            State::Running | State::Ending(_) => Status::Running,
            State::Stopped(_) => Status::Stopped,
        };
        let listed = |exec: &Exec| ExecState {
            exec_id: exec.id.clone(),
            pid: exec.pid.unsigned_abs(),
            exit: exec.exit.clone(),
        };
        Some(ContainerState {
            container_id: self.id.clone(),
            status: status.into(),
            pid: self.pid.unsigned_abs(),
            exit: self.exit().cloned(),
            created_at_ns: self.created_at_ns,
            started_at_ns: self.started_at_ns,
            execs: self.execs.iter().filter(|exec| exec.pid != 0).map(listed).collect(),
        })
    }

    /// Keeps the end of an exec until it is fetched.
    pub(crate) fn end_exec(&mut self, exit: &Exit) {
        if let Some(exec) = self.execs.iter_mut().find(|exec| exec.id == exit.exec_id) {
            exec.exit = Some(exit.clone());
        }
        if self.execs.iter().filter(|exec| exec.exit.is_some()).count() > EXITS_KEPT
            && let Some(oldest) = self.execs.iter().position(|exec| exec.exit.is_some())
        {
            self.execs.remove(oldest);
        }
    }

    /// Reads once from output `index`, and passes that on. Returns whether there may be more.
    pub(crate) fn pump_output(&mut self, index: usize, buffer: &mut Scratch, out: &mut Scratch) -> bool {
        let Some(stream) = self.streams.get(index) else {
            return false;
        };
        let origin = stream.origin;
        match attach::read(&stream.fd, &mut buffer[..CHUNK]) {
            Ok(None) => false,
            Ok(Some(count)) if count > 0 => {
                buffer.touched(count);
                let bytes = &buffer[..count];
                // First the clients: a person waits there.
                for client in &mut self.attachments {
                    let sink = if origin == Origin::Stdout { &mut client.stdout } else { &mut client.stderr };
                    if sink.as_mut().is_some_and(|sink| !sink.push(bytes)) {
                        *sink = None;
                    }
                }
                self.log.write(origin, bytes, out);
                true
            }
            // The end; of any other failure there is nothing to be read after it either.
            Ok(_) | Err(_) => {
                self.streams.remove(index);
                self.log.end(origin, out);
                for client in &mut self.attachments {
                    let sink = if origin == Origin::Stdout { &mut client.stdout } else { &mut client.stderr };
                    if sink.as_mut().is_some_and(|sink| !sink.end()) {
                        *sink = None;
                    }
                }
                false
            }
        }
    }

    /// Reads what the processes that have ended left in the pipes, and no more than `limit` chunks of it,
    /// for a process that lives on may write for ever.
    pub(crate) fn drain(&mut self, limit: usize, buffer: &mut Scratch, out: &mut Scratch) {
        for _ in 0..limit {
            let mut more = false;
            for index in (0..self.streams.len()).rev() {
                more |= self.pump_output(index, buffer, out);
            }
            if !more {
                return;
            }
        }
    }

    /// Moves one chunk from client `index` towards the container's stdin.
    pub(crate) fn pump_client(&mut self, index: usize, buffer: &mut Scratch) {
        let Some(client) = self.attachments.get_mut(index) else {
            return;
        };
        let Some(stdin) = &client.stdin else { return };
        // A chunk that fits a pipe, so that what waits stays small.
        let read = attach::read(stdin, &mut buffer[..4096]);
        buffer.touched(4096);
        match (read, &mut self.input) {
            (Ok(None), _) => {}
            (Ok(Some(count)), Some(input)) if count > 0 => {
                if !input.push(&buffer[..count]) {
                    self.close_input();
                }
            }
            // The client is done, or there is nobody to read what it says.
            _ => {
                client.stdin = None;
                self.stdin_detached();
            }
        }
    }

    /// A client that fed stdin has gone: with `stdin_once` it was the last.
    pub(crate) fn stdin_detached(&mut self) {
        let closable = self.stdin_once && self.terminal.is_none();
        if closable && self.input.as_mut().is_some_and(|input| !input.end()) {
            self.close_input();
        }
    }

    /// Passes on what waits for the container's stdin.
    pub(crate) fn pump_input(&mut self) {
        if self.input.as_mut().is_some_and(|input| !input.flush()) {
            self.close_input();
        }
    }

    /// Closes stdin; clients learn it from their own.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
        for client in &mut self.attachments {
            client.stdin = None;
        }
    }

    /// Lets go of clients that have nothing left.
    pub(crate) fn sweep_attachments(&mut self) {
        self.attachments.retain(|client| !client.is_over());
        if self.attachments.is_empty() {
            self.attachments = Vec::new();
        }
    }
}
