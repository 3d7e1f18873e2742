//! Files that documents name in passing: a map that names a file which is gone leads nobody anywhere.

use super::Finding;
use super::tree::{Tree, extension};

/// Documents that lead through the code. Decisions and the changelog speak of their own time and are left alone.
fn leads_through_code(path: &str) -> bool {
    matches!(path, "README.md" | "ARCHITECTURE.md" | "CONTRIBUTING.md")
        || path.starts_with("docs/") && extension(path) == "md" && !path.starts_with("docs/adr/")
}

/// Every file and folder that such a document names as code is there. `gateway/plan.rs` is short for
/// `crates/gateway/src/plan.rs`.
pub(super) fn mentions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| leads_through_code(path)) {
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced {
                continue;
            }
            for named in line.split('`').skip(1).step_by(2) {
                if let Some(meant) = meant(tree, named).filter(|meant| !tree.has(meant)) {
                    let text = format!(
                        "names `{named}`, but there is no {meant}: follow the code, or restore the file"
                    );
                    findings.push(Finding::fault(format!("{path}:{}", index + 1), text));
                }
            }
        }
    }
    findings
}

/// The path that a piece of inline code means, if it means one.
fn meant(tree: &Tree, named: &str) -> Option<String> {
    const ROOTS: [&str; 6] = ["crates", "docs", "xtask", "tests", "fuzz", ".ci"];
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    let (first, rest) = named.split_once('/')?;
    // `NAME.rs` and `NNNN-title.md` stand for many.
    let is_pattern = named
        .split(['/', '.', '-'])
        .any(|part| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_uppercase()));
    if !named.bytes().all(is_path) || is_pattern {
        return None;
    }
    if ROOTS.contains(&first) {
        return Some(named.to_owned());
    }
    let short = extension(rest) == "rs" || rest.ends_with('/');
    (short && tree.has(&format!("crates/{first}"))).then(|| format!("crates/{first}/src/{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_gone_are_found_and_patterns_are_left_alone() {
        let map = "`crates/a/src/b.rs` `a/b.rs` `a/c/` `a/none.rs` `crates/none/`\n\
            `docs/errors/SYxxxx.md` `crates/a/src/NAME.rs` `docs/adr/NNNN-title.md` `/v1/models` `a/b` `text/event-stream`\n\
            ```\n`a/gone.rs`\n```\n`x/y.rs` `.ci/run`\n";
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", map),
            ("docs/adr/0001-a.md", "`a/none.rs`"),
            ("crates/a/src/b.rs", ""),
            ("crates/a/src/c/d.rs", ""),
        ]);
        let found: Vec<_> = mentions(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("`a/none.rs`, but there is no crates/a/src/none.rs"), "{found:?}");
        assert!(
            found[1].contains("`crates/none/`")
                && found[2].contains("SYxxxx")
                && found[3].contains(".ci/run")
        );
    }
}
