//! A probe in one line: `http-get http://:8080/ delay=0s timeout=1s period=10s #success=1 #failure=3`.

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What `probe` does and when, with Kubernetes' defaults filled in.
pub(crate) fn line(probe: &Probe) -> String {
    let seconds = |value: Option<i32>, default: i32| value.unwrap_or(default);
    format!(
        "{} delay={}s timeout={}s period={}s #success={} #failure={}",
        action(probe),
        seconds(probe.initial_delay_seconds, 0),
        seconds(probe.timeout_seconds, 1),
        seconds(probe.period_seconds, 10),
        seconds(probe.success_threshold, 1),
        seconds(probe.failure_threshold, 3),
    )
}

fn action(probe: &Probe) -> String {
    if let Some(exec) = &probe.exec {
        format!("exec [{}]", exec.command.as_deref().unwrap_or_default().join(" "))
    } else if let Some(http) = &probe.http_get {
        format!("http-get {}", url(http))
    } else if let Some(tcp) = &probe.tcp_socket {
        format!("tcp-socket {}:{}", tcp.host.as_deref().unwrap_or_default(), port(&tcp.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("grpc :{} {}", grpc.port, grpc.service.as_deref().unwrap_or_default()).trim_end().to_owned()
    } else {
        "unknown".into()
    }
}

fn url(http: &HTTPGetAction) -> String {
    let scheme = http.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let host = http.host.as_deref().unwrap_or_default();
    format!("{scheme}://{host}:{}{}", port(&http.port), http.path.as_deref().unwrap_or("/"))
}

fn port(port: &IntOrString) -> String {
    match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}
