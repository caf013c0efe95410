//! Container events.

use reeve_engine::EventKind;
use reeve_proto::cri::ContainerEventType;

/// CRI's word for what happened. It has none for an OOM kill of
/// a process that the container survives; when it does not, its end is an event of its own.
pub(crate) fn to_cri(kind: EventKind) -> Option<ContainerEventType> {
    Some(match kind {
        // A sandbox has no process to start: it is there when it is ready.
        EventKind::SandboxCreated | EventKind::ContainerStarted => ContainerEventType::ContainerStartedEvent,
        EventKind::ContainerCreated => ContainerEventType::ContainerCreatedEvent,
        EventKind::SandboxStopped | EventKind::ContainerStopped => ContainerEventType::ContainerStoppedEvent,
        EventKind::SandboxDeleted | EventKind::ContainerDeleted => ContainerEventType::ContainerDeletedEvent,
        EventKind::ContainerOom => return None,
    })
}
