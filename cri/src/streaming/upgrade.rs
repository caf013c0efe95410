//! From an HTTP request with a token to a WebSocket with a purpose.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::channel::Protocol;
use super::{Prepared, Streaming, command, port_forward};

/// The most a client may send in one message; kubectl sends at most 32 KiB.
const MESSAGE_LIMIT: usize = 1 << 20;

/// Serves whoever comes with a token.
pub(super) async fn connect(
    State(streaming): State<Streaming>,
    Path(token): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // Before the token is spent: the client may try again in a way that works.
    if let Err(refusal) = refuse_spdy(&headers) {
        return refusal;
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(MESSAGE_LIMIT),
        Err(rejection) => return rejection.into_response(),
    };
    let offered = offered(&headers);
    let Some(prepared) = streaming.redeem(&token) else {
        return (StatusCode::NOT_FOUND, "unknown, used or expired token").into_response();
    };
    match prepared {
        Prepared::PortForward { sandbox, ports } => {
            let Some((name, protocol)) = choose(&offered, &port_forward::PROTOCOLS) else {
                return no_protocol(&offered, &port_forward::PROTOCOLS);
            };
            with_protocol(upgrade, name)
                .on_upgrade(move |socket| port_forward::serve(streaming, socket, protocol, sandbox, ports))
        }
        Prepared::Exec { container, spec } => {
            let Some((name, protocol)) = choose(&offered, &Protocol::NAMES) else {
                return no_protocol(&offered, &Protocol::NAMES);
            };
            with_protocol(upgrade, name)
                .on_upgrade(move |socket| command::exec(streaming, socket, protocol, container, spec))
        }
        Prepared::Attach { container, spec } => {
            let Some((name, protocol)) = choose(&offered, &Protocol::NAMES) else {
                return no_protocol(&offered, &Protocol::NAMES);
            };
            with_protocol(upgrade, name)
                .on_upgrade(move |socket| command::attach(streaming, socket, protocol, container, spec))
        }
    }
}

#[allow(clippy::result_large_err)] // axum's response, made once
fn refuse_spdy(headers: &HeaderMap) -> Result<(), Response> {
    let wants_spdy = headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("spdy/"));
    if wants_spdy {
        let words = "this runtime streams over WebSocket only, not over SPDY/3.1 \
                     (with crictl: --transport websocket)";
        return Err((StatusCode::NOT_IMPLEMENTED, words).into_response());
    }
    Ok(())
}

/// The protocols of the request, the client's favourite first.
fn offered(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The first offered protocol that is spoken here. A client that offers none gets the oldest.
fn choose(offered: &[String], spoken: &[&'static str]) -> Option<(Option<&'static str>, Protocol)> {
    if offered.is_empty() {
        return Some((None, Protocol::UNNAMED));
    }
    let name = offered.iter().find_map(|name| spoken.iter().copied().find(|spoken| spoken == name))?;
    Protocol::named(name).map(|protocol| (Some(name), protocol))
}

fn with_protocol(upgrade: WebSocketUpgrade, name: Option<&'static str>) -> WebSocketUpgrade {
    match name {
        Some(name) => upgrade.protocols([name]),
        None => upgrade,
    }
}

fn no_protocol(offered: &[String], spoken: &[&str]) -> Response {
    let words =
        format!("none of the protocols {} is supported, only {}", offered.join(", "), spoken.join(", "));
    (StatusCode::BAD_REQUEST, words).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_favourite_wins() {
        let mut headers = HeaderMap::new();
        headers
            .append(header::SEC_WEBSOCKET_PROTOCOL, "v9.channel.k8s.io, v4.channel.k8s.io".parse().unwrap());
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io".parse().unwrap());
        let (name, _) = choose(&offered(&headers), &Protocol::NAMES).unwrap();
        assert_eq!(name, Some("v4.channel.k8s.io"));
    }

    #[test]
    fn strangers_are_told_what_is_spoken() {
        assert!(choose(&["v9.channel.k8s.io".to_owned()], &Protocol::NAMES).is_none());
        assert_eq!(choose(&[], &Protocol::NAMES).unwrap().1, Protocol::UNNAMED);
    }
}
