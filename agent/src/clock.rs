//! The one place that reads a clock.
//!
//! Everything below works with [`Timestamp`]s handed in, so that the simulation can drive it through years.
#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use jiff::Timestamp;

/// Source of the time. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    virtual_start: Option<(Timestamp, tokio::time::Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { virtual_start: None }
    }

    /// A clock that starts at `start` and follows tokio's time, which tests pause.
    pub fn following_tokio(start: Timestamp) -> Clock {
        Clock { virtual_start: Some((start, tokio::time::Instant::now())) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self.virtual_start {
            None => Timestamp::now(),
            Some((start, since)) => start + since.elapsed(),
        }
    }

    /// Sleeps until `at`; a moment that has passed returns at once.
    pub async fn sleep_until(&self, at: Timestamp) {
        let left = at.duration_since(self.now());
        // Rounded up to tokio's granularity, or the sleeper wakes just before its time and spins.
        let left = Duration::try_from(left).unwrap_or_default();
        if !left.is_zero() {
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
    }
}
