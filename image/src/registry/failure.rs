//! What failed, and whether to try again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::{HeaderMap, StatusCode, header};

use crate::{Error, Place, Retry};

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: Again,
}

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// No connection came about: another host, if there is one, is the better try.
    Elsewhere,
    /// After a pause; the server may have said how long.
    After(Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, again: Again::No }
    }
}

impl Failure {
    /// From the HTTP client. Its own text holds the URL, which may hold a signature: only the causes are told.
    pub(super) fn transport(error: &reqwest::Error, place: &Place) -> Failure {
        let again = if error.is_connect() { Again::Elsewhere } else { Again::After(None) };
        let mut reason = if error.is_connect() { "cannot connect" } else { "connection broke" }.to_owned();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            cause = inner.source();
        }
        Failure { error: Error::Transport { place: Box::new(place.clone()), reason }, again }
    }

    pub(super) fn stalled(place: &Place, idle: Duration) -> Failure {
        let error = Error::Stalled { place: Box::new(place.clone()), seconds: idle.as_secs_f64() };
        Failure { error, again: Again::After(None) }
    }

    /// From an answer that is no success.
    pub(super) fn status(status: StatusCode, headers: &HeaderMap, detail: &str, place: &Place) -> Failure {
        let place = Box::new(place.clone());
        let again = match status.as_u16() {
            408 | 425 | 429 | 500 | 502 | 503 | 504 => Again::After(retry_after(headers)),
            _ => Again::No,
        };
        let error = match status {
            StatusCode::NOT_FOUND => Error::NotInRegistry { place },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let detail =
                    if detail.is_empty() { status.to_string() } else { format!("{status}: {detail}") };
                Error::Unauthorized { place, detail }
            }
            _ => {
                let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                Error::Status { place, status: status.as_u16(), detail }
            }
        };
        Failure { error, again }
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(until.duration_since(jiff::Timestamp::now())).ok()
}

/// How long to go on with one request: a number of tries without progress, with growing pauses.
pub(super) struct Patience<'a> {
    retry: &'a Retry,
    pauses: ExponentialBackoff,
    /// Bounds a server that gives one byte a try.
    left: usize,
}

const MAX_TRIES: usize = 200;

impl<'a> Patience<'a> {
    pub(super) fn new(retry: &'a Retry) -> Patience<'a> {
        Patience { retry, pauses: pauses(retry), left: MAX_TRIES }
    }

    /// Something came: the pauses start anew.
    pub(super) fn progress(&mut self) {
        self.pauses = pauses(self.retry);
    }

    /// Waits before the next try, or gives the error back when there is none.
    pub(super) async fn pause(&mut self, failure: Failure, has_other_host: bool) -> Result<(), Error> {
        let asked = match failure.again {
            Again::No => return Err(failure.error),
            Again::Elsewhere if has_other_host => return Err(failure.error),
            Again::Elsewhere => None,
            Again::After(asked) => asked,
        };
        self.left = self.left.saturating_sub(1);
        let (Some(pause), true) = (self.pauses.next(), self.left > 0) else { return Err(failure.error) };
        let pause = pause.max(asked.unwrap_or_default()).min(self.retry.max_delay);
        tracing::info!(error = %failure.error, again_in = ?pause, "registry request failed");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn pauses(retry: &Retry) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(retry.min_delay)
        .with_max_delay(retry.max_delay)
        .with_max_times(retry.attempts.saturating_sub(1))
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_retry_after() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(parse("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert!(parse("Wed, 21 Oct 2065 07:28:00 GMT").is_some());
    }
}
