use std::fs;
use std::time::Instant;

use reeve_proto::cri::{self, ContainerState};
use tonic::Code;

use crate::isolated;

#[test]
fn a_container_runs_writes_its_log_and_tells_its_end() {
    isolated("container::a_container_runs_writes_its_log_and_tells_its_end", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let mut config =
            bench.container_config("main", "echo $GREETING $FROM_IMAGE; echo bad >&2; sleep 0.1; exit 3");
        config.envs = vec![cri::KeyValue { key: "GREETING".to_owned(), value: b"hello".to_vec() }];
        let id = bench.create(&sandbox, config).await.unwrap();
        assert_eq!(bench.status(&id).await.state, ContainerState::ContainerCreated as i32);

        bench.start_container(&id).await.unwrap();
        let ended = bench.ended(&id).await;
        assert_eq!((ended.exit_code, ended.reason.as_str()), (3, "Error"));
        let times = [ended.created_at, ended.started_at, ended.finished_at];
        assert!(times.is_sorted(), "{times:?}");
        let log = fs::read_to_string(&ended.log_path).unwrap();
        assert!(log.contains(" stdout F hello yes\n"), "{log}");
        assert!(log.contains(" stderr F bad\n"), "{log}");

        // A second start is refused, a removal is not, ever.
        assert_eq!(bench.start_container(&id).await.unwrap_err().code(), Code::FailedPrecondition);
        bench.remove_container(&id).await.unwrap();
        bench.remove_container(&id).await.unwrap();
        let request = cri::ContainerStatusRequest { container_id: id, verbose: false };
        assert_eq!(bench.runtime.container_status(request).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_stop_asks_first_and_then_insists() {
    isolated("container::a_stop_asks_first_and_then_insists", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let polite =
            bench.running(&sandbox, "polite", "trap 'exit 4' TERM; while :; do sleep 0.05; done").await;
        let deaf = bench.running(&sandbox, "deaf", "trap '' TERM; while :; do sleep 1; done").await;
        // The shells set their traps after the start has returned.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;

        bench.stop_container(&polite, 10).await.unwrap();
        assert_eq!(bench.status(&polite).await.exit_code, 4);

        let began = Instant::now();
        bench.stop_container(&deaf, 1).await.unwrap();
        let ended = bench.status(&deaf).await;
        assert_eq!(ended.exit_code, 137);
        assert!(began.elapsed().as_millis() >= 900);
        bench.stop_container(&deaf, 1).await.unwrap();
        bench.stop_container("no-such-container", 1).await.unwrap();
    });
}

#[test]
fn a_program_that_is_not_there_is_a_start_error() {
    isolated("container::a_program_that_is_not_there_is_a_start_error", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let mut config = bench.container_config("main", "");
        config.command = vec!["/no/such/program".to_owned()];
        let id = bench.create(&sandbox, config).await.unwrap();
        let refused = bench.start_container(&id).await.unwrap_err();
        assert!(refused.message().contains("/no/such/program"), "{}", refused.message());
        let status = bench.status(&id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
    });
}

#[test]
fn users_and_groups_are_those_asked_for() {
    isolated("container::users_and_groups_are_those_asked_for", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let mut config = bench.container_config("main", "id; sleep 100");
        config.linux = Some(cri::LinuxContainerConfig {
            security_context: Some(cri::LinuxContainerSecurityContext {
                run_as_username: "web".to_owned(),
                supplemental_groups: vec![1234],
                ..Default::default()
            }),
            ..Default::default()
        });
        let id = bench.create(&sandbox, config).await.unwrap();
        bench.start_container(&id).await.unwrap();
        let output = String::from_utf8(bench.exec(&id, "id").await.stdout).unwrap();
        assert!(output.starts_with("uid=33(web) gid=33(web)"), "{output}");
        assert!(output.contains("50(extra)") && output.contains("1234"), "{output}");
        let user = bench.status(&id).await.user.unwrap().linux.unwrap();
        assert_eq!((user.uid, user.gid), (33, 33));
        assert!(user.supplemental_groups.contains(&1234) && user.supplemental_groups.contains(&50));
    });
}

#[test]
fn limits_can_be_changed_while_it_runs() {
    isolated("container::limits_can_be_changed_while_it_runs", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let mut config = bench.container_config("main", "sleep 100");
        let limit =
            |bytes| cri::LinuxContainerResources { memory_limit_in_bytes: bytes, ..Default::default() };
        config.linux =
            Some(cri::LinuxContainerConfig { resources: Some(limit(64 << 20)), ..Default::default() });
        let id = bench.create(&sandbox, config).await.unwrap();
        bench.start_container(&id).await.unwrap();
        let reported =
            |status: cri::ContainerStatus| status.resources.unwrap().linux.unwrap().memory_limit_in_bytes;
        assert_eq!(reported(bench.status(&id).await), 64 << 20);

        let linux = Some(limit(96 << 20));
        let request =
            cri::UpdateContainerResourcesRequest { container_id: id.clone(), linux, ..Default::default() };
        bench.runtime.update_container_resources(request).await.unwrap();
        assert_eq!(reported(bench.status(&id).await), 96 << 20);
    });
}

#[test]
fn a_rotated_log_is_reopened() {
    isolated("container::a_rotated_log_is_reopened", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "while :; do echo tick; sleep 0.05; done").await;
        let log = bench.status(&id).await.log_path;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        fs::rename(&log, format!("{log}.1")).unwrap();
        let request = cri::ReopenContainerLogRequest { container_id: id.clone() };
        bench.runtime.reopen_container_log(request).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert!(fs::read_to_string(&log).unwrap().contains("tick"));
    });
}

#[test]
fn containers_are_listed_by_pod_state_and_label() {
    isolated("container::containers_are_listed_by_pod_state_and_label", |mut bench| async move {
        let one = bench.sandbox("one").await;
        let two = bench.sandbox("two").await;
        let running = bench.running(&one, "a", "sleep 100").await;
        let config = bench.container_config("b", "sleep 100");
        let created = bench.create(&two, config).await.unwrap();

        let mut ids = async |filter: cri::ContainerFilter| {
            let request = cri::ListContainersRequest { filter: Some(filter) };
            let listed = bench.runtime.list_containers(request).await.unwrap().into_inner().containers;
            listed.into_iter().map(|container| container.id).collect::<Vec<String>>()
        };
        let state = Some(cri::ContainerStateValue { state: ContainerState::ContainerCreated as i32 });
        assert_eq!(ids(cri::ContainerFilter { state, ..Default::default() }).await, [created.as_str()]);
        assert_eq!(
            ids(cri::ContainerFilter { pod_sandbox_id: one, ..Default::default() }).await,
            [running.as_str()]
        );
        let label_selector = [("container".to_owned(), "b".to_owned())].into();
        assert_eq!(
            ids(cri::ContainerFilter { label_selector, ..Default::default() }).await,
            [created.as_str()]
        );
        assert_eq!(ids(cri::ContainerFilter::default()).await.len(), 2);
    });
}
