//! One probe, once.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reeve_proto::cri as proto;

use super::http;
use crate::Handles;

/// Longest part of an output that is shown.
const SHOWN: usize = 1024;

pub(super) enum Outcome {
    Success,
    Failure(String),
}

/// What is probed.
pub(super) struct Target {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) container: Container,
    pub(super) timeout: Duration,
}

impl Target {
    /// Number of a port, which may be given by the name it has in the container.
    fn port(&self, port: &IntOrString) -> Option<u16> {
        let number = match port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => match name.parse() {
                Ok(number) => number,
                Err(_) => {
                    let ports = self.container.ports.as_deref().unwrap_or_default();
                    ports.iter().find(|p| p.name.as_deref() == Some(name))?.container_port
                }
            },
        };
        u16::try_from(number).ok()
    }
}

/// Runs a probe once.
pub(super) async fn probe(handles: &Handles, target: &Target, probe: &Probe) -> Outcome {
    if let Some(exec) = &probe.exec {
        return run_exec(handles, target, exec.command.clone().unwrap_or_default()).await;
    }
    if let Some(get) = &probe.http_get {
        let Some(port) = target.port(&get.port) else { return no_port(&get.port) };
        return http::get(get, &target.address, port, target.timeout).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let Some(port) = target.port(&tcp.port) else { return no_port(&tcp.port) };
        let host = tcp.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| target.address.clone());
        return connect(&host, port, target.timeout).await;
    }
    Outcome::Failure("this node has no such probe".into())
}

fn no_port(port: &IntOrString) -> Outcome {
    Outcome::Failure(format!("no port {port:?} in the container"))
}

async fn run_exec(handles: &Handles, target: &Target, cmd: Vec<String>) -> Outcome {
    let timeout = target.timeout;
    let request = proto::ExecSyncRequest {
        container_id: target.id.clone(),
        cmd,
        timeout: i64::try_from(timeout.as_secs().max(1)).unwrap_or(1),
    };
    // The runtime ends the command at its timeout; the second of ours is for a runtime that hangs.
    let mut runtime = handles.cri.runtime();
    let answer = tokio::time::timeout(timeout + Duration::from_secs(2), runtime.exec_sync(request));
    match answer.await {
        Ok(Ok(response)) => {
            let response = response.into_inner();
            if response.exit_code == 0 {
                return Outcome::Success;
            }
            let mut output = response.stdout;
            output.extend(response.stderr);
            output.truncate(SHOWN);
            let text = String::from_utf8_lossy(&output).trim_end().to_owned();
            Outcome::Failure(if text.is_empty() { format!("exit code {}", response.exit_code) } else { text })
        }
        Ok(Err(status)) if status.code() == tonic::Code::DeadlineExceeded => timed_out(timeout),
        Ok(Err(status)) => Outcome::Failure(status.message().to_owned()),
        Err(_) => timed_out(timeout),
    }
}

fn timed_out(timeout: Duration) -> Outcome {
    Outcome::Failure(format!("command timed out after {}s", timeout.as_secs()))
}

async fn connect(host: &str, port: u16, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(format!("dial tcp {host}:{port}: {error}")),
        Err(_) => Outcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}
