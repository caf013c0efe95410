//! Places in a text.

use crate::diagnostic::Diagnostic;

/// Longest part of a line that is shown.
const SHOWN: usize = 160;

/// Line and column, from 1; 0 is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// Makes a diagnostic point at this place, and show its line.
    pub(crate) fn show(self, text: &str, diagnostic: &mut Diagnostic) {
        diagnostic.line = self.line;
        diagnostic.column = self.column;
        // Beyond the part that is shown, a line and its mark would say nothing.
        if self.column > SHOWN {
            return;
        }
        let line = self.line.checked_sub(1).and_then(|n| text.lines().nth(n)).unwrap_or("");
        diagnostic.snippet = line.chars().take(SHOWN).map(|c| if c == '\t' { ' ' } else { c }).collect();
    }
}
