//! `cargo xtask catalog FACTS.csv…`: writes the committed catalog of `steelyard-billing` from price facts.
//!
//! Reads facts ([`facts`]), makes dated prices of them ([`book`]) and writes the text form. The same facts make
//! the same bytes. A fact that cannot be understood is an error with its file and line; a fact that has no usage
//! class yet, or that cannot be right, stays out of the catalog and is listed in the output. Nothing is dropped
//! in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use steelyard_billing::Catalog;

mod book;
mod facts;

use facts::{Reading, Source};

/// What `cargo xtask catalog` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// CSV files of price facts, oldest first; `docs/price-book.md` describes the columns.
    #[arg(required = true)]
    facts: Vec<PathBuf>,
    /// Write nothing; fail if the committed catalog is not what the facts make.
    #[arg(long)]
    check: bool,
}

/// Reads the facts and the supplement, and writes or checks the catalog.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let billing = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/billing");
    let target = billing.join("catalog.txt");
    let mut sources = Vec::new();
    for path in args.facts.iter().chain([&billing.join("supplement.csv")]) {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        sources.push(Source { name, text });
    }
    let (text, report) = make(&sources)?;
    println!("{report}");
    if args.check {
        let committed = std::fs::read_to_string(&target).unwrap_or_default();
        ensure!(committed == text, "{} is not what these facts make: run without --check", target.display());
        println!("the committed catalog is what these facts make");
    } else {
        std::fs::write(&target, text).with_context(|| format!("writing {}", target.display()))?;
        println!("wrote crates/billing/catalog.txt");
    }
    Ok(())
}

/// The catalog that `sources` make, and what there is to say about them.
fn make(sources: &[Source]) -> anyhow::Result<(String, Report)> {
    let Reading { facts, factors, mut report } = facts::read(sources)?;
    let offers = book::make(facts, factors, &mut report)?;
    let text = book::write(&offers);
    let catalog = Catalog::parse(&text).context("the catalog just made does not parse")?;
    report.models = catalog.models().count();
    report.offers = catalog.offers().count();
    report.prices = catalog
        .offers()
        .flat_map(|offer| offer.prices.versions())
        .map(|version| version.cells().count())
        .sum();
    Ok((text, report))
}

/// What became of the facts.
#[derive(Debug, Default)]
struct Report {
    rows: usize,
    repeated: usize,
    expanded: usize,
    models: usize,
    offers: usize,
    prices: usize,
    unchanged: usize,
    /// Reason → what stayed out for it.
    kept_out: BTreeMap<String, Vec<String>>,
    /// Provider and name of every offer that the facts speak of; in the end, of those with no price left.
    offers_seen: BTreeSet<(String, String)>,
    disputed: usize,
}

impl Report {
    fn keep_out(&mut self, reason: &str, what: String) {
        self.kept_out.entry(reason.to_owned()).or_default().push(what);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, models, offers, prices, .. } = self;
        writeln!(f, "{rows} facts → {models} models, {offers} offers, {prices} prices")?;
        writeln!(f, "{} prices came of factors; {} facts said a price again", self.expanded, self.repeated)?;
        writeln!(f, "{} later readings changed nothing", self.unchanged)?;
        writeln!(f, "{} facts are disputed by a second source (see `note` in the catalog)", self.disputed)?;
        let out: usize = self.kept_out.values().map(Vec::len).sum();
        writeln!(f, "{out} facts stay out of the catalog:")?;
        for (reason, facts) in &self.kept_out {
            writeln!(f, "  {} × {reason}", facts.len())?;
            for fact in facts {
                writeln!(f, "      {fact}")?;
            }
        }
        write!(f, "{} offers stay out because nothing of them is priced:", self.offers_seen.len())?;
        self.offers_seen.iter().try_for_each(|(provider, name)| write!(f, "\n  {provider} {name}"))
    }
}

#[cfg(test)]
mod tests;
