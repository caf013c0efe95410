//! An event in one line, as `kubectl get events` and the foot of `kubectl describe` show it.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use super::{age, table};

/// Heads of `reeve get events`.
pub(crate) const HEAD: [&str; 5] = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];

/// The row of `event` for `reeve get events`.
pub(crate) fn row(event: &Event, now: Timestamp) -> Vec<String> {
    let object = &event.involved_object;
    let kind = object.kind.as_deref().unwrap_or("pod").to_lowercase();
    vec![
        age::since(last_seen(event).as_ref(), now),
        event.type_.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        format!("{kind}/{}", object.name.as_deref().unwrap_or_default()),
        message(event),
    ]
}

/// When it last happened: the last timestamp, else the series', else the first.
pub(crate) fn last_seen(event: &Event) -> Option<Timestamp> {
    let last = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|t| t.0);
    last.or_else(|| event.event_time.as_ref().map(|t| t.0))
}

/// The table at the foot of `reeve describe`, indented by two, heads underlined.
pub(crate) fn described(events: &[Event], now: Timestamp) -> Vec<String> {
    if events.is_empty() {
        return vec!["Events:  <none>".into()];
    }
    let underline = |text: &str| "-".repeat(text.len());
    let heads = ["Type", "Reason", "Age", "From", "Message"];
    let mut rows = vec![heads.iter().map(|head| underline(head)).collect::<Vec<_>>()];
    rows.extend(events.iter().map(|event| {
        vec![
            event.type_.clone().unwrap_or_default(),
            event.reason.clone().unwrap_or_default(),
            repeated_age(event, now),
            reporter(event),
            message(event),
        ]
    }));
    let lines = table::render(&heads, &rows);
    std::iter::once("Events:".to_owned()).chain(lines.into_iter().map(|line| format!("  {line}"))).collect()
}

/// `12s`, or `12s (x4 over 3m)` for an event seen more than once.
fn repeated_age(event: &Event, now: Timestamp) -> String {
    let last = age::since(last_seen(event).as_ref(), now);
    match event.count {
        Some(count) if count > 1 => {
            let first = age::since(event.first_timestamp.as_ref().map(|t| &t.0), now);
            format!("{last} (x{count} over {first})")
        }
        _ => last,
    }
}

fn reporter(event: &Event) -> String {
    let source = event.source.as_ref().and_then(|s| s.component.clone());
    source.or_else(|| event.reporting_component.clone()).unwrap_or_default()
}

/// The message on one line.
fn message(event: &Event) -> String {
    event.message.as_deref().unwrap_or_default().trim().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::{event, now};
    use serde_json::json;

    fn back_off(count: i32) -> Event {
        event(json!({
            "metadata": {"name": "web.1"},
            "involvedObject": {"kind": "Pod", "name": "web"},
            "type": "Warning", "reason": "BackOff", "count": count,
            "message": "Back-off restarting failed container\n",
            "firstTimestamp": "2026-11-21T11:50:00Z", "lastTimestamp": "2026-11-21T11:59:48Z",
            "source": {"component": "reeve"},
        }))
    }

    #[test]
    fn one_line_each() {
        assert_eq!(
            row(&back_off(1), now()),
            ["12s", "Warning", "BackOff", "pod/web", "Back-off restarting failed container"]
        );
    }

    #[test]
    fn repeats_are_counted_in_describe() {
        let lines = described(&[back_off(7)], now());
        let width = "12s (x7 over 10m)".len();
        assert_eq!(lines[0], "Events:");
        assert_eq!(lines[1], format!("  Type      Reason    {:width$}   From    Message", "Age"));
        assert_eq!(lines[2], format!("  ----      ------    {:width$}   ----    -------", "---"));
        let text = "Back-off restarting failed container";
        assert_eq!(lines[3], format!("  Warning   BackOff   12s (x7 over 10m)   reeve   {text}"));
    }

    #[test]
    fn none() {
        assert_eq!(described(&[], now()), ["Events:  <none>"]);
    }
}
