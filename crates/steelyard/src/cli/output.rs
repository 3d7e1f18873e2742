//! What verbs print: tables for people, JSON for programs.

use std::fmt;
use std::io::Write as _;

use serde_json::Value;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: what the server answered.
    Json,
}

/// Prints to stdout, with a line end.
///
/// # Errors
/// When stdout is closed; [`crate::cli::main`] takes a broken pipe for the reader's wish.
pub fn print(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(())
}

/// Prints a piece without a line end, at once.
pub fn print_piece(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints JSON.
pub fn print_json(value: &Value) -> anyhow::Result<()> {
    print(format_args!("{value:#}"))
}

/// Says something to the person at the terminal, beside the result.
pub fn remark(text: impl fmt::Display) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A table with aligned columns.
#[derive(Debug, Clone)]
pub struct Table {
    titles: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

/// A gap between columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table. A title that begins with `>` is of a column of figures, set to the right.
    pub fn new<'t>(titles: impl IntoIterator<Item = &'t str>) -> Self {
        let (titles, right) = titles
            .into_iter()
            .map(|title| {
                title
                    .strip_prefix('>')
                    .map_or_else(|| (title.to_owned(), false), |title| (title.to_owned(), true))
            })
            .unzip();
        Self { titles, right, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        // A line end in a cell would break the table; control characters have no place at a terminal.
        let clean = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rows.push(cells.into_iter().map(|cell| clean(cell.into())).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.titles).chain(&self.rows);
        let width = |column: usize| {
            lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.titles.len()).map(|column| width(column).unwrap_or(0)).collect();
        for (index, line) in lines().enumerate() {
            let mut shown = String::new();
            for ((cell, width), right) in line.iter().zip(&widths).zip(&self.right) {
                if !shown.is_empty() {
                    shown.push_str(GAP);
                }
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if *right { (padding.as_str(), "") } else { ("", padding.as_str()) };
                shown.push_str(before);
                shown.push_str(cell);
                shown.push_str(after);
            }
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", shown.trim_end())?;
        }
        Ok(())
    }
}

/// A field as a cell: text as it is, a list with commas, nothing as `-`.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time as a cell: to the second, UTC.
pub fn time(value: &Value) -> String {
    match value.as_str() {
        Some(text) if text.len() >= 19 && text.is_char_boundary(19) => text[..19].replace('T', " "),
        Some(text) => text.to_owned(),
        None => "-".to_owned(),
    }
}

/// The rows of a list that the server answered.
pub fn rows(answer: &Value) -> &[Value] {
    answer["data"].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_figures_set_to_the_right() {
        let mut table = Table::new(["NAME", ">CALLS", "NOTE"]);
        table.row(["a", "5", "x\ny"]);
        table.row(["längst", "12345678", ""]);
        assert_eq!(table.to_string(), "NAME       CALLS  NOTE\na              5  x y\nlängst  12345678");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(&"2026-11-21T10:00:00.123456Z".into()), "2026-11-21 10:00:00");
        assert_eq!(time(&Value::Null), "-");
    }
}
