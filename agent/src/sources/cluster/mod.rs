//! A cluster whose API server binds pods to this node.
//!
//! Five tasks, each of which goes on trying for itself, so that an unreachable API server disturbs nothing:
//!
//! - [`node`] registers the Node and reports its status;
//! - [`lease`] renews the Lease by which the cluster knows that the node lives;
//! - [`pods`] follows the pods bound to this node: the source proper, which speaks into the [`Mailbox`];
//! - [`crate::status::cluster`] writes the pods' status back, and deletes those that are gone from here;
//! - [`mirror`] shows the pods of the other sources to the cluster.
//!
//! [`pods`] alone writes [`Known`], the objects as the API server last showed them; the others read it. Pods that
//! run here are never ended because the API server is away: only a complete scan or a deletion that it tells does.

mod connect;
mod known;
mod lease;
mod mirror;
mod node;
mod pods;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::connect::{RequestError, request};
pub(crate) use self::known::Known;
use super::Mailbox;
use crate::Handles;
use crate::status::cluster::Writer;

/// Follows the cluster of `kubeconfig` until `shutdown`.
pub async fn run(handles: Handles, mailbox: Mailbox, kubeconfig: PathBuf, shutdown: CancellationToken) {
    tokio::select! {
        client = connect::until_connected(&kubeconfig, &mailbox) => {
            follow(client, handles, mailbox, shutdown).await;
        }
        () = shutdown.cancelled() => {}
    }
}

/// The same with a client that is there already.
async fn follow(client: Client, handles: Handles, mailbox: Mailbox, shutdown: CancellationToken) {
    let known = Known::default();
    let (gone, settled) = mpsc::unbounded_channel();
    let writer = Writer::new(client.clone(), handles.pods.clone(), known.clone());
    let tasks = async {
        tokio::join!(
            node::run(client.clone(), handles.clone()),
            lease::run(client.clone(), handles.clone()),
            pods::run(client.clone(), handles.clone(), mailbox, known.clone(), gone),
            mirror::run(client.clone(), handles.clone(), known.clone()),
            writer.run(settled),
        )
    };
    tokio::select! {
        _ = tasks => {}
        () = shutdown.cancelled() => {}
    }
}
