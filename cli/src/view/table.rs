//! Columns as kubectl aligns them: upper-case heads, three spaces between, nothing drawn.

/// Spaces between two columns.
const GAP: usize = 3;

/// `rows` under `head`, each column as wide as its widest cell; one line each, no trailing blanks.
/// An empty `head` is left out (`--no-headers`).
pub(crate) fn render(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let widths = widths(head, rows);
    let head = (!head.is_empty()).then(|| line(&widths, head.iter().copied()));
    head.into_iter().chain(rows.iter().map(|row| line(&widths, row.iter().map(String::as_str)))).collect()
}

/// The width of each column of a table.
pub(crate) fn widths(head: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).chain([head.len()]).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    let cells = head.iter().enumerate().map(|(at, cell)| (at, cell.chars().count()));
    let body =
        rows.iter().flat_map(|row| row.iter().enumerate().map(|(at, cell)| (at, cell.chars().count())));
    for (at, width) in cells.chain(body) {
        widths[at] = widths[at].max(width);
    }
    widths
}

/// One line of a table whose columns have the given widths.
pub(crate) fn line<'a>(widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(cell);
        let pad = width.saturating_sub(cell.chars().count()) + GAP;
        line.extend(std::iter::repeat_n(' ', pad));
    }
    line.truncate(line.trim_end().len());
    line
}

/// `line` cut to `width` columns, the cut marked by an ellipsis.
pub(crate) fn clip(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn aligns_on_the_widest_cell_and_leaves_no_trailing_blanks() {
        let lines = render(&["NAME", "AGE"], &rows(&[&["web", "3m12s"], &["crash-loop", "4s"]]));
        assert_eq!(lines, ["NAME         AGE", "web          3m12s", "crash-loop   4s"]);
    }

    #[test]
    fn counts_characters_not_bytes() {
        let lines = render(&["N", "X"], &rows(&[&["ä", "1"], &["bb", "2"]]));
        assert_eq!(lines, ["N    X", "ä    1", "bb   2"]);
    }

    #[test]
    fn no_heads() {
        assert_eq!(render(&[], &rows(&[&["pod/web"]])), ["pod/web"]);
    }

    #[test]
    fn clips_to_the_terminal() {
        assert_eq!(clip("NAME   READY", 8), "NAME   …");
        assert_eq!(clip("NAME", 4), "NAME");
        assert_eq!(clip("NAME", 0), "");
    }
}
