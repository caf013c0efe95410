//! The face of the crate: asynchronous calls to the one thread that speaks with the kernel.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::addresses::Plan;
use crate::config::{Attachment, Config, PortMapping};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::worker::{Problem, SharedLedger, Worker, attachment, lock};

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// One pod network: a bridge, its addresses and its rules.
///
/// It lives in the network and mount namespaces of the thread that opened it. Dropping it leaves the pods
/// connected. A call whose future is dropped is still carried out to its end.
#[derive(Debug)]
pub struct Network {
    config: Config,
    plan: Plan,
    ledger: SharedLedger,
    problem: Problem,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// Opens the network and reads who is attached. The bridge and the rules are made at once where pods of an
    /// earlier run need them, and otherwise with the first pod.
    pub async fn open(config: Config) -> Result<Self> {
        check_bridge(&config.bridge)?;
        let plan = Plan::new(config.subnet, config.subnet6)?;
        let ledger = Arc::new(Mutex::new(Ledger::open(&config.state_dir, &plan)?));
        let problem = Problem::default();
        let (jobs, queue) = channel();
        let (opened, ready) = oneshot::channel();
        let thread = {
            let (config, plan, ledger, problem) =
                (config.clone(), plan.clone(), Arc::clone(&ledger), Arc::clone(&problem));
            std::thread::Builder::new().name("network".to_owned()).spawn(move || {
                match Worker::open(config, plan, ledger, problem) {
                    Ok(worker) => run(worker, opened, &queue),
                    Err(error) => drop(opened.send(Err(error))),
                }
            })
        };
        let thread = thread.map_err(|source| Error::system("start a thread", source))?;
        let network = Self { config, plan, ledger, problem, jobs: Some(jobs), thread: Some(thread) };
        ready.await.unwrap_or(Err(Error::Closed))?;
        Ok(network)
    }

    /// Gives a pod its place: a pinned namespace with loopback and `eth0`, addresses, a default route, host ports.
    ///
    /// Asked again for the same pod it gives the same answer, and finishes what an earlier attempt left undone.
    /// When it fails nothing is left of it.
    pub async fn attach(&self, id: &str, ports: &[PortMapping]) -> Result<Attachment> {
        check_id(id)?;
        let (id, ports) = (id.to_owned(), ports.to_vec());
        self.call(move |worker| worker.attach(&id, &ports)).await
    }

    /// Takes a pod out: ports, interfaces, pin, addresses. Well if it is not in. What fails is reported after
    /// everything else was done, and can be tried again.
    pub async fn detach(&self, id: &str) -> Result<()> {
        check_id(id)?;
        let id = id.to_owned();
        let gone = self.call(move |worker| Ok(worker.detach(&id))).await?;
        gone.await.unwrap_or(Err(Error::Closed))
    }

    /// The place of an attached pod.
    pub fn get(&self, id: &str) -> Option<Attachment> {
        let ledger = lock(&self.ledger);
        let entry = ledger.get(id).filter(|entry| entry.complete)?;
        Some(attachment(&self.config, &self.plan, id, entry))
    }

    /// Takes out every pod that is not in `keep`, also those of which only remains are left; gives their ids.
    pub async fn sweep(&self, keep: &HashSet<String>) -> Result<Vec<String>> {
        let keep = keep.clone();
        self.call(move |worker| worker.sweep(&keep)).await
    }

    /// Removes the bridge and the rules if no pod is attached; tells whether it did. The next pod makes them again.
    pub async fn tear_down(&self) -> Result<bool> {
        self.call(Worker::tear_down).await
    }

    /// Whether pods can be attached, by what the last attempt told; the error is for people.
    pub fn ready(&self) -> Result<(), String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.clone().map_or(Ok(()), Err)
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |worker| drop(answer.send(job(worker))));
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => answered.await.unwrap_or(Err(Error::Closed)),
            _ => Err(Error::Closed),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The thread ends after the job in hand, and with it the lock on the ledger: the next `open` finds it free.
        self.jobs = None;
        self.thread.take().map(JoinHandle::join);
    }
}

/// The life of the thread.
fn run(mut worker: Worker, opened: oneshot::Sender<Result<()>>, queue: &Receiver<Job>) {
    // A network that does not work is no reason for the daemon not to start: `ready` tells of it.
    worker.restore();
    if opened.send(Ok(())).is_err() {
        return;
    }
    for job in queue {
        job(&mut worker);
        worker.refill();
    }
}

/// The kernel's rule for interface names (`dev_valid_name`), and room for the table's name.
fn check_bridge(name: &str) -> Result<()> {
    let fits = !name.is_empty() && name.len() < libc::IFNAMSIZ && name != "." && name != "..";
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits && plain {
        return Ok(());
    }
    let reason =
        format!("{name:?} is not a name for an interface: 1 to 15 letters, digits, '-', '_' and '.'");
    Err(Error::Setting { setting: "bridge", reason })
}

/// An id becomes a file's name and an interface's alias.
fn check_id(id: &str) -> Result<()> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain && !id.is_empty() && id.len() <= 128 && !id.starts_with('.') {
        return Ok(());
    }
    Err(Error::Id(id.to_owned()))
}
