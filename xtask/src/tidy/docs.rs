//! Documents: links that lead somewhere, numbered decisions, a changelog, commands that are run.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{Tree, extension};

/// Builds and runs the main job.
const RUN: &str = "cargo run --release -- serve";

/// Relative links lead to a file or folder, and to a heading where they name one.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.matching("", ".md") {
        // What a made page opens with lies beside the code that makes the page, and is read in `docs/`.
        let read_at = if path.ends_with("/introduction.md") { "docs/introduction.md" } else { path };
        for (number, line) in prose(text) {
            for target in targets(&line) {
                if let Some(problem) = problem_with(tree, read_at, &target) {
                    findings.push(Finding::fault(
                        format!("{path}:{number}"),
                        format!("link `{target}`: {problem}"),
                    ));
                }
            }
        }
    }
    findings
}

fn problem_with(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !tree.has(&path) {
        return Some(format!("there is no {path}"));
    }
    let anchor = anchor.filter(|_| extension(&path) == "md")?;
    let headings = headings(tree.text(&path)?);
    (!headings.contains(anchor)).then(|| format!("{path} has no heading `#{anchor}`"))
}

/// Lines outside of code blocks, numbered, with inline code taken out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fence && !fenced).then(|| (index + 1, without_code(line)))
    })
}

fn without_code(line: &str) -> String {
    // The text of a link may be code; its target is not.
    line.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// Targets of `[text](target)` and `[text]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line.match_indices("](").filter_map(|(at, opening)| {
        let target = line[at + opening.len()..].split(')').next()?;
        // A title may follow the target.
        target.split_whitespace().next()
    });
    let reference =
        line.strip_prefix('[').and_then(|line| line.split_once("]: ")).map(|(_, target)| target.trim());
    inline.chain(reference).map(str::to_owned).collect()
}

/// The path that a link leads to.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Headings as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let lines = prose_with_code(text);
    let titles = lines.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let kept = title.to_lowercase().replace(' ', "-");
            kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
        })
        .collect()
}

fn prose_with_code(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// Decisions are numbered without a gap, are listed, and say what they must say.
pub(super) fn decisions(tree: &Tree) -> Vec<Finding> {
    const FOLDER: &str = "docs/adr/";
    const INDEX: &str = "docs/adr/README.md";
    const SECTIONS: [&str; 4] = ["## Context", "## Decision", "## Consequences", "## What would change it"];
    let mut findings = Vec::new();
    let index = tree.text(INDEX).unwrap_or_default();
    let pages = tree.matching(FOLDER, ".md").filter(|(path, _)| *path != INDEX);
    for (expected, (path, text)) in (1..).zip(pages) {
        let name = path.trim_start_matches(FOLDER);
        let number = format!("{expected:04}");
        if !name.starts_with(&format!("{number}-")) {
            let text = format!(
                "should be number {number}: decisions are NNNN-title.md, without gaps and each number once"
            );
            findings.push(Finding::fault(path, text));
        }
        let title = text.lines().next().unwrap_or_default();
        let own = name.split('-').next().unwrap_or_default();
        if !title.starts_with(&format!("# {own} ")) {
            findings
                .push(Finding::fault(format!("{path}:1"), format!("its title must begin with `# {own} `")));
        }
        for section in SECTIONS.iter().filter(|section| !text.lines().any(|line| line == **section)) {
            findings.push(Finding::fault(path, format!("has no section `{section}`")));
        }
        if !index.contains(&format!("({name})")) {
            findings.push(Finding::fault(INDEX, format!("does not list {name}: add its line")));
        }
    }
    findings
}

/// There is a place for the next change.
pub(super) fn changelog(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("CHANGELOG.md").unwrap_or_default();
    if text.lines().any(|line| line == "## [Unreleased]" || line == "## Unreleased") {
        return Vec::new();
    }
    vec![Finding::fault("CHANGELOG.md", "has no section `## Unreleased`: add it above the newest release")]
}

/// The README's two commands are the ones that are run: what builds and serves, and what CI calls.
pub(super) fn commands(tree: &Tree) -> Vec<Finding> {
    let shown = shell_lines(tree.text("README.md").unwrap_or_default());
    let mut findings = Vec::new();
    if !shown.contains(RUN) {
        findings.push(Finding::fault("README.md", format!("does not show `{RUN}` as a command of its own")));
    }
    let script = tree.text(".ci/run").unwrap_or_default();
    let run: Vec<_> = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|line| !["set ", "cd ", "export "].iter().any(|setting| line.starts_with(setting)))
        .collect();
    match run.as_slice() {
        [test] if shown.contains(*test) => {}
        [test] => {
            findings
                .push(Finding::fault("README.md", format!("does not show `{test}`, which .ci/run calls")));
        }
        _ => findings
            .push(Finding::fault(".ci/run", "must call one command, the one with which README.md tests")),
    }
    findings
}

/// Lines of shell blocks.
fn shell_lines(text: &str) -> BTreeSet<&str> {
    let mut lines = BTreeSet::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && matches!(language.trim(), "sh" | "bash" | "shell");
        } else if inside {
            lines.insert(line.trim());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_lead_somewhere() {
        let readme = "[a](docs/a.md) [b](docs/) [c](https://x.example/y) [`d`](docs/a.md#two-words \"title\")\n\
            `[not](a-link)` [e](docs/none.md)\n```\n[f](none)\n```\n[g](#here) [h](docs/a.md#none)\n\n# Here\n[i]: docs/a.md\n[j]: none\n";
        let page = "# Two `words`!\n[up](../README.md) [self](./a.md)\n```\n# none\n```\n";
        let found = shown(&links(&Tree::of(&[("README.md", readme), ("docs/a.md", page)])));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("README.md:2: link `docs/none.md`: there is no docs/none.md"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("README.md:6: link `docs/a.md#none`: docs/a.md has no heading"),
            "{found:?}"
        );
        assert!(found[2].starts_with("README.md:10: link `none`"), "{found:?}");
    }

    #[test]
    fn the_links_of_an_introduction_lead_from_the_page_that_is_made_of_it() {
        let tree = [("crates/a/src/introduction.md", "[a](a.md) [b](b.md)"), ("docs/a.md", "")];
        let found = shown(&links(&Tree::of(&tree)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/introduction.md:1: link `b.md`"), "{found:?}");
    }

    #[test]
    fn decisions_are_numbered_listed_and_whole() {
        let page = |number: &str| {
            format!("# {number} Title\n## Context\n## Decision\n## Consequences\n## What would change it\n")
        };
        let (one, two, three) = (page("0001"), page("0002"), page("0003"));
        let list = "[a](0001-a.md) [b](0002-b.md) [c](0003-c.md)";
        let good = [
            ("docs/adr/0001-a.md", one.as_str()),
            ("docs/adr/0002-b.md", &two),
            ("docs/adr/README.md", list),
        ];
        assert_eq!(decisions(&Tree::of(&good)), []);

        let gap = [
            ("docs/adr/0001-a.md", one.as_str()),
            ("docs/adr/0003-c.md", &three),
            ("docs/adr/README.md", list),
        ];
        let found = shown(&decisions(&Tree::of(&gap)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("should be number 0002"), "{found:?}");

        let found = shown(&decisions(&Tree::of(&[(
            "docs/adr/0001-a.md",
            "# Title\n## Context\n## Decision\n## Consequences\n",
        )])));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn the_changelog_has_a_place_for_the_next_change() {
        assert_eq!(changelog(&Tree::of(&[("CHANGELOG.md", "# Changelog\n\n## Unreleased\n")])), []);
        assert_eq!(changelog(&Tree::of(&[("CHANGELOG.md", "# Changelog\n")])).len(), 1);
        assert_eq!(changelog(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn the_commands_shown_are_the_commands_run() {
        let readme = format!("```sh\n{RUN}\n```\n```sh\ncargo xtask ci\n```\n```text\nmake test\n```\n");
        let script = "#!/usr/bin/env bash\n# Why.\nset -euo pipefail\ncd here\nexport A=b\n\n";
        let with = |command: &str| format!("{script}{command}\n");
        let found = |readme: &str, script: &str| {
            shown(&commands(&Tree::of(&[("README.md", readme), (".ci/run", script)])))
        };
        assert!(found(&readme, &with("cargo xtask ci")).is_empty());
        assert!(found(&readme, &with("make test"))[0].contains("does not show `make test`"));
        assert!(found(&readme, &with("cargo fmt\ncargo xtask ci"))[0].contains("one command"));
        assert!(found("", &with("cargo xtask ci"))[0].contains(RUN));
    }
}
