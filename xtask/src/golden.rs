//! `cargo xtask golden`: writes the golden files, and the page that is made from them, anew from what the code does now,
//! and shows what changed. Whether the change is wanted is for the reader of the diff to say.

use std::process::Command;

use anyhow::{Context as _, ensure};
use cargo_metadata::MetadataCommand;

use crate::ci::{cargo, root};

/// The page that is made from the golden matrix of the dialects.
const PAGE: &str = "docs/fidelity.md";

/// What `cargo xtask golden` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the golden files of these crates.
    #[arg(long, short, value_name = "CRATE")]
    package: Vec<String>,
}

/// Runs the tests that have golden files, and lets them write.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let packages = if args.package.is_empty() { packages_with_golden_files()? } else { args.package.clone() };
    let mut tests = cargo();
    tests.arg("test").env("INSTA_UPDATE", "always");
    for package in &packages {
        tests.args(["--package", package]);
    }
    // All of them run, so that one that fails for another reason does not leave the rest as they were.
    let status = tests.arg("--no-fail-fast").status().context("cargo cannot be started")?;
    show_changes()?;
    ensure!(status.success(), "the golden files are written, but some tests fail for another reason");
    Ok(())
}

fn packages_with_golden_files() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    let uses_insta =
        |package: &&cargo_metadata::Package| package.dependencies.iter().any(|needed| needed.name == "insta");
    Ok(metadata.packages.iter().filter(uses_insta).map(|package| package.name.to_string()).collect())
}

#[expect(clippy::print_stdout, reason = "what changed is what the command is for")]
fn show_changes() -> anyhow::Result<()> {
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root())
            .output()
            .context("git cannot be started")?;
        ensure!(
            output.status.success(),
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let changed = git(&["diff", "--stat", "--", "*.snap", PAGE])?;
    let new = git(&["ls-files", "--others", "--exclude-standard", "--", "*.snap"])?;
    if changed.is_empty() && new.is_empty() {
        println!("no golden file changed");
        return Ok(());
    }
    print!("{changed}");
    for path in new.lines() {
        println!(" {path} (new)");
    }
    println!("read `git diff -- '*.snap' {PAGE}` before you commit it");
    Ok(())
}
