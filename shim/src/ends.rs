//! The ends of things: workers that are done, processes that died.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use reeve_proto::shim::{Exit, event};

use crate::container::State;
use crate::shim::{Errand, Key, Running, Shim};
use crate::timestamp;
use crate::worker::{Outcome, Part};

impl Shim {
    /// Takes the outcome of worker `key`, if there is one.
    pub(crate) fn collect(&mut self, key: Key) {
        if let Some(running) = self.workers.get_mut(&key)
            && let Some(outcome) = running.worker.outcome()
        {
            self.settle(key, outcome);
        }
    }

    fn settle(&mut self, key: Key, outcome: Outcome) {
        let Some(Running { errand, client, .. }) = self.workers.remove(&key) else {
            return;
        };
        let mut outcome = outcome;
        let mut passed: Vec<OwnedFd> = Vec::new();
        self.changed = true;
        match errand {
            Errand::Create(container) => self.created(container, &mut outcome),
            Errand::Start(container) => self.started(container, &outcome),
            Errand::Exec(container, id) => {
                let terminal = |(part, fd)| (part == Part::Terminal).then_some(fd);
                passed.extend(std::mem::take(&mut outcome.parts).into_iter().filter_map(terminal));
                self.exec_started(container, &id, &outcome);
            }
            Errand::Change(container) => self.free(container),
            Errand::Read => {}
            Errand::Delete(container) => self.deleted(container, &outcome),
            Errand::Autopsy(container) => self.stopped(container, &outcome),
            Errand::CountOoms(container) => {
                if let Some(counted) = self.containers.get_mut(&container) {
                    counted.counting = false;
                }
                self.note_ooms(container, outcome.oom_kills);
            }
            Errand::Clear => {
                if let Some(error) = &outcome.response.error {
                    crate::note(format_args!("at the end: {}", error.message));
                }
                self.finished = true;
            }
        }
        if let Some(client) = client {
            self.answer(client, &outcome.response, passed);
        }
    }

    fn free(&mut self, key: Key) {
        if let Some(container) = self.containers.get_mut(&key) {
            container.busy = false;
        }
    }

    fn created(&mut self, key: Key, outcome: &mut Outcome) {
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        container.busy = false;
        let Some(pid) = outcome.pid() else {
            self.containers.remove(&key);
            return;
        };
        container.pid = pid;
        container.state = State::Created;
        container.shares_pid = outcome.shares_pid;
        container.created_at_ns = timestamp::now_ns();
        if let Err(errno) = container.adopt(std::mem::take(&mut outcome.parts)) {
            crate::note(format_args!("container {}: output cannot be read: {errno}", container.id));
        }
    }

    fn started(&mut self, key: Key, outcome: &Outcome) {
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        container.busy = false;
        if outcome.is_ok() {
            container.started_at_ns = timestamp::now_ns();
            // It may have ended already.
            if matches!(container.state, State::Created) {
                container.state = State::Running;
            }
        }
    }

    fn exec_started(&mut self, key: Key, id: &str, outcome: &Outcome) {
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        match outcome.pid() {
            None => container.execs.retain(|exec| exec.id != id),
            Some(pid) => {
                if let Some(exec) = container.execs.iter_mut().find(|exec| exec.id == id) {
                    exec.pid = pid;
                }
            }
        }
    }

    fn deleted(&mut self, key: Key, outcome: &Outcome) {
        if !outcome.is_ok() {
            self.free(key);
        } else if let Some(container) = self.containers.remove(&key)
            && let Err(error) = self.exits.remove(&container.id)
        {
            crate::note(format_args!("{}", crate::chain(&error)));
        }
    }

    /// Reaps every child that ended: first processes, execs, workers, and orphans of all of them.
    pub(crate) fn reap(&mut self) {
        // Signals of one kind merge, so what the descriptor says is not counted.
        self.forget_signals();
        loop {
            let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let ended = match waitid(Id::All, look) {
                Ok(status) => status.pid(),
                Err(Errno::EINTR) => continue,
                Err(_) => None,
            };
            let Some(pid) = ended else { return };
            // A process that a worker started is ours only after the worker's end, so by now the worker has
            // told of it.
            let keys: Vec<Key> = self.workers.keys().copied().collect();
            keys.into_iter().for_each(|key| self.collect(key));
            if let Ok(status) = waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
                self.process_ended(pid, status);
            }
        }
    }

    fn process_ended(&mut self, pid: Pid, status: WaitStatus) {
        let exit_code = match status {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            _ => return,
        };
        if let Some(worker) =
            self.workers.iter().find(|(_, it)| it.worker.pid() == pid.as_raw()).map(|(key, _)| *key)
        {
            // It has ended without an outcome; its socket may be held open by what it started.
            self.settle(worker, Outcome::failed("the worker for this request died"));
            return;
        }
        let mut exit = Exit {
            pid: pid.as_raw().unsigned_abs(),
            exit_code,
            exited_at_ns: timestamp::now_ns(),
            ..Exit::default()
        };
        for (key, container) in &mut self.containers {
            let key = *key;
            exit.container_id.clone_from(&container.id);
            if container.pid == pid.as_raw() && container.is_alive() {
                container.state = State::Ending(exit);
                self.begin_autopsy(key);
                return;
            }
            let running = container.execs.iter().find(|exec| exec.pid == pid.as_raw() && exec.exit.is_none());
            if let Some(exec) = running {
                exit.exec_id.clone_from(&exec.id);
                container.end_exec(&exit);
                self.changed = true;
                self.tell(event::Kind::Exit(exit));
                return;
            }
        }
    }

    fn begin_autopsy(&mut self, key: Key) {
        let Some(container) = self.containers.get(&key) else {
            return;
        };
        let (id, kill) = (container.id.clone(), container.shares_pid);
        let job = |jobs: &crate::worker::Jobs| jobs.framed(|jobs| jobs.autopsy(&id, kill));
        if let Err(error) = self.employ(None, Errand::Autopsy(key), &[], job) {
            // The end is told even when the machine has no process to spare.
            self.stopped(key, &Outcome::failed(&error.message));
        }
    }

    /// The container has come to its end: its output is written, then the record, then it is told.
    fn stopped(&mut self, key: Key, outcome: &Outcome) {
        self.note_ooms(key, outcome.oom_kills);
        self.drain(key);
        let Some(container) = self.containers.get_mut(&key) else {
            return;
        };
        if let Some(error) = &outcome.response.error {
            crate::note(format_args!("after the end of container {}: {}", container.id, error.message));
        }
        let State::Ending(exit) = &mut container.state else {
            return;
        };
        let mut exit = std::mem::take(exit);
        exit.oom_killed = container.oom_kills > 0;
        container.state = State::Stopped(exit.clone());
        container.close_input();
        container.oom_watch = None;
        if let Err(error) = self.exits.write(&exit) {
            crate::note(format_args!("{}", crate::chain(&error)));
        }
        self.changed = true;
        self.tell(event::Kind::Exit(exit));
    }
}
