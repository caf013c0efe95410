use reeve_proto::cri::{self, PodSandboxState};
use tonic::Code;

use crate::{Bench, isolated};

async fn status(bench: &mut Bench, id: &str) -> Result<cri::PodSandboxStatusResponse, tonic::Status> {
    let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
    Ok(bench.runtime.pod_sandbox_status(request).await?.into_inner())
}

async fn list(bench: &mut Bench, filter: cri::PodSandboxFilter) -> Vec<String> {
    let request = cri::ListPodSandboxRequest { filter: Some(filter) };
    let items = bench.runtime.list_pod_sandbox(request).await.unwrap().into_inner().items;
    items.into_iter().map(|sandbox| sandbox.id).collect()
}

#[test]
fn a_sandbox_lives_and_goes() {
    isolated("sandbox::a_sandbox_lives_and_goes", |mut bench| async move {
        let id = bench.sandbox("web").await;
        let answer = status(&mut bench, &id[..12]).await.unwrap();
        assert!(answer.info["info"].contains("pid"));
        let sandbox = answer.status.unwrap();
        assert_eq!(sandbox.id, id);
        assert_eq!(sandbox.state, PodSandboxState::SandboxReady as i32);
        assert!(sandbox.network.unwrap().ip.starts_with("10.77.0."));
        assert!(sandbox.created_at > 0);

        bench.stop_sandbox(&id).await.unwrap();
        bench.stop_sandbox(&id).await.unwrap();
        let stopped = status(&mut bench, &id).await.unwrap().status.unwrap();
        assert_eq!(stopped.state, PodSandboxState::SandboxNotready as i32);

        bench.remove_sandbox(&id).await.unwrap();
        bench.remove_sandbox(&id).await.unwrap();
        bench.stop_sandbox("no-such-sandbox").await.unwrap();
        assert_eq!(status(&mut bench, &id).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_second_sandbox_of_the_same_name_is_refused() {
    isolated("sandbox::a_second_sandbox_of_the_same_name_is_refused", |mut bench| async move {
        bench.sandbox("web").await;
        let config = bench.sandbox_config("web");
        assert_eq!(bench.run_sandbox(config).await.unwrap_err().code(), Code::AlreadyExists);
    });
}

#[test]
fn faulty_requests_name_their_field() {
    isolated("sandbox::faulty_requests_name_their_field", |mut bench| async move {
        let refused = bench.runtime.run_pod_sandbox(cri::RunPodSandboxRequest::default()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "config: is required"));

        let request = cri::RunPodSandboxRequest {
            config: Some(bench.sandbox_config("web")),
            runtime_handler: "kata".to_owned(),
        };
        let refused = bench.runtime.run_pod_sandbox(request).await.unwrap_err();
        assert!(refused.message().contains("kata"), "{}", refused.message());
        assert_eq!(bench.stop_sandbox("").await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn lists_are_filtered_and_streamed() {
    isolated("sandbox::lists_are_filtered_and_streamed", |mut bench| async move {
        let web = bench.sandbox("web").await;
        let db = bench.sandbox("db").await;
        bench.stop_sandbox(&db).await.unwrap();

        let by_label = cri::PodSandboxFilter {
            label_selector: [("app".to_owned(), "db".to_owned())].into(),
            ..Default::default()
        };
        assert_eq!(list(&mut bench, by_label).await, [db.as_str()]);
        let state = Some(cri::PodSandboxStateValue { state: PodSandboxState::SandboxReady as i32 });
        let ready = cri::PodSandboxFilter { state, ..Default::default() };
        assert_eq!(list(&mut bench, ready).await, [web.as_str()]);
        let by_id = cri::PodSandboxFilter { id: web[..10].to_owned(), ..Default::default() };
        assert_eq!(list(&mut bench, by_id).await, [web.as_str()]);

        let request = cri::StreamPodSandboxesRequest::default();
        let mut stream = bench.runtime.stream_pod_sandboxes(request).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.pod_sandboxes.len(), 2);
        assert!(stream.message().await.unwrap().is_none());
    });
}
