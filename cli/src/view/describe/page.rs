//! Lines of `Key:  value` with the values of one block aligned.

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

    /// A block of keys with their values aligned; further lines of a value stand under its first.
    pub(crate) fn pairs(&mut self, depth: usize, pairs: &[(&str, String)]) {
        let width = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0) + 3;
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
            return self.line(depth, &format!("{key}:  <none>"));
        }
        self.line(depth, &format!("{key}:"));
        lines.iter().for_each(|line| self.line(depth + 1, line));
    }

    /// The text as written so far.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}
