//! What no text of the project holds.

use super::Finding;
use super::rust::Source;
use super::tree::{Tree, extension};

/// The checks name what they look for, and their tests show it.
const OURSELVES: &str = "xtask/src/tidy/";

/// What is left for later has an owner: `TODO(name): what`.
pub(super) fn markers(tree: &Tree) -> Vec<Finding> {
    const MARKERS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !path.starts_with(OURSELVES)) {
        let text = if extension(path) == "rs" { Source::new(text).comments } else { text.to_owned() };
        for (index, line) in text.lines().enumerate() {
            for marker in MARKERS.iter().filter(|marker| lacks_owner(line, marker)) {
                let text = format!("{marker} without an owner: do it, or write {marker}(name): what and why");
                findings.push(Finding::fault(format!("{path}:{}", index + 1), text));
            }
        }
    }
    findings
}

fn lacks_owner(line: &str, marker: &str) -> bool {
    line.match_indices(marker).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + marker.len()..]);
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        let owner = after.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(owner, _)| owner);
        whole && owner.is_none_or(|owner| owner.trim().is_empty())
    })
}

/// Nobody's own folders are in a text that others read.
pub(super) fn home_paths(tree: &Tree) -> Vec<Finding> {
    const HOMES: [&str; 4] = ["/home/", "/Users/", "/root/", "C:\\Users\\"];
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !path.starts_with(OURSELVES)) {
        for (index, line) in text.lines().enumerate() {
            if let Some(home) = HOMES.iter().find(|home| holds_path(line, home)) {
                let text = format!(
                    "holds a path under {home}: write it relative to the project, or as an example folder"
                );
                findings.push(Finding::fault(format!("{path}:{}", index + 1), text));
            }
        }
    }
    findings
}

/// A path, not the middle of one.
fn holds_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn markers_need_an_owner() {
        let tree = Tree::of(&[
            ("a.rs", "// TODO: later\nlet a = \"TODO\";\n// TODO(ann): later, because\n// FIXME()\n// TODOS"),
            ("b.md", "fine\nFIXME this\n"),
        ]);
        assert_eq!(places(&markers(&tree)), ["a.rs:1", "a.rs:4", "b.md:2"]);
    }

    #[test]
    fn home_paths_are_found() {
        let tree = Tree::of(&[
            ("a.rs", "let a = \"/home/ann/a\";\nlet b = \"https://a.example/home/\";"),
            ("b.md", "`/srv/steelyard`\nsee /root/x"),
            ("xtask/src/tidy/text.rs", "/home/"),
        ]);
        assert_eq!(places(&home_paths(&tree)), ["a.rs:1", "b.md:2"]);
    }
}
