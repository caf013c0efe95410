use reeve_proto::cri;

use crate::isolated;

#[test]
fn counters_are_true_and_filtered() {
    isolated("stats::counters_are_true_and_filtered", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let busy = bench.running(&sandbox, "busy", "while :; do :; done").await;
        let idle = bench.running(&sandbox, "idle", "head -c 300000 /dev/zero > /tmp/file; sleep 100").await;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;

        let request = cri::ContainerStatsRequest { container_id: busy.clone() };
        let stats = bench.runtime.container_stats(request).await.unwrap().into_inner().stats.unwrap();
        assert!(stats.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 50_000_000);
        assert!(stats.memory.unwrap().working_set_bytes.unwrap().value > 0);

        let filter = Some(cri::ContainerStatsFilter { id: idle.clone(), ..Default::default() });
        let request = cri::ListContainerStatsRequest { filter };
        let listed = bench.runtime.list_container_stats(request).await.unwrap().into_inner().stats;
        assert_eq!(listed.len(), 1);
        assert!(listed[0].writable_layer.as_ref().unwrap().used_bytes.unwrap().value >= 300_000);

        let request = cri::PodSandboxStatsRequest { pod_sandbox_id: sandbox.clone() };
        let pod = bench.runtime.pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
        let linux = pod.linux.unwrap();
        assert_eq!(linux.containers.len(), 2);
        assert_eq!(linux.network.unwrap().default_interface.unwrap().name, "eth0");
        assert!(linux.process.unwrap().process_count.unwrap().value >= 2);

        let metrics = bench.runtime.list_pod_sandbox_metrics(cri::ListPodSandboxMetricsRequest {}).await;
        let metrics = metrics.unwrap().into_inner().pod_metrics;
        assert_eq!((metrics.len(), metrics[0].container_metrics.len()), (1, 2));
    });
}
