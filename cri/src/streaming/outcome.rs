//! What the error channel says at the end of a remote command: a `metav1.Status`.

use serde_json::json;

use super::channel::Protocol;

/// How a remote command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The process ended with this exit code.
    Exited(i32),
    /// There was no process, or its end is unknown.
    Failed(String),
}

impl Outcome {
    /// The bytes for the error channel; none where the protocol has no words for this end.
    pub(super) fn encode(&self, protocol: Protocol) -> Option<Vec<u8>> {
        if protocol.has_status() {
            return Some(self.status().to_string().into_bytes());
        }
        match self {
            Outcome::Exited(0) => None,
            Outcome::Exited(code) => Some(non_zero(*code).into_bytes()),
            Outcome::Failed(reason) => Some(reason.clone().into_bytes()),
        }
    }

    /// Clients read the exit code from the cause named `ExitCode`, see k8s.io/client-go
    /// `tools/remotecommand/v4.go`.
    fn status(&self) -> serde_json::Value {
        match self {
            Outcome::Exited(0) => json!({ "metadata": {}, "status": "Success" }),
            Outcome::Exited(code) => json!({
                "metadata": {},
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": non_zero(*code),
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Outcome::Failed(reason) => json!({
                "metadata": {},
                "status": "Failure",
                "reason": "InternalError",
                "message": format!("Internal error occurred: {reason}"),
                "details": { "causes": [{ "message": reason }] },
                "code": 500,
            }),
        }
    }
}

fn non_zero(code: i32) -> String {
    format!("command terminated with non-zero exit code: {code}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(outcome: Outcome) -> serde_json::Value {
        let protocol = Protocol::named("v4.channel.k8s.io").unwrap();
        serde_json::from_slice(&outcome.encode(protocol).unwrap()).unwrap()
    }

    #[test]
    fn the_exit_code_is_a_cause() {
        let status = status(Outcome::Exited(3));
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "3" }));
    }

    #[test]
    fn success_has_no_reason() {
        assert_eq!(status(Outcome::Exited(0)), json!({ "metadata": {}, "status": "Success" }));
    }

    #[test]
    fn old_protocols_get_plain_text() {
        assert_eq!(Outcome::Exited(0).encode(Protocol::UNNAMED), None);
        let failed = Outcome::Failed("no such container".to_owned());
        assert_eq!(failed.encode(Protocol::UNNAMED).unwrap(), b"no such container");
    }
}
