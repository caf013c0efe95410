//! Verbs that let time pass.

use std::process::ExitCode;
use std::time::Duration;

use crate::arguments::{self, Arguments};
use crate::{Outcome, print};

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "here the passing of time is what was asked for")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// `sleep [S]`
pub(crate) fn sleep(arguments: &Arguments) -> Outcome {
    match arguments.words().first() {
        Some(text) => pause(arguments::seconds(text)?),
        None => loop {
            pause(Duration::from_secs(3600));
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// `crash [--after S] [--code N]`
pub(crate) fn crash(arguments: &Arguments) -> Outcome {
    let (after, code) = (arguments.seconds("after", 2)?, arguments.number("code", 1u8)?);
    print(&format!("about to end with code {code}, in {after:?}\n"))?;
    pause(after);
    Ok(ExitCode::from(code))
}

/// `exit N`
pub(crate) fn exit(arguments: &Arguments) -> Outcome {
    let code: u8 = arguments.word(0, "N")?.parse().map_err(|_| "N is not 0 to 255")?;
    Ok(ExitCode::from(code))
}
