//! What happened to pods, as core/v1 Events in a bounded ring.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use tokio::sync::broadcast;

use crate::clock::Clock;

/// How many events are kept.
const KEPT: usize = 2048;

/// Whether something went as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// `Normal`
    Normal,
    /// `Warning`
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// Writes and keeps events. Cheap to clone.
#[derive(Clone)]
pub struct EventRecorder {
    clock: Clock,
    node: Arc<str>,
    ring: Arc<Mutex<Ring>>,
    follow: broadcast::Sender<Arc<Event>>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    number: u64,
}

impl EventRecorder {
    /// A recorder that signs with the node's name.
    pub fn new(clock: Clock, node: &str) -> EventRecorder {
        EventRecorder { clock, node: node.into(), ring: Arc::default(), follow: broadcast::channel(512).0 }
    }

    /// Events, oldest first. An event that happened again stands where it happened last, with a count.
    pub fn list(&self) -> Vec<Arc<Event>> {
        self.lock().events.iter().cloned().collect()
    }

    /// All events from now on; one that happened again comes again, with a higher count and the same name.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.follow.subscribe()
    }

    /// Records an event about a pod, or about one of its containers when `container` names it.
    pub fn pod(&self, pod: &Pod, container: Option<&str>, kind: EventType, reason: &str, message: String) {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            field_path: container.map(|name| field_path(pod, name)),
            ..ObjectReference::default()
        };
        self.record(about, kind, reason, message);
    }

    /// Records an event about anything, for instance the Node.
    pub fn record(&self, about: ObjectReference, kind: EventType, reason: &str, message: String) {
        let now = Time(self.clock.now());
        let mut ring = self.lock();
        let same = ring.events.iter().position(|e| {
            e.involved_object == about
                && e.reason.as_deref() == Some(reason)
                && e.message.as_deref() == Some(message.as_str())
        });
        let event = match same.and_then(|at| ring.events.remove(at)) {
            Some(old) => {
                let mut again = Event::clone(&old);
                again.count = Some(again.count.unwrap_or(1) + 1);
                again.last_timestamp = Some(now);
                again
            }
            None => {
                ring.number += 1;
                self.first(about, kind, reason, message, now, ring.number)
            }
        };
        let event = Arc::new(event);
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(event.clone());
        drop(ring);
        // No follower is fine.
        let _ = self.follow.send(event);
    }

    fn first(
        &self,
        about: ObjectReference,
        kind: EventType,
        reason: &str,
        message: String,
        now: Time,
        number: u64,
    ) -> Event {
        let name = about.name.as_deref().unwrap_or("node");
        // Names are unique over restarts of the agent, since the API server keeps events longer than we do.
        let name = format!("{name}.{:x}{number:04x}", now.0.as_nanosecond());
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(about.namespace.clone().unwrap_or_else(|| "default".into())),
                creation_timestamp: Some(now.clone()),
                ..ObjectMeta::default()
            },
            involved_object: about,
            reason: Some(reason.into()),
            message: Some(message),
            type_: Some(kind.as_str().into()),
            source: Some(EventSource { component: Some("reeve".into()), host: Some(self.node.to_string()) }),
            reporting_component: Some("reeve".into()),
            reporting_instance: Some(self.node.to_string()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Path of a container within its pod, as the kubelet writes it.
fn field_path(pod: &Pod, container: &str) -> String {
    let init = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.init_containers.as_ref())
        .is_some_and(|list| list.iter().any(|c| c.name == container));
    let list = if init { "initContainers" } else { "containers" };
    format!("spec.{list}{{{container}}}")
}
