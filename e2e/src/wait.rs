//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Looks this often.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// With `what` when it does not within `seconds`.
pub fn until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    until_some(what, seconds, || condition().then_some(()));
}

/// Waits until `probe` yields something, and returns it.
///
/// # Panics
/// With `what` when it does not within `seconds`.
pub fn until_some<T>(what: &str, seconds: u64, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        pause();
    }
}

/// Lets `seconds` go by, for tests of what must not happen in that time.
pub fn let_pass(seconds: f64) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that looks again after a while")]
fn pause() {
    std::thread::sleep(INTERVAL);
}
