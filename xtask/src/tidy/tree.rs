//! The files of the workspace, read once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// Folders that hold nothing of ours, wherever they are.
const FOREIGN: [&str; 8] =
    [".git", "target", "node_modules", ".venv", "__pycache__", "artifacts", "corpus", "steelyard-data"];

/// Paths relative to the root, with `/`, and what is in the files; a file that is not text has none.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads what is under `root`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.add(root, "")?;
        Ok(tree)
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn add(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    self.add(&entry.path(), &format!("{path}/"))?;
                }
                continue;
            }
            // A file can go away while others work in the tree.
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            self.0.insert(path, String::from_utf8(bytes).unwrap_or_default());
        }
        Ok(())
    }

    /// Every file, in order of its path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose path begins and ends so.
    pub(super) fn matching(&self, start: &str, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(move |(path, _)| path.starts_with(start) && path.ends_with(end))
    }

    /// What is in a file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Whether there is a file or a folder.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty() || self.0.contains_key(path) || self.0.keys().any(|file| file.starts_with(&folder))
    }

    /// Folders of the workspace's crates.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.files().filter_map(|(path, _)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            (folder == "xtask" || folder.strip_prefix("crates/").is_some_and(|name| !name.contains('/')))
                .then_some(folder)
        })
    }
}

/// What stands behind the last dot.
pub(super) fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Whether a file is nothing but tests or what they read.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.split('/').any(|part| matches!(part, "tests" | "fixtures" | "benches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_knows_its_files_folders_and_crates() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/fuzz/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
            ("fuzz/Cargo.toml", ""),
        ]);
        assert!(
            tree.has("crates/a") && tree.has("crates/a/") && tree.has("xtask/Cargo.toml") && tree.has("")
        );
        assert!(!tree.has("crates/b") && !tree.has("crat"));
        assert_eq!(tree.members().collect::<Vec<_>>(), ["crates/a", "xtask"]);
    }

    #[test]
    fn folders_of_others_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for path in ["src/a.rs", "target/b.rs", "sdk/node_modules/c.js"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::write(root.path().join("picture"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        assert_eq!(tree.files().collect::<Vec<_>>(), [("picture", ""), ("src/a.rs", "x")]);
    }

    #[test]
    fn tests_are_told_from_what_they_test() {
        assert!(is_test("crates/a/src/rate/tests.rs") && is_test("crates/a/tests/it/main.rs"));
        assert!(!is_test("crates/a/src/rate.rs") && !is_test("crates/testkit/src/lib.rs"));
    }
}
