//! One-time tokens: what Exec, Attach and PortForward hand out is the only key to what they prepared.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take from the answer of the call to its connection.
const LIFETIME: Duration = Duration::from_secs(60);

/// How many prepared requests may wait. Each is small, but nobody should fill memory with them.
const CAPACITY: usize = 1000;

/// Requests that wait for their client.
pub(super) struct Tokens<T> {
    waiting: Mutex<HashMap<String, (Instant, T)>>,
}

/// There are too many prepared requests that no client came for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{CAPACITY} prepared streams already wait for their client")]
pub(crate) struct Full;

impl<T> Tokens<T> {
    pub(super) fn new() -> Tokens<T> {
        Tokens { waiting: Mutex::new(HashMap::new()) }
    }

    /// Keeps `request` for whoever presents the returned token in time.
    pub(super) fn issue(&self, request: T, now: Instant) -> Result<String, Full> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (issued, _)| is_fresh(*issued, now));
        if waiting.len() >= CAPACITY {
            return Err(Full);
        }
        // 128 random bits: not to be guessed within the minute, on loopback or elsewhere.
        let token = format!("{:032x}", rand::random::<u128>());
        waiting.insert(token.clone(), (now, request));
        Ok(token)
    }

    /// The request of `token`, which is void from now on.
    pub(super) fn redeem(&self, token: &str, now: Instant) -> Option<T> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (issued, request) = waiting.remove(token)?;
        is_fresh(issued, now).then_some(request)
    }
}

fn is_fresh(issued: Instant, now: Instant) -> bool {
    now.saturating_duration_since(issued) < LIFETIME
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_once() {
        let tokens = Tokens::new();
        let now = Instant::now();
        let token = tokens.issue("exec", now).unwrap();

        assert_eq!(tokens.redeem(&token, now), Some("exec"));
        assert_eq!(tokens.redeem(&token, now), None);
    }

    #[test]
    fn a_token_expires() {
        let tokens = Tokens::new();
        let now = Instant::now();
        let token = tokens.issue("exec", now).unwrap();

        assert_eq!(tokens.redeem(&token, now + LIFETIME), None);
    }

    #[test]
    fn waiting_requests_are_bounded_and_make_room_when_they_expire() {
        let tokens = Tokens::new();
        let now = Instant::now();
        for _ in 0..CAPACITY {
            tokens.issue((), now).unwrap();
        }

        assert_eq!(tokens.issue((), now), Err(Full));
        assert!(tokens.issue((), now + LIFETIME).is_ok());
    }
}
