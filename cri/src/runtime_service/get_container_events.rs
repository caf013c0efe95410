use futures::StreamExt;
use reeve_engine::Event;
use reeve_proto::cri::{ContainerEventResponse, GetEventsRequest};
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::RuntimeService;
use crate::convert::{event, sandbox_status};
use crate::stream::Stream;

/// Each event carries the state of its pod as it is now, so that a client need not ask for it.
///
/// A client that is too slow for the engine's buffer is told so by an error: it then lists and subscribes anew,
/// which is what it must do after any break.
pub(super) async fn call(
    service: &RuntimeService,
    _request: GetEventsRequest,
) -> Result<Stream<ContainerEventResponse>, Status> {
    let events = futures::stream::unfold(Some(service.engine.subscribe()), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Ok(event) => Some((Ok(event), Some(receiver))),
            Err(RecvError::Lagged(missed)) => Some((
                Err(Status::data_loss(format!("{missed} events were missed: list and subscribe again"))),
                None,
            )),
            Err(RecvError::Closed) => None,
        }
    });
    let closing = service.closing.clone();
    let service = service.clone();
    let answers = events.filter_map(move |event| {
        let answer = match event {
            Ok(event) => answer(&service, &event).map(Ok),
            Err(status) => Some(Err(status)),
        };
        std::future::ready(answer)
    });
    Ok(Box::pin(answers.take_until(closing.cancelled_owned())))
}

fn answer(service: &RuntimeService, event: &Event) -> Option<ContainerEventResponse> {
    let kind = event::to_cri(event.kind)?;
    // CRI has one kind of event for both: a sandbox's own carry its id in the container's place.
    let id = if event.container_id.is_empty() { &event.sandbox_id } else { &event.container_id };
    Some(ContainerEventResponse {
        container_id: id.clone(),
        container_event_type: kind as i32,
        created_at: event.timestamp,
        // Absent when the sandbox has gone since.
        pod_sandbox_status: service
            .engine
            .sandbox(&event.sandbox_id)
            .ok()
            .map(|one| sandbox_status::status(&one)),
        containers_statuses: service.statuses_of(&event.sandbox_id),
    })
}
