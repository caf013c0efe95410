//! The user's terminal: its size, raw mode, and the live table.

pub(crate) mod screen;

use crossterm::terminal;

/// Columns and rows of the terminal, where there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// Raw mode until it is dropped: keys go to the command, not to the line editor.
pub(crate) struct Raw;

impl Raw {
    /// Enters raw mode.
    pub(crate) fn enter() -> std::io::Result<Raw> {
        terminal::enable_raw_mode()?;
        Ok(Raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be gone, with whoever sat at it.
        let _ = terminal::disable_raw_mode();
    }
}
