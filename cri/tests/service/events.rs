use std::time::Duration;

use reeve_proto::cri::{self, ContainerEventType};

use crate::isolated;

#[test]
fn each_step_of_a_life_is_an_event_with_the_state_of_its_pod() {
    isolated("events::each_step_of_a_life_is_an_event_with_the_state_of_its_pod", |mut bench| async move {
        let mut events =
            bench.runtime.get_container_events(cri::GetEventsRequest {}).await.unwrap().into_inner();
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "exit 9").await;
        bench.ended(&id).await;
        bench.remove_container(&id).await.unwrap();

        let mut seen = Vec::new();
        while seen.last() != Some(&(id.clone(), ContainerEventType::ContainerDeletedEvent as i32)) {
            let next = tokio::time::timeout(Duration::from_secs(10), events.message());
            let event = next.await.expect("an event is missing").unwrap().unwrap();
            assert_eq!(event.pod_sandbox_status.unwrap().id, sandbox);
            assert!(event.created_at > 0);
            if event.container_event_type == ContainerEventType::ContainerStoppedEvent as i32 {
                let status = &event.containers_statuses[0];
                assert_eq!((status.id.as_str(), status.exit_code), (id.as_str(), 9));
            }
            seen.push((event.container_id, event.container_event_type));
        }
        use ContainerEventType as Kind;
        let of_container: Vec<i32> =
            seen.iter().filter(|(one, _)| *one == id).map(|(_, kind)| *kind).collect();
        let expected = [
            Kind::ContainerCreatedEvent,
            Kind::ContainerStartedEvent,
            Kind::ContainerStoppedEvent,
            Kind::ContainerDeletedEvent,
        ];
        assert_eq!(of_container, expected.map(|kind| kind as i32));
    });
}
