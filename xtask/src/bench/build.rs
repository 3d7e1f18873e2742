//! Builds what is measured, and tells where it lies.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The binary as it ships.
    Binary,
    /// The same server with a ledger that writes nothing; exists for the bench only.
    NullLedger,
    /// This program itself.
    Bench,
}

/// How to build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised.
    Release,
    /// As the tests build.
    Dev,
}

#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds it and gives its path. Cargo's own messages go to standard error as usual.
pub(crate) fn build(target: Target, profile: Profile) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--message-format", "json-render-diagnostics"]);
    match target {
        Target::Binary => command.args(["--package", "steelyard", "--bin", "steelyard"]),
        Target::NullLedger => command.args(["--package", "steelyard", "--example", "null_ledger"]),
        Target::Bench => command.args(["--package", "xtask"]),
    };
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "the build failed: {command:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
        .next_back()
        .with_context(|| format!("cargo named no executable: {command:?}"))
}
