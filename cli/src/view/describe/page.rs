//! Lines of `Key:  value` with the values of one block aligned.

/// Where the values of a container begin.
const COLUMN: usize = 21;

/// A page of text being written.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// One line, indented by `depth` levels of two spaces.
    pub(crate) fn line(&mut self, depth: usize, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(line);
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// A block of keys with their values aligned; further lines of a value stand under its first. Within a
    /// container values stand in one column over all blocks.
    pub(crate) fn pairs(&mut self, depth: usize, pairs: &[(&str, String)]) {
        let widest = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0) + 3;
        let column = if depth < 2 { 0 } else { COLUMN - 2 * depth };
        let width = widest.max(column);
        for (key, value) in pairs {
            let mut lines = value.split('\n');
            let first = lines.next().unwrap_or_default();
            self.line(depth, &format!("{:<width$}{first}", format!("{key}:")));
            lines.for_each(|line| self.line(depth, &format!("{:<width$}{line}", "")));
        }
    }

    /// A key with a list under it, or `<none>` beside it.
    pub(crate) fn list(&mut self, depth: usize, key: &str, lines: &[String]) {
        if lines.is_empty() {
            return self.pairs(depth, &[(key, "<none>".into())]);
        }
        self.line(depth, &format!("{key}:"));
        lines.iter().for_each(|line| self.line(depth + 1, line));
    }

    /// The text as written so far.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}
