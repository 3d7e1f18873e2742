//! `cargo xtask bench --profile callgrind`: instructions per call, repeatable where times are not.
//!
//! Two runs of different length are compared, so that the start is not counted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::Line;
use super::run::Stage;
use super::steelyard::Setup;
use super::{measure::float, wire};

const FEW: u64 = 200;
const MANY: u64 = 1200;

/// Profiles `binary`; leaves callgrind's file in the current folder.
#[expect(clippy::print_stdout, reason = "the count is what the command is for")]
pub(crate) async fn run(stage: &Stage, binary: PathBuf) -> Result<()> {
    let valgrind = super::find_program("valgrind", "install it, on Debian by `apt-get install valgrind`")?;
    for (name, body) in [("whole", wire::small_call()), ("stream", wire::stream_call(true, false))] {
        let kept = std::env::current_dir()?.join(format!("callgrind.out.{name}"));
        let few = instructions(stage, &valgrind, &binary, &body, FEW, &kept).await?;
        let many = instructions(stage, &valgrind, &binary, &body, MANY, &kept).await?;
        let each = float(many.saturating_sub(few)) / float(MANY - FEW);
        println!(
            "{name}: {each:.0} instructions per call; read more by `callgrind_annotate {}`",
            kept.display()
        );
    }
    Ok(())
}

async fn instructions(
    stage: &Stage,
    valgrind: &Path,
    binary: &Path,
    body: &str,
    calls: u64,
    out: &Path,
) -> Result<u64> {
    let under = vec![
        valgrind.display().to_string(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    let folder = tempfile::tempdir_in(stage.folder.path())?;
    let setup = Setup { under, folder: folder.path().to_owned(), ..stage.setup("profile", binary) };
    let mut server = setup.start().await?;
    let (_, key) = server.make_key("profile").await?;
    let request = wire::request(&server.address.to_string(), &key, body);
    let mut line = Line::open(server.address)?;
    for _ in 0..calls {
        line.send(&request)?;
        line.finish()?;
    }
    drop(line);
    server.process.terminate(Duration::from_mins(1)).await?;
    let text = std::fs::read_to_string(out).with_context(|| format!("{} cannot be read", out.display()))?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind counted nothing")
}
