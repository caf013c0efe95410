//! A table that stays at the foot of the terminal while log lines pass above it.
//!
//! One piece of state for the whole process, since there is one terminal: the lines that now stand at the foot.
//! Whoever writes to the terminal takes them away, writes, and puts them back.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossterm::cursor::MoveToPreviousLine;
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};

/// The lines at the foot of the terminal; empty where no table is shown.
static TABLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn table() -> MutexGuard<'static, Vec<String>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows `lines` in place of those shown before. Writes nothing when they are the same.
pub(crate) fn show(lines: Vec<String>) -> io::Result<()> {
    let mut shown = table();
    if *shown == lines {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    erase(&mut out, shown.len())?;
    write_lines(&mut out, &lines)?;
    *shown = lines;
    out.flush()
}

/// Leaves what is shown where it stands: what comes now is written under it.
pub(crate) fn leave() {
    table().clear();
}

fn erase(out: &mut impl Write, lines: usize) -> io::Result<()> {
    if lines > 0 {
        let lines = u16::try_from(lines).unwrap_or(u16::MAX);
        queue!(out, MoveToPreviousLine(lines), Clear(ClearType::FromCursorDown))?;
    }
    Ok(())
}

fn write_lines(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// Writes log lines to standard error; above the table where both are on the terminal.
pub(crate) struct AboveTable;

impl Write for AboveTable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = table();
        let mut err = io::stderr().lock();
        if shown.is_empty() || !err.is_terminal() {
            err.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut text = Vec::new();
        erase(&mut text, shown.len())?;
        text.extend_from_slice(bytes);
        write_lines(&mut text, &shown)?;
        err.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_table_is_taken_away() {
        let mut out = Vec::new();
        erase(&mut out, 0).expect("nothing to erase");
        assert!(out.is_empty());
        erase(&mut out, 3).expect("written");
        assert_eq!(out, b"\x1b[3F\x1b[J");
    }
}
