//! The bench: what Steelyard costs, as ratios to nginx in the same round.
//!
//! Owns: the scripted upstream, the load generators, the proxies' processes and the figures. `docs/performance.md`
//! tells the method to its readers.
//! Must never: count an answer that is not complete and right, or leave a process behind.
//! Start reading at [`run`], then [`case`] for what is measured and [`measure`] for how.

mod build;
mod call;
mod callgrind;
mod case;
pub(crate) mod child;
mod growth;
mod host;
pub(crate) mod http;
mod load;
mod measure;
mod nginx;
mod report;
mod run;
mod sign;
mod soak;
pub(crate) mod steelyard;
pub(crate) mod upstream;
pub(crate) mod wire;
mod wrk;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use build::{Profile, Target, build};
pub(crate) use run::Options;

/// The parts that run as processes of their own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Becomes another program on one core.
    Pinned(child::Pinned),
    /// The scripted upstream.
    Upstream,
    /// A load generator.
    Load(load::Load),
    /// How the cost of a translation grows.
    Growth,
}

impl Part {
    /// Runs it.
    #[expect(clippy::print_stdout, reason = "the parent reads the figures from there")]
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Pinned(pinned) => pinned.become_program(),
            Self::Upstream => runtime()?.block_on(upstream::serve()),
            Self::Load(load) => {
                println!("{}", serde_json::to_string(&load.run()?)?);
                Ok(())
            }
            Self::Growth => {
                println!("{}", serde_json::to_string(&growth::measure()?)?);
                Ok(())
            }
        }
    }
}

/// Runs a command of this program until it ends or the user interrupts it; either way everything it started ends.
pub(crate) fn until_interrupted(work: impl Future<Output = Result<()>>) -> Result<()> {
    runtime()?.block_on(async {
        let interrupted = interrupted()?;
        tokio::select! {
            result = work => result,
            () = interrupted => bail!("interrupted"),
        }
    })
}

/// Waits for Ctrl-C or, where there is such a thing, SIGTERM.
fn interrupted() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// One thread does for a driver: it waits most of the time.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

/// Where a program lies, on `PATH` or where system programs lie.
fn find_program(name: &str, remedy: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(|folder| Path::new(folder).to_owned()))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("the bench needs {name}, which is not on PATH: {remedy}"))
}
