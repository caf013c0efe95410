//! Who is desired, and a worker for each.
//!
//! A pod that is edited is another pod with another UID: its worker starts when the old one's pod is gone, since
//! both have one name, one host port and one place in people's minds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reeve_proto::cri as proto;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::labels;
use super::owners::{Declared, Owners, Settled};
use super::record::{Error, Record};
use super::worker::{Mail, Worker};
use crate::Handles;
use crate::pod::{DesiredPod, PodKey};
use crate::sources::{Change, Message};

/// All workers.
pub(crate) struct Pool {
    handles: Handles,
    agent: Arc<str>,
    desired: Declared,
    owners: Owners,
    workers: HashMap<String, (PodKey, Mail)>,
    /// Pods that have ended as their source wanted, and that it has not forgotten yet.
    ended: HashSet<String>,
    running: JoinSet<(String, bool)>,
    leave: CancellationToken,
}

impl Pool {
    /// A pool that goes on with the pods on disk.
    pub(crate) fn restore(handles: Handles) -> Result<Pool, Error> {
        let records = Record::read_all(&handles.config.root.join("pods"))?;
        let agent = labels::agent_id(&handles.config.root).into();
        let mut pool = Pool {
            handles,
            agent,
            desired: Declared::new(),
            owners: Owners::default(),
            workers: HashMap::new(),
            ended: HashSet::new(),
            running: JoinSet::new(),
            leave: CancellationToken::new(),
        };
        for record in records {
            pool.owners.restore(PodKey::of(&record.pod).full_name(), &record.source);
            pool.spawn(record, false);
        }
        Ok(pool)
    }

    /// Works until `shutdown`. Then the pods are left as they are, or ended, as configured.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        shutdown: CancellationToken,
    ) {
        let (stale_sender, mut stale) = mpsc::unbounded_channel();
        let mut events = JoinSet::new();
        events.spawn(follow_events(self.handles.clone(), self.agent.to_string(), stale_sender));
        let mut relist = tokio::time::interval(self.handles.config.relist);
        relist.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(message) = messages.recv() => self.take(message),
                Some(finished) = self.running.join_next() => self.finished(finished),
                Some(uid) = stale.recv() => self.wake(uid.as_deref()),
                _ = relist.tick() => self.relist().await,
            }
        }
        if !self.handles.config.keep {
            self.end_all().await;
        }
        events.abort_all();
        self.leave.cancel();
        while self.running.join_next().await.is_some() {}
    }

    /// Ends every pod and waits for it.
    async fn end_all(&mut self) {
        self.desired.clear();
        for (_, mail) in self.workers.values() {
            mail.wishes.send_modify(|wish| wish.gone = true);
        }
        while let Some(finished) = self.running.join_next().await {
            if let Ok((uid, _)) = finished {
                self.workers.remove(&uid);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Complete { source, pods } => {
                let pods = pods.into_iter().map(|pod| (pod.key().uid, pod)).collect();
                self.desired.insert(source, pods);
            }
            Message::Change { source, change: Change { key, pod } } => {
                let pods = self.desired.entry(source).or_default();
                match pod {
                    Some(pod) => drop(pods.insert(key.uid, pod)),
                    None => drop(pods.remove(&key.uid)),
                }
            }
        }
        self.reconcile();
    }

    /// Tells every worker what is wanted, ends pods that nobody wants, and starts those that are new.
    fn reconcile(&mut self) {
        let prune = self.handles.sources.all_synced();
        let Settled { wanted, conflicts } = self.owners.settle(&self.desired, prune);
        for conflict in self.handles.sources.set_conflicts(conflicts) {
            tracing::warn!("{conflict}");
        }
        for (uid, (_, mail)) in &self.workers {
            mail.wishes.send_if_modified(|wish| match wanted.get(uid.as_str()) {
                Some(pod) if wish.pod != pod.pod => {
                    wish.pod = pod.pod.clone();
                    true
                }
                // Once it ends it ends: should it be wanted again, it is made anew.
                Some(_) => false,
                None if prune && !wish.gone => {
                    wish.gone = true;
                    true
                }
                None => false,
            });
        }
        self.ended.retain(|uid| wanted.get(uid.as_str()).is_some_and(|pod| pod.is_deleted()));
        let mut names: HashSet<String> = self.workers.values().map(|(key, _)| key.full_name()).collect();
        let mut new = Vec::new();
        for (uid, pod) in wanted {
            let busy = self.workers.contains_key(&uid) || names.contains(&pod.key().full_name());
            // A pod that is to be deleted and of which nothing is here gets a worker all the same: its source
            // waits to hear that it is gone. It hears so once.
            if !busy && !self.ended.contains(&uid) {
                names.insert(pod.key().full_name());
                new.push(pod);
            }
        }
        for pod in new {
            self.start(&pod);
        }
    }

    fn start(&mut self, pod: &DesiredPod) {
        let record = Record::new(&pod.source, Pod::clone(&pod.pod), self.handles.clock.now());
        let key = pod.key();
        // Intent before the deed: what is not on disk could be lost with the agent.
        if let Err(error) = record.write(&self.handles.config.pod_dir(&key.uid)) {
            tracing::error!(pod = %key, %error, source = %error.source, "cannot keep the pod's record");
            return;
        }
        self.spawn(record, false);
    }

    fn spawn(&mut self, record: Record, gone: bool) {
        let key = PodKey::of(&record.pod);
        let (worker, mail) = Worker::new(self.handles.clone(), self.agent.clone(), record, gone);
        self.workers.insert(key.uid.clone(), (key.clone(), mail));
        let leave = self.leave.clone();
        self.running.spawn(async move { (key.uid, worker.run(leave).await) });
    }

    fn finished(&mut self, finished: Result<(String, bool), tokio::task::JoinError>) {
        match finished {
            Ok((uid, _)) => {
                self.workers.remove(&uid);
                self.ended.insert(uid);
            }
            Err(error) => {
                tracing::error!(%error, "a worker ended unexpectedly");
                // Which one is not known; one whose mailbox has no reader is it. It starts anew from its record.
                self.workers.retain(|_, (_, mail)| !mail.wishes.is_closed());
            }
        }
        self.reconcile();
    }

    /// Says that the runtime's state changed: for one pod, or for any.
    fn wake(&self, uid: Option<&str>) {
        match uid {
            Some(uid) => {
                if let Some((_, mail)) = self.workers.get(uid) {
                    mail.stale.notify_one();
                }
            }
            None => self.workers.values().for_each(|(_, mail)| mail.stale.notify_one()),
        }
    }

    /// The net under the events: every worker looks again, and pods without a worker are found.
    async fn relist(&mut self) {
        self.wake(None);
        if !self.handles.sources.all_synced() {
            return;
        }
        match self.strays().await {
            Ok(strays) => {
                for key in strays {
                    tracing::info!(pod = %key, "ending a pod that nothing declares");
                    let pod = bare_pod(&key);
                    self.spawn(Record::new("", pod, self.handles.clock.now()), true);
                }
            }
            Err(status) => tracing::debug!(status = status.message(), "cannot list sandboxes"),
        }
    }

    /// Pods of ours in the runtime that have no worker.
    async fn strays(&self) -> Result<Vec<PodKey>, Status> {
        let selector = HashMap::from([(labels::AGENT.to_owned(), self.agent.to_string())]);
        let filter = proto::PodSandboxFilter { label_selector: selector, ..Default::default() };
        let request = proto::ListPodSandboxRequest { filter: Some(filter) };
        let sandboxes = self.handles.cri.runtime().list_pod_sandbox(request).await?.into_inner().items;
        let mut seen = HashSet::new();
        let keys = sandboxes.iter().filter_map(|s| labels::pod_key(&s.labels));
        Ok(keys.filter(|key| !self.workers.contains_key(&key.uid) && seen.insert(key.uid.clone())).collect())
    }
}

/// A pod of which only the name is known, so that it can be ended.
fn bare_pod(key: &PodKey) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: Some(key.uid.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec::default()),
        status: None,
    }
}

/// Follows the runtime's events; after each interruption everything may have changed.
async fn follow_events(handles: Handles, agent: String, stale: mpsc::UnboundedSender<Option<String>>) {
    loop {
        if let Ok(response) = handles.cri.runtime().get_container_events(proto::GetEventsRequest {}).await {
            let mut events = response.into_inner();
            if stale.send(None).is_err() {
                return;
            }
            while let Ok(Some(event)) = events.message().await {
                let sandbox = event.pod_sandbox_status.unwrap_or_default();
                let ours = sandbox.labels.get(labels::AGENT).is_some_and(|id| *id == agent);
                let uid = sandbox.labels.get(labels::POD_UID).cloned();
                // An event without its sandbox cannot be told apart from ours.
                if (ours || uid.is_none()) && stale.send(uid).is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
