//! Rounds become rows, rows become a table, JSON and a section of `docs/performance.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::case::{Better, Case, LINES, Line, Metric, Scale, Subject};

const BEGIN: &str = "<!-- figures: begin, written by `cargo xtask bench --write-docs` -->";
const END: &str = "<!-- figures: end -->";

/// The figures of one round.
pub(crate) type Round = BTreeMap<(Case, Metric, Subject), f64>;

/// Where and how the figures were taken.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    /// When it began.
    pub(crate) began: String,
    /// The processor.
    pub(crate) processor: String,
    /// Its cores.
    pub(crate) cores: usize,
    /// The kernel.
    pub(crate) kernel: String,
    /// nginx and its version.
    pub(crate) nginx: String,
    /// Load average of the machine before the first round; other work blurs the figures.
    pub(crate) load_before: String,
    /// Rounds.
    pub(crate) rounds: usize,
    /// Whether cases ran for one second only.
    pub(crate) quick: bool,
}

/// One row: a figure of one subject.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    case: Case,
    metric: Metric,
    title: &'static str,
    unit: &'static str,
    subject: Subject,
    /// Median over the rounds.
    value: f64,
    /// nginx's median over the rounds.
    nginx: Option<f64>,
    /// Median over the rounds of the ratio to nginx within a round, with the least and the greatest.
    ratio: Option<Spread>,
    target: Option<f64>,
    met: Option<bool>,
    /// The value of each round.
    values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    setting: Setting,
    rows: Vec<Row>,
}

impl Report {
    /// From the rounds.
    pub(crate) fn new(setting: Setting, rounds: &[Round]) -> Self {
        let subjects = [Subject::Durable, Subject::NullLedger, Subject::InProcess];
        let rows = LINES
            .iter()
            .flat_map(|line| subjects.map(|subject| row(line, subject, rounds)))
            .flatten()
            .collect();
        Self { setting, rows }
    }

    /// How many targets were missed.
    pub(crate) fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.met == Some(false)).count()
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// As a Markdown table under a line that tells the setting.
    pub(crate) fn markdown(&self) -> String {
        let Setting { began, processor, cores, kernel, nginx, load_before, rounds, quick } = &self.setting;
        let kind = if *quick { ", quick" } else { "" };
        let mut text = format!(
            "{began}, {rounds} round(s){kind}: {cores} × {processor}, Linux {kernel}, {nginx}, load average before {load_before}.\n\n\
             | case | ledger | value | nginx | ratio (least to greatest) | target | |\n|---|---|---|---|---|---|---|\n"
        );
        for row in &self.rows {
            let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
            let nginx = row.nginx.map_or_else(|| "–".to_owned(), |value| format!("{}{unit}", short(value)));
            let ratio = row.ratio.map_or_else(
                || "–".to_owned(),
                |ratio| format!("{:.2} × ({:.2} to {:.2})", ratio.median, ratio.least, ratio.greatest),
            );
            let target = row.target.map_or_else(|| "–".to_owned(), |target| row.show_target(target));
            let met = match row.met {
                None => "",
                Some(true) => "met",
                Some(false) => "**missed**",
            };
            let (title, subject, value) = (row.title, row.subject.title(), short(row.value));
            let _ = writeln!(
                text,
                "| {title} | {subject} | {value}{unit} | {nginx} | {ratio} | {target} | {met} |"
            );
        }
        text
    }

    /// Puts the table between the two marks of a document.
    pub(crate) fn write_into(&self, document: &Path) -> Result<()> {
        let text = std::fs::read_to_string(document)
            .with_context(|| format!("{} cannot be read", document.display()))?;
        let text = replace_section(&text, &self.markdown())
            .with_context(|| format!("{} lacks the line `{BEGIN}` or `{END}`", document.display()))?;
        std::fs::write(document, text).with_context(|| format!("{} cannot be written", document.display()))
    }
}

fn row(line: &Line, subject: Subject, rounds: &[Round]) -> Option<Row> {
    let of = |round: &Round, subject| round.get(&(line.case, line.metric, subject)).copied();
    let values: Vec<_> = rounds.iter().filter_map(|round| of(round, subject)).collect();
    let value = median(&values)?;
    let nginx = median(&rounds.iter().filter_map(|round| of(round, Subject::Nginx)).collect::<Vec<_>>());
    let ratios: Vec<_> =
        rounds.iter().filter_map(|round| Some(of(round, subject)? / of(round, Subject::Nginx)?)).collect();
    let ratio = median(&ratios).map(|median| Spread {
        median,
        least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        greatest: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    });
    let target = line.target(subject);
    let reached = match line.scale {
        Scale::Ratio => ratio.map(|ratio| ratio.median),
        Scale::Value => Some(value),
    };
    let met = target.zip(reached).map(|(target, reached)| match line.better {
        Better::Lower => reached <= target,
        Better::Higher => reached >= target,
    });
    let Line { case, metric, title, unit, .. } = *line;
    Some(Row { case, metric, title, unit, subject, value, nginx, ratio, target, met, values })
}

impl Row {
    fn show_target(&self, target: f64) -> String {
        let line = LINES.iter().find(|line| (line.case, line.metric) == (self.case, self.metric));
        let sign = if line.is_some_and(|line| line.better == Better::Higher) { "≥" } else { "≤" };
        let unit = if line.is_some_and(|line| line.scale == Scale::Value) { self.unit } else { "×" };
        format!("{sign} {target} {unit}")
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// Three significant digits or whole numbers.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn replace_section(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            began: "2026-11-21".into(),
            processor: "P".into(),
            cores: 2,
            kernel: "6".into(),
            nginx: "nginx/1".into(),
            load_before: "0".into(),
            rounds: 3,
            quick: false,
        }
    }

    #[test]
    fn ratios_are_made_within_a_round_and_the_median_decides() {
        let round = |nginx, durable| {
            let key = |subject| (Case::Call32, Metric::CpuPerCall, subject);
            Round::from([(key(Subject::Nginx), nginx), (key(Subject::Durable), durable)])
        };
        let report = Report::new(setting(), &[round(10.0, 40.0), round(20.0, 90.0), round(10.0, 70.0)]);
        let row = &report.rows[0];
        assert_eq!((row.value, row.nginx), (70.0, Some(10.0)));
        assert_eq!(row.ratio.map(|ratio| (ratio.least, ratio.median, ratio.greatest)), Some((4.0, 4.5, 7.0)));
        assert_eq!((row.target, row.met), (Some(5.0), Some(true)));
        assert_eq!((report.rows.len(), report.missed()), (1, 0));
        assert!(
            report
                .markdown()
                .contains("| durable | 70.0 µs | 10.0 µs | 4.50 × (4.00 to 7.00) | ≤ 5 × | met |")
        );
    }

    #[test]
    fn a_missed_target_is_said() {
        let memory = |metric, value| ((Case::Memory, metric, Subject::Durable), value);
        let round = Round::from([memory(Metric::PeakMemory, 39.0), memory(Metric::IdleMemory, 20.0)]);
        let report = Report::new(setting(), &[round]);
        assert_eq!(report.missed(), 1);
        assert!(report.markdown().contains("≤ 38 MiB | **missed** |"), "{}", report.markdown());
        let chunks = |subject, value| ((Case::Streams, Metric::ChunksPerSecond, subject), value);
        let round = Round::from([chunks(Subject::Nginx, 100.0), chunks(Subject::NullLedger, 60.0)]);
        assert_eq!(Report::new(setting(), &[round]).missed(), 0);
    }

    #[test]
    fn the_table_replaces_what_stood_between_the_marks() {
        let document = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = replace_section(&document, "new").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\n\nnew\n{END}\nb\n"));
        assert_eq!(replace_section(&once, "new").unwrap(), once);
        assert_eq!(replace_section("no marks", "new"), None);
    }
}
