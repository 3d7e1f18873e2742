//! `cargo xtask tidy`: the rules of the house that the compiler does not know. The same checks run in plain
//! `cargo test`, as a test of this crate.
//!
//! A check is a function from the [`Tree`] of files (or the [`layers::Graph`] of crates) to findings, tried on
//! made-up trees beside its code. A finding names the place and the remedy.

mod code;
mod docs;
mod errors;
mod files;
mod layers;
mod manifest;
mod mentions;
mod rust;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::bail;
use steelyard_core::ErrorCode;

use tree::Tree;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    grade: Grade,
    place: String,
    text: String,
}

/// Whether a finding fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Warning,
    Fault,
}

impl Finding {
    fn fault(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { grade: Grade::Fault, place: place.into(), text: text.into() }
    }

    fn warning(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { grade: Grade::Warning, place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Warning => "warning: ",
            Grade::Fault => "",
        };
        write!(f, "{}: {grade}{}", self.place, self.text)
    }
}

/// Checks the workspace and prints what is wrong.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    let faults = findings.iter().filter(|finding| finding.grade == Grade::Fault).count();
    let warnings = findings.len() - faults;
    if faults > 0 {
        bail!("tidy: {faults} faults, {warnings} warnings");
    }
    println!("tidy: no faults, {warnings} warnings");
    Ok(())
}

/// Everything that is wrong, faults last.
fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let graph = layers::Graph::load(root)?;
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| (code.code(), code.slug())).collect();
    let mut findings = [
        layers::directions(&graph),
        layers::owners(&graph),
        layers::banned(&graph),
        manifest::reasons(&tree),
        manifest::used(&tree),
        manifest::lints(&tree),
        code::sql(&tree),
        code::providers(&tree),
        code::unfinished(&tree),
        files::openings(&tree),
        files::lengths(&tree, files::LONG),
        errors::pages(&tree, &codes),
        docs::links(&tree),
        mentions::mentions(&tree),
        docs::decisions(&tree),
        docs::changelog(&tree),
        docs::commands(&tree),
        text::markers(&tree),
        text::home_paths(&tree),
    ]
    .concat();
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check(&crate::ci::root()).unwrap();
        let faults: Vec<_> = findings
            .iter()
            .filter(|finding| finding.grade == Grade::Fault)
            .map(ToString::to_string)
            .collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }
}
