use std::os::unix::fs::PermissionsExt;

use reeve_proto::cri;

use crate::isolated;

#[test]
fn a_node_says_that_it_is_ready() {
    isolated("status::a_node_says_that_it_is_ready", |mut bench| async move {
        let version = bench.runtime.version(cri::VersionRequest::default()).await.unwrap().into_inner();
        assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("reeve", "v1"));

        let request = cri::StatusRequest { verbose: true };
        let status = bench.runtime.status(request).await.unwrap().into_inner();
        let conditions = status.status.unwrap().conditions;
        assert!(conditions.iter().all(|condition| condition.status), "{conditions:?}");
        assert!(status.info["config"].contains("cgroupDriver"));
        assert_eq!(status.runtime_handlers.len(), 2);

        let config = bench.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
        assert_eq!(config.linux.unwrap().cgroup_driver, cri::CgroupDriver::Cgroupfs as i32);

        let mode = std::fs::metadata(bench.dir.join("run/reeve.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    });
}

#[test]
fn what_is_not_done_says_why() {
    isolated("status::what_is_not_done_says_why", |mut bench| async move {
        let refused = bench.runtime.checkpoint_container(cri::CheckpointContainerRequest::default()).await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains("CRIU"), "{}", status.message());

        let network_config = Some(cri::NetworkConfig { pod_cidr: "10.1.0.0/24".to_owned() });
        let request =
            cri::UpdateRuntimeConfigRequest { runtime_config: Some(cri::RuntimeConfig { network_config }) };
        bench.runtime.update_runtime_config(request).await.unwrap();
    });
}
