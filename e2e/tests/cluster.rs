//! A real etcd, kube-apiserver and scheduler: the node joins, and runs what is bound to it.

use reeve_e2e::{Cluster, Lab, Node, NodeOptions, image::Image, until};

#[test]
fn a_pod_made_with_kubectl_runs_on_this_node() {
    let lab = Lab::new();
    let mut cluster = Cluster::start(&lab);
    let mut node = Node::start_with(
        &lab,
        NodeOptions { kubeconfig: Some(cluster.kubeconfig.clone()), ..Default::default() },
    );
    let archive = lab.path("busybox.tar");
    Image::busybox().write_archive("e2e.test/busybox:1", &archive);
    node.import(&archive);

    let name = node.name().to_owned();
    until("the node is Ready", 60, || {
        cluster.field(&["node", &name], ".status.conditions[?(@.type==\"Ready\")].status") == "True"
    });
    assert_ne!(cluster.field(&["node", &name], ".status.capacity.memory"), "");
    assert_ne!(cluster.field(&["node", &name], ".status.addresses[0].address"), "");
    let renewed = || cluster.field(&["lease", "-n", "kube-node-lease", &name], ".spec.renewTime");
    let first = renewed();
    until("the lease is renewed", 30, || !first.is_empty() && renewed() != first);

    node.apply(
        "static.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: static}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - {name: main, image: 'e2e.test/busybox:1', command: [sleep, '10000']}\n",
    );
    node.wait_ready("static");

    cluster.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: job, namespace: default}
spec:
  terminationGracePeriodSeconds: 2
  automountServiceAccountToken: false
  containers:
  - name: main
    image: e2e.test/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'trap \"exit 0\" TERM; while [ ! -e /crash ]; do sleep 0.1; done; exit 4']
    resources: {requests: {cpu: 100m, memory: 16Mi}}
",
    );
    let field = |path: &str| cluster.field(&["pod", "job"], path);
    let scheduled = std::panic::catch_unwind(|| {
        until("it is scheduled to this node", 60, || field(".spec.nodeName") == name);
    });
    assert!(scheduled.is_ok(), "{}\n--- daemon:\n{}", cluster.report(), node.log());
    until("it is Ready, as kubectl sees it", 60, || {
        field(".status.conditions[?(@.type==\"Ready\")].status") == "True"
    });
    assert!(field(".status.podIP").starts_with("10.88."), "its address: {}", field(".status"));
    assert_eq!(field(".status.phase"), "Running");
    assert_ne!(field(".status.hostIP"), "");

    node.ok(&["exec", "job", "--", "touch", "/crash"]);
    until("kubectl sees the restart", 60, || field(".status.containerStatuses[0].restartCount") == "1");
    assert_eq!(field(".status.containerStatuses[0].lastState.terminated.exitCode"), "4");
    until("it is Ready again", 60, || field(".status.conditions[?(@.type==\"Ready\")].status") == "True");

    // The API server goes away: nothing here changes, and it is found again.
    let id = field(".status.containerStatuses[0].containerID");
    cluster.kill("kube-apiserver");
    reeve_e2e::wait::let_pass(3.0);
    assert_eq!(node.wait_ready("job")["status"]["containerStatuses"][0]["containerID"], id);
    node.wait_ready("static");
    cluster.restart_apiserver();

    cluster.ok(&["delete", "pod", "job", "--wait=true", "--timeout=60s"]);
    node.wait_gone("job");
    node.wait_ready("static");
    node.empty();
}
