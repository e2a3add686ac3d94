//! Columns aligned by elastic tab stops, byte for byte as Go's `text/tabwriter` with a minimum
//! width of 10 and 3 spaces between (what Docker uses).

/// The narrowest a column gets.
const MINIMUM: usize = 10;
/// Spaces after the widest cell.
const PADDING: usize = 3;
/// A cell that has to give way on a narrow screen keeps this many characters.
const SHRUNK: usize = 8;

/// Aligns tab-separated lines.
pub(crate) fn align(text: &str) -> String {
    align_with(text, MINIMUM, PADDING)
}

/// Aligns with other widths, in characters.
pub(crate) fn align_with(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut writer =
        Writer { lines: &lines, widths: Vec::new(), minimum, padding, out: String::new() };
    writer.block(0, lines.len());
    writer.out
}

struct Writer<'a> {
    lines: &'a [Vec<&'a str>],
    /// Widths of the columns to the left of the block at hand.
    widths: Vec<usize>,
    minimum: usize,
    padding: usize,
    out: String,
}

impl Writer<'_> {
    /// Formats lines `from..to`: a column is a run of lines that have a tab there.
    fn block(&mut self, mut from: usize, to: usize) {
        let column = self.widths.len();
        let has_cell = |line: &Vec<&str>| column + 1 < line.len();
        let mut line = from;
        while line < to {
            if !self.lines.get(line).is_some_and(has_cell) {
                line += 1;
                continue;
            }
            self.write(from, line);
            from = line;
            let mut width = self.minimum;
            while line < to
                && let Some(cells) = self.lines.get(line)
                && has_cell(cells)
            {
                let cell = cells.get(column).map_or(0, |cell| cell.chars().count());
                width = width.max(cell + self.padding);
                line += 1;
            }
            self.widths.push(width);
            self.block(from, line);
            self.widths.pop();
            from = line;
        }
        self.write(from, to);
    }

    fn write(&mut self, from: usize, to: usize) {
        for cells in self.lines.iter().take(to).skip(from) {
            for (column, cell) in cells.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(column) {
                    let missing = width.saturating_sub(cell.chars().count());
                    self.out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            self.out.push('\n');
        }
    }
}

/// Shortens the widest cells of a table's rows until its lines fit `screen` columns; the first line
/// is the heading and the first and last columns (ids and names, which people copy) are left alone.
pub(crate) fn fit(text: &str, screen: usize) -> String {
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let total = |widths: &[usize]| -> usize {
        let last = widths.last().copied().unwrap_or_default();
        let others = widths.iter().rev().skip(1);
        last + others.map(|width| (width + PADDING).max(MINIMUM)).sum::<usize>()
    };
    while total(&widths) > screen {
        let inner = widths.iter().enumerate().skip(1).take(columns.saturating_sub(2));
        let Some((column, width)) = inner.max_by_key(|(_, width)| **width) else { break };
        if *width <= SHRUNK {
            break;
        }
        let excess = total(&widths) - screen;
        let width = width.saturating_sub(excess.min(4)).max(SHRUNK);
        if let Some(slot) = widths.get_mut(column) {
            *slot = width;
        }
    }
    for line in lines.iter_mut().skip(1) {
        for (cell, width) in line.iter_mut().zip(&widths) {
            *cell = super::ellipsis(cell, *width);
        }
    }
    lines.iter().map(|cells| cells.join("\t") + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::{align, fit};

    #[test]
    fn columns_are_as_docker_s() {
        let text = "CONTAINER ID\tIMAGE\tNAMES\n0123456789ab\tx\tweb\n";
        assert_eq!(align(text), "CONTAINER ID   IMAGE     NAMES\n0123456789ab   x         web\n");
        assert_eq!(align("A\t\tB\n"), "A                   B\n");
        assert_eq!(align("one\n"), "one\n");
        assert_eq!(align(""), "");
    }

    #[test]
    fn a_line_without_tabs_ends_a_column() {
        let text = "a\tb\nlonger than ten\n0123456789\tc\n";
        assert_eq!(align(text), "a         b\nlonger than ten\n0123456789   c\n");
    }

    #[test]
    fn width_counts_characters() {
        assert_eq!(align("ééééééééé…\tx\n"), "ééééééééé…   x\n");
    }

    #[test]
    fn wide_tables_give_way_in_the_middle() {
        let text = "ID\tCOMMAND\tNAMES\n0123456789ab\ta very long command indeed\tweb\n";
        let fitted = align(&fit(text, 40));
        assert!(fitted.lines().all(|line| line.chars().count() <= 40), "{fitted}");
        assert!(fitted.contains("0123456789ab") && fitted.contains("web") && fitted.contains('…'));
        assert_eq!(fit(text, 200), text);
    }
}
