//! The loop: one poll(2) over everything, whose list is made anew from the state each time, so that what is
//! waited for can never differ from what the state says.
//!
//! The loop itself only moves bytes, reaps, and keeps the books; every call of the runtime library is done by a
//! [`Worker`]. A request that cannot be answered yet stays with its connection ([`Phase::Waiting`]) and is
//! tried again after each change of the books.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use reeve_proto::shim::{Error, Event, OomKill, Response, error::Code, event};

use crate::attach;
use crate::connection::{Closed, Connection, Phase};
use crate::container::{CHUNK, Container};
use crate::exits::Exits;
use crate::scratch::Scratch;
use crate::worker::{Jobs, Worker};

/// Names a connection, worker or container for as long as the shim lives.
pub(crate) type Key = u32;

/// What a worker's outcome is for.
#[derive(Debug)]
pub(crate) enum Errand {
    Create(Key),
    Start(Key),
    Exec(Key, String),
    /// A call that changes the container, and nothing that the loop keeps.
    Change(Key),
    /// A call that changes nothing.
    Read,
    Delete(Key),
    /// After the container's first process ended.
    Autopsy(Key),
    /// After its OOM watch spoke.
    CountOoms(Key),
    /// The shim's end: all containers are deleted.
    Clear,
}

/// A worker, what for, and for whom.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) worker: Worker,
    pub(crate) errand: Errand,
    pub(crate) client: Option<Key>,
}

/// Who a descriptor belongs to.
#[derive(Debug, Clone, Copy)]
enum Token {
    Worker(Key),
    Signals,
    Output(Key, usize),
    Input(Key),
    OomWatch(Key),
    ClientInput(Key, usize),
    ClientOutput(Key, usize),
    Connection(Key),
    Listener,
}

/// The shim of one pod.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) jobs: Jobs,
    pub(crate) exits: Exits,
    pub(crate) pod_init: i32,
    listener: UnixListener,
    signals: SignalFd,
    pub(crate) connections: BTreeMap<Key, Connection>,
    pub(crate) workers: BTreeMap<Key, Running>,
    pub(crate) containers: BTreeMap<Key, Container>,
    next: Key,
    /// Something changed that a waiting request may wait for.
    pub(crate) changed: bool,
    /// The answer to `Shutdown` is on its way.
    pub(crate) finished: bool,
    buffer: Scratch,
    out: Scratch,
}

/// How the loop can fail. Each of them means that the kernel refuses what it always grants.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoopError {
    #[error("map the buffers")]
    Buffers(#[source] io::Error),
    #[error("wait for events")]
    Poll(#[source] Errno),
}

impl Shim {
    pub(crate) fn new(
        jobs: Jobs,
        exits: Exits,
        pod_init: i32,
        listener: UnixListener,
        signals: SignalFd,
    ) -> Result<Self, LoopError> {
        Ok(Shim {
            jobs,
            exits,
            pod_init,
            listener,
            signals,
            connections: BTreeMap::new(),
            workers: BTreeMap::new(),
            containers: BTreeMap::new(),
            next: 0,
            changed: false,
            finished: false,
            buffer: Scratch::new(CHUNK).map_err(LoopError::Buffers)?,
            out: Scratch::new(2 * CHUNK).map_err(LoopError::Buffers)?,
        })
    }

    /// Runs until a `Shutdown` is done and answered.
    pub(crate) fn run(&mut self) -> Result<(), LoopError> {
        while !self.finished || self.connections.values().any(Connection::is_sending) {
            let ready = self.wait()?;
            for (token, flags) in ready {
                self.handle(token, flags);
            }
            while std::mem::take(&mut self.changed) {
                self.retry_waiting();
            }
        }
        Ok(())
    }

    /// Waits until something is ready, and says what. Memory of a burst is given back before a long wait.
    fn wait(&mut self) -> Result<Vec<(Token, PollFlags)>, LoopError> {
        for timeout in [PollTimeout::ZERO, PollTimeout::NONE] {
            let watched = self.watched();
            let mut polled: Vec<PollFd<'_>> =
                watched.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
            match poll(&mut polled, timeout) {
                Err(Errno::EINTR) => return Ok(Vec::new()),
                Err(errno) => return Err(LoopError::Poll(errno)),
                Ok(_) => {}
            }
            let flags = polled.iter().map(|polled| polled.revents().unwrap_or(PollFlags::empty()));
            let ready = watched.iter().zip(flags).filter(|(_, flags)| !flags.is_empty());
            let ready: Vec<_> = ready.map(|((token, ..), flags)| (*token, flags)).collect();
            if !ready.is_empty() {
                return Ok(ready);
            }
            drop((polled, watched));
            self.buffer.trim();
            self.out.trim();
        }
        Ok(Vec::new())
    }

    /// Everything that is waited for. Errors and hang-ups are always reported (poll(2)).
    fn watched(&self) -> Vec<(Token, BorrowedFd<'_>, PollFlags)> {
        let (input, output, hangup) = (PollFlags::POLLIN, PollFlags::POLLOUT, PollFlags::empty());
        let when = |wanted, flag| if wanted { flag } else { hangup };
        let mut list = Vec::with_capacity(4 + self.connections.len() + 4 * self.containers.len());
        list.extend(
            self.workers.iter().map(|(key, it)| (Token::Worker(*key), it.worker.socket().as_fd(), input)),
        );
        list.push((Token::Signals, self.signals.as_fd(), input));
        for (key, container) in &self.containers {
            // From the last, for one that ends moves those behind it.
            for (index, stream) in container.streams.iter().enumerate().rev() {
                list.push((Token::Output(*key, index), stream.fd.as_fd(), input));
            }
            if let Some(watch) = container.oom_watch.as_ref().filter(|_| !container.counting) {
                list.push((Token::OomWatch(*key), watch.as_fd(), input));
            }
            let full = match &container.input {
                // A terminal hangs up whenever nobody has it open; only a pipe without a reader is at its end.
                Some(stdin) if stdin.is_waiting() || container.terminal.is_none() => {
                    list.push((Token::Input(*key), stdin.fd().as_fd(), when(stdin.is_waiting(), output)));
                    stdin.is_waiting()
                }
                _ => false,
            };
            for (index, client) in container.attachments.iter().enumerate() {
                if let Some(stdin) = client.stdin.as_ref().filter(|_| !full) {
                    list.push((Token::ClientInput(*key, index), stdin.as_fd(), input));
                }
                for sink in [&client.stdout, &client.stderr].into_iter().flatten() {
                    let flags = when(sink.is_waiting(), output);
                    list.push((Token::ClientOutput(*key, index), sink.fd().as_fd(), flags));
                }
            }
        }
        for (key, connection) in &self.connections {
            let reads =
                matches!(connection.phase, Phase::Idle | Phase::Subscribed) && !connection.is_sending();
            let flags = when(reads, input) | when(connection.is_sending(), output);
            list.push((Token::Connection(*key), connection.socket().as_fd(), flags));
        }
        if !self.finished {
            list.push((Token::Listener, self.listener.as_fd(), input));
        }
        list
    }

    fn handle(&mut self, token: Token, flags: PollFlags) {
        let (buffer, out) = (&mut self.buffer, &mut self.out);
        match token {
            Token::Worker(key) => self.collect(key),
            Token::Signals => self.reap(),
            Token::Connection(key) => self.serve(key, flags),
            Token::Listener => self.accept(),
            Token::OomWatch(key) => self.oom_watch_spoke(key),
            Token::Output(key, index) => {
                if let Some(container) = self.containers.get_mut(&key) {
                    container.pump_output(index, buffer, out);
                    container.sweep_attachments();
                }
            }
            Token::Input(key) => {
                if let Some(container) = self.containers.get_mut(&key) {
                    let lost = flags.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
                    if lost {
                        container.close_input()
                    } else {
                        container.pump_input()
                    }
                    container.sweep_attachments();
                }
            }
            Token::ClientInput(key, index) => {
                if let Some(container) = self.containers.get_mut(&key) {
                    container.pump_client(index, buffer);
                    container.sweep_attachments();
                }
            }
            Token::ClientOutput(key, index) => self.flush_client(key, index, flags),
        }
    }

    fn flush_client(&mut self, key: Key, index: usize, flags: PollFlags) {
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        let Some(client) = container.attachments.get_mut(index) else {
            return;
        };
        let lost = flags.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        for sink in [&mut client.stdout, &mut client.stderr] {
            // Which of the two hung up is found out by writing; one with nothing to write asks.
            let over = match sink {
                Some(open) if open.is_waiting() => !open.flush(),
                Some(open) => lost && attach::is_hung_up(open.fd()),
                None => false,
            };
            if over {
                *sink = None;
            }
        }
        container.sweep_attachments();
    }

    fn accept(&mut self) {
        // One at a time: the next is reported again. A client that went meanwhile is no matter.
        if let Ok((socket, _)) = self.listener.accept()
            && let Some(connection) = Connection::admit(socket)
        {
            let key = self.key();
            self.connections.insert(key, connection);
        }
    }

    /// Reads and starts requests of a connection, or sends what waits for it.
    fn serve(&mut self, key: Key, flags: PollFlags) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let result = if flags.contains(PollFlags::POLLOUT) {
            connection.send()
        } else if flags.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL)
            || !flags.contains(PollFlags::POLLIN)
        {
            // Hung up while its request is at work: what was asked for is done all the same.
            Err(Closed)
        } else {
            match connection.receive() {
                Ok(Some(_)) if matches!(connection.phase, Phase::Subscribed) => Err(Closed),
                Ok(Some((kind, descriptors))) => {
                    self.dispatch(key, kind, descriptors);
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(closed) => Err(closed),
            }
        };
        if result.is_err() {
            self.connections.remove(&key);
        }
    }

    fn retry_waiting(&mut self) {
        let keys: Vec<Key> = self.connections.keys().copied().collect();
        for key in keys {
            let Some(connection) = self.connections.get_mut(&key) else {
                continue;
            };
            if !matches!(connection.phase, Phase::Waiting(..)) {
                continue;
            }
            if let Phase::Waiting(kind, descriptors) = std::mem::replace(&mut connection.phase, Phase::Idle) {
                self.dispatch(key, kind, descriptors);
            }
        }
    }

    /// Starts a worker for `client`; where that fails, `Err` tells what the worker would have.
    pub(crate) fn employ(
        &mut self,
        client: Option<Key>,
        errand: Errand,
        keep: &[RawFd],
        job: impl FnOnce(&Jobs) -> crate::frame::Frame,
    ) -> Result<(), Error> {
        let mut kept: Vec<RawFd> = self.jobs.guard.iter().map(AsRawFd::as_raw_fd).collect();
        kept.extend_from_slice(keep);
        let jobs = &self.jobs;
        let failed =
            |error| Error { code: Code::Internal.into(), message: format!("cannot start a worker: {error}") };
        let worker = Worker::spawn(&kept, || job(jobs)).map_err(failed)?;
        if let Some(connection) = client.and_then(|client| self.connections.get_mut(&client)) {
            connection.phase = Phase::Working;
        }
        let key = self.key();
        self.workers.insert(key, Running { worker, errand, client });
        Ok(())
    }

    /// Answers a client, if it is still there.
    pub(crate) fn answer(
        &mut self,
        client: Key,
        response: &Response,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) {
        if let Some(connection) = self.connections.get_mut(&client)
            && connection.answer(response, descriptors).is_err()
        {
            self.connections.remove(&client);
        }
    }

    /// Tells all subscribers.
    pub(crate) fn tell(&mut self, kind: event::Kind) {
        let event = Event { kind: Some(kind) };
        self.connections.retain(|_, connection| {
            !matches!(connection.phase, Phase::Subscribed) || connection.tell(&event).is_ok()
        });
    }

    fn oom_watch_spoke(&mut self, key: Key) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(watch) = &container.oom_watch else { return };
        // An eventfd (cgroup v1) gives 8 bytes, and speaks before the kill is counted; inotify (v2) gives more,
        // and speaks after.
        let early = match attach::read(watch, &mut self.buffer[..4096]) {
            Ok(Some(count)) if count > 0 => count == 8,
            _ => {
                container.oom_watch = None;
                return;
            }
        };
        if !container.is_alive() {
            return;
        }
        let (id, known) = (container.id.clone(), container.oom_kills);
        let job = |jobs: &Jobs| jobs.framed(|jobs| jobs.count_ooms(&id, known, early));
        // The count also comes with the container's end; a worker that cannot be had now is no loss.
        let counting = self.employ(None, Errand::CountOoms(key), &[], job).is_ok();
        if let Some(container) = self.containers.get_mut(&key) {
            container.counting = counting;
        }
    }

    /// Takes note of how many processes of a container were killed for memory.
    pub(crate) fn note_ooms(&mut self, key: Key, count: u64) {
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        if count > container.oom_kills {
            container.oom_kills = count;
            let container_id = container.id.clone();
            self.tell(event::Kind::OomKill(OomKill { container_id, count }));
        }
    }

    /// Writes what the ended container left in its pipes to its log.
    pub(crate) fn drain(&mut self, key: Key) {
        if let Some(container) = self.containers.get_mut(&key) {
            container.drain(64, &mut self.buffer, &mut self.out);
            container.sweep_attachments();
        }
    }

    /// Empties the signal descriptor.
    pub(crate) fn forget_signals(&mut self) {
        while matches!(self.signals.read_signal(), Ok(Some(_))) {}
    }

    pub(crate) fn key(&mut self) -> Key {
        self.next += 1;
        self.next
    }
}
