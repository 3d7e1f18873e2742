//! `cargo xtask bench --profile callgrind`: instructions per call, repeatable where times are not.
//!
//! Two runs of different length are compared, so that the start is not counted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::call::{Call, Login};
use super::load::Line;
use super::measure::float;
use super::run::Stage;
use super::steelyard::Setup;
use super::wire::{self, translated};

/// A call that is repeated.
struct Profiled {
    path: String,
    body: String,
    signed: bool,
}

const FEW: u64 = 200;
const MANY: u64 = 1200;

/// Profiles `binary`; leaves callgrind's file in the current folder.
#[expect(clippy::print_stdout, reason = "the count is what the command is for")]
pub(crate) async fn run(stage: &Stage, binary: PathBuf) -> Result<()> {
    let valgrind = super::find_program("valgrind", "install it, on Debian by `apt-get install valgrind`")?;
    let stream = wire::stream_call(true, false);
    let translated_stream = translated::messages_stream();
    let kinds = [
        ("whole", Call::Small.path(), Call::Small.body(), false),
        ("stream", Call::Small.path(), stream, false),
        ("translated", Call::Messages.path(), Call::Messages.body(), false),
        ("translated-stream", Call::Messages.path(), translated_stream, false),
        ("converse", Call::Converse.path(), Call::Converse.body(), false),
        ("signed", Call::Converse.path(), Call::Converse.body(), true),
    ];
    for (name, path, body, signed) in kinds {
        let kept = std::env::current_dir()?.join(format!("callgrind.out.{name}"));
        let call = Profiled { path, body, signed };
        let few = instructions(stage, &valgrind, &binary, &call, FEW, &kept).await?;
        let many = instructions(stage, &valgrind, &binary, &call, MANY, &kept).await?;
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
    call: &Profiled,
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
    let pair = server.make_pair("signer").await?;
    let login = if call.signed { Login::Pair(&pair) } else { Login::Key(&key) };
    let Profiled { path, body, .. } = call;
    let headers = login.headers(server.address, path, body);
    let request = wire::post(&server.address.to_string(), path, &headers, body);
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
