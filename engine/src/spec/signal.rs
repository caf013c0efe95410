//! Signals by name or number.

use std::str::FromStr;

use crate::error::{Error, Result};

/// `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1` (signal(7); images write them in all these ways).
pub(super) fn parse_signal(text: &str) -> Result<i32> {
    let invalid = || Error::Invalid { field: "stop_signal", problem: format!("{text:?} is not a signal") };
    let upper = text.trim().to_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = if let Ok(number) = bare.parse::<i32>() {
        Some(number)
    } else if let Some(rest) = bare.strip_prefix("RTMIN") {
        offset(rest, '+').map(|offset| libc::SIGRTMIN() + offset)
    } else if let Some(rest) = bare.strip_prefix("RTMAX") {
        offset(rest, '-').map(|offset| libc::SIGRTMAX() - offset)
    } else {
        nix::sys::signal::Signal::from_str(&format!("SIG{bare}")).ok().map(|signal| signal as i32)
    };
    number.filter(|number| (1..=64).contains(number)).ok_or_else(invalid)
}

fn offset(rest: &str, sign: char) -> Option<i32> {
    match rest.strip_prefix(sign) {
        Some(digits) => digits.parse().ok(),
        None => rest.is_empty().then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGUSR1", 10),
            ("sigquit", 3),
            ("SIGRTMIN+3", libc::SIGRTMIN() + 3),
            ("RTMAX", libc::SIGRTMAX()),
            ("SIGRTMAX-2", libc::SIGRTMAX() - 2),
        ] {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "SIGNOPE", "RTMIN-1", "-1"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
