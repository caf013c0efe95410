//! What is wrong in a manifest, shown where it stands.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Whether a manifest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The manifest is accepted, but a part of it has no effect here.
    Warning,
    /// The manifest is refused.
    Error,
}

/// One thing wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Whether it keeps the manifest from being used.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line itself, or empty.
    pub snippet: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let what = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        match self.line {
            0 => write!(f, "{file}: {what}{}", self.message)?,
            line => write!(f, "{file}:{line}:{}: {what}{}", self.column, self.message)?,
        }
        if !self.snippet.is_empty() {
            let gutter = self.line.to_string();
            let caret = " ".repeat(self.column.saturating_sub(1));
            write!(f, "\n {gutter} | {}", self.snippet)?;
            write!(f, "\n {} | {caret}^", " ".repeat(gutter.len()))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n hint: {hint}")?;
        }
        Ok(())
    }
}
