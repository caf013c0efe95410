//! How a command ends: with a code, and where it failed with what to do next.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::out;

/// Something failed, and nothing more specific is known.
pub(crate) const FAILED: u8 = 1;
/// No agent answers on its socket.
pub(crate) const NO_AGENT: u8 = 3;
/// What was named is not there.
pub(crate) const NOT_FOUND: u8 = 4;
/// `exec` itself failed, so that the code is not the command's.
pub(crate) const EXEC_FAILED: u8 = 125;

/// The codes, for the help text.
pub(crate) const CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    no agent answers on its socket
  4    what was named is not there
  125  exec: the command could not be run (else the command's own code)
  130  interrupted";

/// An error that the user can do something about.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure that ends the program with `code`.
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    /// What the user may do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Tells the user what failed, why, and what to do; returns the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // `reeve get pods | head`: the reader has had enough, which is no failure.
    let closed = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
    if closed {
        return ExitCode::SUCCESS;
    }
    out::error(&text(error));
    ExitCode::from(error.downcast_ref::<Failure>().map_or(FAILED, |failure| failure.code))
}

/// `error: what: why`, causes after colons, and the hint on a line of its own.
fn text(error: &anyhow::Error) -> String {
    let mut text = format!("error: {}", chain(error));
    if let Some(hint) = error.downcast_ref::<Failure>().and_then(|failure| failure.hint.as_deref()) {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    text
}

/// The error and its causes after colons; a cause that its consequence has told already is not told twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn names_the_causes_and_the_hint() {
        let failure = Failure::new(NO_AGENT, "no agent answers").hint("start one");
        assert_eq!(text(&failure.into()), "error: no agent answers\nhint: start one");
        let deep = Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)).context("cannot read x");
        let error = deep.expect_err("failed");
        assert_eq!(text(&error), "error: cannot read x: entity not found");
        let told = error.context("cannot start: cannot read x");
        assert_eq!(text(&told), "error: cannot start: cannot read x: entity not found");
    }
}
