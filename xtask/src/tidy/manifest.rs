//! Dependencies are listed once, with a reason, and every crate follows the lints of the workspace.

use std::collections::BTreeSet;

use toml::Table;

use super::Finding;
use super::tree::Tree;

/// A dependency as the root manifest lists it.
struct Listed<'a> {
    line: usize,
    name: &'a str,
    /// What the comment at the end of the line says.
    reason: Option<&'a str>,
    /// One of our own crates.
    ours: bool,
}

fn listed(tree: &Tree) -> Vec<Listed<'_>> {
    let mut listed = Vec::new();
    let mut inside = false;
    for (index, line) in tree.text("Cargo.toml").unwrap_or_default().lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end() == "[workspace.dependencies]";
            continue;
        }
        if !inside || line.trim_start().starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        listed.push(Listed {
            line: index + 1,
            name: name.trim(),
            reason: comment(value),
            ours: value.contains("path ="),
        });
    }
    listed
}

/// The comment at the end of a line; `#` inside quotes is none.
fn comment(value: &str) -> Option<&str> {
    let mut quoted = false;
    let at = value.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == '#' && !quoted).then_some(at)
    })?;
    Some(value[at + 1..].trim()).filter(|reason| !reason.is_empty())
}

/// Every dependency says why it is in the house.
pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let bare = listed(tree).into_iter().filter(|dependency| !dependency.ours && dependency.reason.is_none());
    bare.map(|dependency| {
        let text =
            format!("`{}` has no reason: end its line with `# why it is in the house`", dependency.name);
        Finding::fault(format!("Cargo.toml:{}", dependency.line), text)
    })
    .collect()
}

/// Every dependency is used, and crates take theirs from the workspace's list.
pub(super) fn used(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for folder in tree.members() {
        let path = format!("{folder}/Cargo.toml");
        match tree.text(&path).unwrap_or_default().parse::<Table>() {
            Ok(manifest) => {
                for (name, shared) in dependencies(&manifest) {
                    if !shared {
                        let text = format!(
                            "`{name}` has a version of its own: list it in the root Cargo.toml and write `{name}.workspace = true`"
                        );
                        findings.push(Finding::fault(path.as_str(), text));
                    }
                    used.insert(name);
                }
            }
            Err(error) => findings.push(Finding::fault(path, format!("is not TOML: {error}"))),
        }
    }
    for dependency in listed(tree) {
        if !used.contains(dependency.name) {
            let text = format!("no crate uses `{}`: take the line out", dependency.name);
            findings.push(Finding::fault(format!("Cargo.toml:{}", dependency.line), text));
        }
    }
    findings
}

/// Names of all dependencies of a manifest, and whether each is the workspace's.
fn dependencies(manifest: &Table) -> Vec<(String, bool)> {
    const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let table = |parent: &Table, name: &str| {
        parent.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default()
    };
    let mut parts = vec![manifest.clone()];
    parts.extend(table(manifest, "target").values().filter_map(toml::Value::as_table).cloned());
    let sections = parts.iter().flat_map(|part| SECTIONS.map(|section| table(part, section)));
    sections
        .flatten()
        .map(|(name, value)| {
            let shared = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            (name, shared)
        })
        .collect()
}

/// Every crate opts into the workspace's lints.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in tree.members() {
        let path = format!("{folder}/Cargo.toml");
        let manifest = tree.text(&path).unwrap_or_default().parse::<Table>().unwrap_or_default();
        let opted =
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if opted != Some(true) {
            findings.push(Finding::fault(path, "is not linted: add `[lints]` with `workspace = true`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\n\
        steelyard-core = { path = \"crates/core\" }\n\
        # Data\n\
        bytes = \"1\"   # cheap slices\n\
        serde = { version = \"1\", features = [\"a#b\"] }\n\
        \n\
        [workspace.lints.rust]\n\
        unsafe_code = \"forbid\"\n";
    const MEMBER: &str = "[lints]\nworkspace = true\n[dependencies]\nsteelyard-core.workspace = true\n\
        bytes = { workspace = true, features = [\"x\"] }\n";

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_needs_a_reason() {
        let found = shown(&reasons(&Tree::of(&[("Cargo.toml", ROOT)])));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("Cargo.toml:5: `serde` has no reason"), "{found:?}");
    }

    #[test]
    fn a_dependency_needs_a_user() {
        let tree = Tree::of(&[("Cargo.toml", ROOT), ("crates/a/Cargo.toml", MEMBER)]);
        let found = shown(&used(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("Cargo.toml:5: no crate uses `serde`"), "{found:?}");

        let platform = "[target.'cfg(unix)'.dev-dependencies]\nserde.workspace = true\n";
        let tree = Tree::of(&[
            ("Cargo.toml", ROOT),
            ("crates/a/Cargo.toml", MEMBER),
            ("xtask/Cargo.toml", platform),
        ]);
        assert_eq!(used(&tree), []);
    }

    #[test]
    fn a_version_of_ones_own_is_found() {
        let own = format!("{MEMBER}serde = \"1\"\n");
        let found = shown(&used(&Tree::of(&[("Cargo.toml", ROOT), ("crates/a/Cargo.toml", &own)])));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`serde` has a version of its own"), "{found:?}");
    }

    #[test]
    fn a_crate_needs_the_lints() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", MEMBER),
            ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n"),
        ]);
        let found = shown(&lints(&tree));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/b/Cargo.toml"), "{found:?}");
    }
}
