//! The Lease in `kube-node-lease` by which the cluster knows that the node lives.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};

use super::connect::{Attempts, RequestError, request};
use crate::Handles;

/// Where all nodes' leases are.
const NAMESPACE: &str = "kube-node-lease";

/// How often it is renewed (the kubelet's `nodeLeaseDurationSeconds` / 4).
const RENEW: Duration = Duration::from_secs(10);

/// After how long without renewal the cluster takes the node for lost.
const DURATION_SECONDS: i32 = 40;

/// Renews the lease for ever.
pub(super) async fn run(client: Client, handles: Handles) {
    let node = &handles.config.node_name;
    let mut attempts = Attempts::new("renew the node's lease");
    let mut ticks = tokio::time::interval(RENEW);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        attempts.note(renew(&client, node, handles.clock.now()).await);
    }
}

async fn renew(client: &Client, node: &str, now: Timestamp) -> Result<(), RequestError> {
    let leases = Api::<Lease>::namespaced(client.clone(), NAMESPACE);
    let spec = LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    };
    let patch = serde_json::json!({ "spec": spec });
    match request(leases.patch(node, &PatchParams::default(), &Patch::Merge(patch))).await {
        Err(error) if error.code() == Some(404) => {}
        outcome => return outcome.map(drop),
    }
    let lease = Lease { metadata: metadata(client, node).await?, spec: Some(spec) };
    request(leases.create(&PostParams::default(), &lease)).await.map(drop)
}

/// The Node owns its lease, so that it goes with it.
async fn metadata(client: &Client, node: &str) -> Result<ObjectMeta, RequestError> {
    let owner = request(Api::<Node>::all(client.clone()).get_opt(node)).await?;
    let owner = owner.and_then(|owner| owner.metadata.uid).map(|uid| OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.to_owned(),
        uid,
        ..OwnerReference::default()
    });
    Ok(ObjectMeta {
        name: Some(node.to_owned()),
        namespace: Some(NAMESPACE.into()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    })
}
