//! Which crate may use which. ARCHITECTURE.md draws the picture; these tables hold it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand, Node, Package};

use super::Finding;

/// Our crates, from the first to the last layer, each with those of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("steelyard-core", &[]),
    ("steelyard-dialect", &["steelyard-core"]),
    ("steelyard-billing", &["steelyard-core"]),
    ("steelyard-gateway", &["steelyard-core", "steelyard-dialect", "steelyard-billing"]),
    ("steelyard-store", &["steelyard-core"]),
    (
        "steelyard-server",
        &["steelyard-core", "steelyard-dialect", "steelyard-billing", "steelyard-gateway", "steelyard-store"],
    ),
    (
        "steelyard",
        &[
            "steelyard-core",
            "steelyard-dialect",
            "steelyard-billing",
            "steelyard-gateway",
            "steelyard-store",
            "steelyard-server",
        ],
    ),
    ("steelyard-testkit", &["steelyard-core"]),
    ("xtask", &["steelyard-core", "steelyard-billing", "steelyard-dialect", "steelyard-testkit"]),
];

/// Used by tests of any crate.
const FOR_TESTS: &str = "steelyard-testkit";

/// What a crate must not reach by any way, with what that keeps.
const NEVER: &[(&str, &[&str], &str)] = &[
    ("steelyard-core", IO, "core does no IO"),
    ("steelyard-dialect", IO, "dialect does no IO"),
    ("steelyard-billing", IO, "billing does no IO"),
    (
        "steelyard-gateway",
        &["axum", "sqlx", "sqlx-core", "rusqlite", "libsqlite3-sys"],
        "gateway sees no SQL and no axum",
    ),
    ("steelyard-store", &["axum", "hyper", "reqwest"], "store speaks no HTTP"),
];

const IO: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "reqwest",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "libsqlite3-sys",
    "rustls",
];

/// What only these crates name in their manifests. Development dependencies are free.
const ONLY: &[(&str, &[&str])] = &[
    ("axum", &["steelyard-server"]),
    ("sqlx", &["steelyard-store", "steelyard-testkit"]),
    ("rusqlite", &["steelyard-store"]),
    ("hyper-rustls", &["steelyard-gateway"]),
    ("reqwest", &["steelyard", "steelyard-testkit", "xtask"]),
    ("clap", &["steelyard", "xtask"]),
    ("mimalloc", &["steelyard"]),
];

/// What is nowhere in the house, because one TLS library and one set of cryptographic code is enough.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// Crates by name, and what each needs.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Of the workspace.
    ours: BTreeSet<String>,
    /// Needed to build and to run.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// Needed by tests alone; our crates only.
    for_tests: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// As cargo resolves it for this machine.
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(["--filter-platform".to_owned(), host()?])
            .exec()
            .context("cargo metadata")?;
        let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
        let mut graph = Self::default();
        graph.ours.extend(metadata.workspace_packages().iter().map(|package| package.name.to_string()));
        for node in &resolve.nodes {
            let package = &metadata[&node.id];
            let name = package.name.to_string();
            for dependency in &node.deps {
                let needed = metadata[&dependency.pkg].name.to_string();
                if !is_built(package, node, &needed) {
                    continue;
                }
                let only_tests =
                    dependency.dep_kinds.iter().all(|kind| kind.kind == DependencyKind::Development);
                let edges = if only_tests { &mut graph.for_tests } else { &mut graph.needs };
                edges.entry(name.clone()).or_default().insert(needed);
            }
        }
        Ok(graph)
    }

    #[cfg(test)]
    fn of(ours: &[&str], needs: &[(&str, &str)], for_tests: &[(&str, &str)]) -> Self {
        let edges = |pairs: &[(&str, &str)]| {
            let mut edges = BTreeMap::<String, BTreeSet<String>>::new();
            for (from, to) in pairs {
                edges.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            }
            edges
        };
        let ours = ours.iter().map(|name| (*name).to_owned()).collect();
        Self { ours, needs: edges(needs), for_tests: edges(for_tests) }
    }

    fn needs(&self, name: &str) -> impl Iterator<Item = &str> {
        self.needs.get(name).into_iter().flatten().map(String::as_str)
    }

    fn for_tests(&self, name: &str) -> impl Iterator<Item = &str> {
        self.for_tests.get(name).into_iter().flatten().map(String::as_str)
    }

    /// The shortest way from one crate to another.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from = BTreeMap::<&str, &str>::new();
        let mut next = VecDeque::from([from]);
        while let Some(name) = next.pop_front() {
            for needed in self.needs(name) {
                if needed == from || came_from.contains_key(needed) {
                    continue;
                }
                came_from.insert(needed, name);
                next.push_back(needed);
            }
        }
        let mut way = vec![to.to_owned()];
        let mut at = to;
        while at != from {
            at = came_from.get(at)?;
            way.push(at.to_owned());
        }
        way.reverse();
        Some(way)
    }
}

/// Whether a dependency is there for more than the lock file: not optional, or asked for by an active feature.
fn is_built(package: &Package, node: &Node, needed: &str) -> bool {
    let mut declared = package.dependencies.iter().filter(|dependency| dependency.name == needed);
    declared.any(|dependency| {
        let key = dependency.rename.as_deref().unwrap_or(needed);
        let active = |feature: &str| node.features.iter().any(|active| active.as_str() == feature);
        let asks =
            |part: &str| part == key || part == format!("dep:{key}") || part.starts_with(&format!("{key}/"));
        let asked = |(feature, parts): (&String, &Vec<String>)| {
            active(feature) && parts.iter().any(|part| asks(part))
        };
        !dependency.optional || active(key) || package.features.iter().any(asked)
    })
}

/// The target that this machine builds for.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("rustc cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Dependencies point one way, and core, dialect and billing never reach the world.
pub(super) fn directions(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &graph.ours {
        let Some((_, allowed)) = MAY_USE.iter().find(|(ours, _)| ours == name) else {
            let text = format!(
                "crate `{name}` has no place: add it to MAY_USE in xtask/src/tidy/layers.rs and to ARCHITECTURE.md"
            );
            findings.push(Finding::fault(name.as_str(), text));
            continue;
        };
        let is_ours = |needed: &&str| graph.ours.contains(*needed);
        for needed in graph.needs(name).filter(is_ours).filter(|needed| !allowed.contains(needed)) {
            let text = format!(
                "must not use `{needed}`: move what it needs to a crate that both may use, or pass it in"
            );
            findings.push(Finding::fault(name.as_str(), text));
        }
        let tests = graph.for_tests(name).filter(is_ours);
        for needed in tests.filter(|needed| !allowed.contains(needed) && *needed != FOR_TESTS) {
            let text = format!("its tests must not use `{needed}`: test this from a crate that may use both");
            findings.push(Finding::fault(name.as_str(), text));
        }
    }
    for (name, never, why) in NEVER {
        for to in *never {
            if let Some(way) = graph.way(name, to) {
                let text =
                    format!("reaches `{to}` ({}), but {why}: take the dependency out", way.join(" → "));
                findings.push(Finding::fault(*name, text));
            }
        }
    }
    findings
}

/// A library with an owner is named by nobody else.
pub(super) fn owners(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &graph.ours {
        for (library, owners) in ONLY {
            if !owners.contains(&name.as_str()) && graph.needs(name).any(|needed| needed == *library) {
                let text = format!(
                    "must not use `{library}`, which belongs to {}: call that crate instead",
                    owners.join(", ")
                );
                findings.push(Finding::fault(name.as_str(), text));
            }
        }
    }
    findings
}

/// Libraries that are not in the house at all; deny.toml says the same to cargo-deny.
pub(super) fn banned(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, needs) in &graph.needs {
        for library in BANNED.iter().filter(|library| needs.contains(**library)) {
            let text = format!(
                "brings in `{library}`, which is banned: choose features that use rustls with aws-lc-rs"
            );
            findings.push(Finding::fault(name.as_str(), text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| finding.to_string().split_once(':').unwrap().0.to_owned()).collect()
    }

    #[test]
    fn edges_that_are_not_in_the_table_are_found() {
        let ours = ["steelyard-core", "steelyard-gateway", "steelyard-store", "steelyard-testkit"];
        let good = [("steelyard-gateway", "steelyard-core"), ("steelyard-store", "steelyard-core")];
        let tests = [("steelyard-store", "steelyard-testkit"), ("steelyard-gateway", "steelyard-testkit")];
        assert_eq!(directions(&Graph::of(&ours, &good, &tests)), []);

        let bad = [("steelyard-gateway", "steelyard-store")];
        assert_eq!(shown(&directions(&Graph::of(&ours, &bad, &[]))), ["steelyard-gateway"]);
        assert_eq!(shown(&directions(&Graph::of(&ours, &[], &bad))), ["steelyard-gateway"]);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(shown(&directions(&Graph::of(&["steelyard-new"], &[], &[]))), ["steelyard-new"]);
    }

    #[test]
    fn forbidden_libraries_are_found_at_any_distance_with_the_way_there() {
        let needs = [
            ("steelyard-billing", "a"),
            ("a", "b"),
            ("b", "a"),
            ("b", "tokio"),
            ("steelyard-store", "tokio"),
        ];
        let found = directions(&Graph::of(&[], &needs, &[]));
        assert_eq!(shown(&found), ["steelyard-billing"]);
        assert!(found[0].text.contains("steelyard-billing → a → b → tokio"), "{}", found[0]);
    }

    #[test]
    fn libraries_have_owners_and_tests_are_free() {
        let ours = ["steelyard-server", "steelyard-gateway"];
        let needs = [("steelyard-server", "axum"), ("steelyard-gateway", "sqlx")];
        let graph = Graph::of(&ours, &needs, &[("steelyard-gateway", "axum")]);
        assert_eq!(shown(&owners(&graph)), ["steelyard-gateway"]);
    }

    #[test]
    fn banned_libraries_are_found_with_who_brings_them() {
        let graph = Graph::of(&[], &[("rustls", "ring"), ("rustls", "aws-lc-rs")], &[]);
        assert_eq!(shown(&banned(&graph)), ["rustls"]);
    }

    #[test]
    fn the_table_itself_points_one_way() {
        for (index, (name, allowed)) in MAY_USE.iter().enumerate() {
            for needed in *allowed {
                let place = MAY_USE.iter().position(|(other, _)| other == needed).unwrap();
                let is_tool = ["steelyard-testkit", "xtask"].contains(name);
                assert!(place < index || is_tool, "{name} stands before {needed}");
            }
        }
    }
}
