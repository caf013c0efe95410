//! Pods for the tests of this folder, written as the API shows them.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// The moment at which the tests look.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a literal time")
}

/// A pod from its JSON.
pub(crate) fn pod(json: Value) -> Pod {
    serde_json::from_value(json).expect("a literal pod")
}

/// An event from its JSON.
pub(crate) fn event(json: Value) -> Event {
    serde_json::from_value(json).expect("a literal event")
}
