//! How a crate opens, and how long a file may be.

use super::Finding;
use super::rust::Source;
use super::tree::{Tree, extension, is_test};

/// From here on a file should be split.
const LONG_LINES: usize = 500;
/// From here on it must be, or stand in [`LONG`].
const TOO_MANY_LINES: usize = 800;

/// Files that may be longer, each with the reason.
pub(super) const LONG: &[(&str, &str)] = &[];

/// A crate's first file says what it owns, what it must never do, and where to start reading.
pub(super) fn openings(tree: &Tree) -> Vec<Finding> {
    const WORDS: [&str; 3] = ["owns", "must never", "start reading"];
    let mut findings = Vec::new();
    for folder in tree.members().filter(|folder| folder.starts_with("crates/")) {
        let paths = ["lib.rs", "main.rs"].map(|file| format!("{folder}/src/{file}"));
        let Some((path, text)) = paths.iter().find_map(|path| Some((path, tree.text(path)?))) else {
            findings.push(Finding::fault(folder, "has neither src/lib.rs nor src/main.rs"));
            continue;
        };
        let opening: String =
            text.lines().take_while(|line| line.starts_with("//!")).collect::<String>().to_lowercase();
        let missing: Vec<_> = WORDS.into_iter().filter(|word| !opening.contains(word)).collect();
        if !missing.is_empty() {
            let text = format!("does not open with a `//!` that says `{}`", missing.join("`, `"));
            findings.push(Finding::fault(path.as_str(), text));
        }
    }
    findings
}

/// Files are short enough to be read in one go. Tests and fixtures may be longer.
pub(super) fn lengths(tree: &Tree, long: &[(&str, &str)]) -> Vec<Finding> {
    const LANGUAGES: [&str; 6] = ["rs", "py", "js", "ts", "tsx", "sh"];
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        if is_test(path) || !LANGUAGES.contains(&extension(path)) {
            continue;
        }
        let lines = if extension(path) == "rs" { Source::new(text).length() } else { text.lines().count() };
        let allowed = long.iter().any(|(allowed, _)| *allowed == path);
        if lines > TOO_MANY_LINES && !allowed {
            let text =
                format!("{lines} lines: split it, or give the reason in LONG in xtask/src/tidy/files.rs");
            findings.push(Finding::fault(path, text));
        } else if lines <= TOO_MANY_LINES && allowed {
            findings.push(Finding::fault(
                path,
                "is short enough now: take it out of LONG in xtask/src/tidy/files.rs",
            ));
        } else if lines > LONG_LINES && !allowed {
            findings.push(Finding::warning(
                path,
                format!("{lines} lines: more than {LONG_LINES}, split it soon"),
            ));
        }
    }
    for (path, _) in long.iter().filter(|(path, _)| !tree.has(path)) {
        findings
            .push(Finding::fault(*path, "does not exist: take it out of LONG in xtask/src/tidy/files.rs"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_crate_opens_with_its_three_sentences() {
        let good = "//! Words.\n//!\n//! Owns: a.\n//! Must never: b.\n//! Start reading at c.\nmod a;\n";
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", good),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/src/main.rs", "//! Owns: a.\nmod b;\n//! must never, start reading\n"),
            ("crates/c/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
        ]);
        let found = shown(&openings(&tree));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("crates/b/src/main.rs: does not open")
                && found[0].contains("`must never`, `start")
        );
        assert!(found[1].starts_with("crates/c: has neither"), "{found:?}");
    }

    #[test]
    fn long_files_warn_and_longer_ones_fail() {
        let lines = |count: usize| "x\n".repeat(count);
        let inline_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(400), lines(900));
        let tree = Tree::of(&[
            ("a.rs", &lines(500)),
            ("b.rs", &lines(501)),
            ("c.py", &lines(801)),
            ("d.rs", &inline_tests),
            ("d/tests.rs", &lines(900)),
            ("d/fixtures/e.sh", &lines(900)),
            ("prices.txt", &lines(9000)),
            ("f.rs", &lines(900)),
            ("g.rs", &lines(10)),
        ]);
        let found =
            shown(&lengths(&tree, &[("f.rs", "a table"), ("g.rs", "was long"), ("h.rs", "was there")]));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("b.rs: warning: 501 lines"), "{found:?}");
        assert!(found[1].starts_with("c.py: 801 lines"), "{found:?}");
        assert!(found[2].starts_with("g.rs: is short enough"), "{found:?}");
        assert!(found[3].starts_with("h.rs: does not exist"), "{found:?}");
    }
}
