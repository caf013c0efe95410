//! What to tell the user when the agent cannot be asked, or refuses.

use std::io;
use std::path::Path;

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

use crate::exit::{FAILED, Failure, NO_AGENT, NOT_FOUND};

/// Nobody answers on the socket.
pub(super) fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let path = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::new(NO_AGENT, format!("no agent answers on {path}")).hint(
                "start one with `reeve agent --manifests DIR`, or name its state directory with --state DIR",
            )
        }
        io::ErrorKind::PermissionDenied => Failure::new(NO_AGENT, format!("may not connect to {path}"))
            .hint("the socket is open to its owner alone: try as root, for instance with sudo"),
        _ => Failure::new(NO_AGENT, format!("cannot connect to {path}: {error}")),
    }
}

/// The agent's own words, out of the Status that it answers with.
pub(super) fn refused(code: StatusCode, body: &[u8]) -> Failure {
    let message = serde_json::from_slice::<Status>(body).ok().and_then(|status| status.message);
    let message = message.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        if text.is_empty() { format!("the agent answered {code}") } else { text }
    });
    Failure::new(if code == StatusCode::NOT_FOUND { NOT_FOUND } else { FAILED }, message)
}
