//! How long to wait before trying again.

use std::time::Duration;

/// First delay after a crash.
const FIRST: u64 = 10;
/// Longest delay.
const LONGEST: u64 = 300;
/// A container that ran this long starts afresh.
const GOOD_RUN: Duration = Duration::from_secs(600);

/// How long a container that crashed `level` times in a row waits: not at all, then 10 s, doubling to 5 min.
pub fn crash_delay(level: u32) -> Duration {
    match level.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => doubled(FIRST, LONGEST, doublings),
    }
}

/// Crashes in a row, counting the one of a container that had `level` before it and ran for `ran`.
pub fn next_level(level: u32, ran: Duration) -> u32 {
    if ran >= GOOD_RUN { 0 } else { level }
}

/// How long to wait after the `failures`-th failure in a row to make a container.
pub fn retry_delay(failures: u32) -> Duration {
    doubled(FIRST, LONGEST, failures.saturating_sub(1))
}

/// The same for a sandbox, which fails for passing reasons more often.
pub(super) fn sandbox_delay(failures: u32) -> Duration {
    doubled(1, 60, failures.saturating_sub(1))
}

fn doubled(first: u64, longest: u64, times: u32) -> Duration {
    let factor = 1u64.checked_shl(times).filter(|_| times < 16).unwrap_or(u64::from(u16::MAX));
    Duration::from_secs(first.saturating_mul(factor).min(longest))
}
