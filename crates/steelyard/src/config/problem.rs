//! What is wrong with a configuration, shown as a compiler shows it.
//!
//! Constraint: a secret never reaches an excerpt: of a line that may hold one, only what stands before the `=` is shown.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The line, without secrets.
    pub excerpt: String,
}

impl Place {
    /// The place of a byte range.
    pub(crate) fn of(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let excerpt = text[line_start..line_end].trim_end_matches('\r').replace('\t', " ");
        let column = text[line_start..start].chars().count() + 1;
        let width = text[start..end.min(line_end)].chars().count().max(1);
        let line = text[..start].matches('\n').count() + 1;
        let shown = without_secrets(&excerpt);
        let width = width.min((shown.chars().count() + 1).saturating_sub(column).max(1));
        Self { line, column: column.min(shown.chars().count() + 1), width, excerpt: shown }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The names of fields that hold no secret. What stands behind any other name is not shown: a credential may well
/// stand behind a name that is misspelt.
static OPEN_FIELDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let schema = super::reference::schema();
    let tables = schema["$defs"].as_object().into_iter().flat_map(|tables| tables.values());
    tables
        .filter_map(|table| table["properties"].as_object())
        .flat_map(|fields| fields.keys().cloned())
        // `key` is a path where it belongs, but elsewhere somebody's word for `api_key`.
        .filter(|field| !matches!(field.as_str(), "api_key" | "headers" | "key"))
        .collect()
});

fn without_secrets(line: &str) -> String {
    let cut = |at: usize| format!("{} …", line[..at].trim_end());
    let has_password = line.find("://").is_some_and(|at| line[at..].contains('@'));
    for (at, _) in line.match_indices('=') {
        let before = line[..at].trim_end();
        let start = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |at| at + 1);
        let value = line[at + 1..].trim_start();
        let is_reference = value.starts_with("\"env:") || value.starts_with("\"file:");
        if has_password || !(OPEN_FIELDS.contains(&before[start..]) || is_reference) {
            return cut(at + 1);
        }
    }
    // The middle of a list or of a text over several lines may be the value of anything.
    let is_header = line.trim_start().starts_with('[') && !line.contains(['"', '\'']);
    if line.contains('=') || is_header || !line.contains(char::is_alphanumeric) {
        line.to_owned()
    } else {
        cut(0)
    }
}

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lowercase, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where; none when it is not in the file.
    pub place: Option<Place>,
}

impl Problem {
    pub(crate) fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), help: None, place: None }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    pub(crate) fn note(message: impl Into<String>) -> Self {
        Self::new(Severity::Note, message)
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// As one line, for a log.
    pub fn line(&self, path: Option<&PathBuf>) -> String {
        let mut line = String::new();
        if let (Some(path), Some(place)) = (path, &self.place) {
            line = format!("{}:{}:{}: ", path.display(), place.line, place.column);
        }
        line.push_str(&self.message);
        if let Some(help) = &self.help {
            line.push_str("; ");
            line.push_str(help);
        }
        line
    }

    /// As a compiler shows it, over several lines.
    pub fn shown<'p>(&'p self, path: Option<&'p PathBuf>) -> impl fmt::Display + 'p {
        Shown { problem: self, path }
    }
}

struct Shown<'p> {
    problem: &'p Problem,
    path: Option<&'p PathBuf>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { severity, message, help, place } = self.problem;
        write!(f, "{}: {message}", severity.name())?;
        let mut gutter = String::from(" ");
        if let (Some(path), Some(place)) = (self.path, place) {
            let number = place.line.to_string();
            gutter = " ".repeat(number.len());
            write!(f, "\n{gutter}--> {}:{}:{}", path.display(), place.line, place.column)?;
            write!(f, "\n{gutter} |\n{number} | {}", place.excerpt)?;
            write!(f, "\n{gutter} | {}{}", " ".repeat(place.column - 1), "^".repeat(place.width))?;
        }
        if let Some(help) = help {
            write!(f, "\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used. Whatever was in force stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// Everything that is wrong, warnings included.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(path: Option<PathBuf>, problems: Vec<Problem>) -> Self {
        Self { path, problems }
    }

    /// The errors alone, as one line each, for a log.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| problem.line(self.path.as_ref()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{}", problem.shown(self.path.as_ref()))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line() {
        let text = "[server]\nlisten = 5\n";
        let problem = Problem::error("wrong").help("mend it").at(Some(Place::of(text, &(18..19))));
        let path = PathBuf::from("steelyard.toml");
        assert_eq!(
            problem.shown(Some(&path)).to_string(),
            "error: wrong\n --> steelyard.toml:2:10\n  |\n2 | listen = 5\n  |          ^\n  = help: mend it"
        );
        assert_eq!(problem.line(Some(&path)), "steelyard.toml:2:10: wrong; mend it");
    }

    #[test]
    fn a_secret_is_not_shown() {
        for (line, shown) in [
            ("api_key = \"sk-1\"", "api_key = …"),
            ("key = \"sk-1\"", "key = …"),
            ("apikee=\"sk-1\"", "apikee= …"),
            ("headers = { x = \"sk-1\" }", "headers = …"),
            ("\"x y\" = \"sk-1\"", "\"x y\" = …"),
            ("name = \"a\" # api_key = \"sk-1\"", "name = \"a\" # api_key = …"),
            ("base_url = \"https://me:sk-1@up/v1\"", "base_url = …"),
            ("  \"sk-1\",", " …"),
            ("sk-1\"\"\"", " …"),
            ("api_key = \"env:OPENAI_API_KEY\"", "api_key = \"env:OPENAI_API_KEY\""),
            ("timeouts.idle = \"5s\"", "timeouts.idle = \"5s\""),
            ("[[channels]]", "[[channels]]"),
            ("]", "]"),
        ] {
            let place = Place::of(line, &(0..line.len()));
            assert_eq!(place.excerpt, shown);
            assert!(place.column - 1 + place.width <= place.excerpt.chars().count() + 1);
        }
    }

    #[test]
    fn places_outside_the_text_are_its_end() {
        let place = Place::of("é\n", &(40..90));
        assert_eq!((place.line, place.column), (2, 1));
        assert_eq!(Place::of("éa", &(1..2)).column, 1);
    }
}
