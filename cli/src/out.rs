//! The one place that writes to the user.

use std::io::{self, IsTerminal, Write};

/// Writes a line to standard output.
pub(crate) fn line(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes lines to standard output.
pub(crate) fn lines(lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|text| line(text))
}

/// Writes bytes to standard output as they are.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a remark to standard error, so that piped output stays clean.
pub(crate) fn note(text: &str) {
    // Standard error may be closed; then there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error, its first word red on a terminal.
pub(crate) fn error(text: &str) {
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match text.strip_prefix("error:") {
        Some(rest) if coloured => note(&format!("\x1b[1;31merror:\x1b[0m{rest}")),
        _ => note(text),
    }
}

/// Writes bytes to standard error as they are.
pub(crate) fn error_bytes(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}
