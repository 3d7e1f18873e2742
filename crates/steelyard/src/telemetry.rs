//! Logs: to stderr, for people when it is a terminal, as JSON otherwise. Traces: to a collector, in [`otlp`].

pub mod otlp;

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the whole process. `filter` is a level, or levels by target.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn init(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let shown = filter;
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("`{shown}` does not say what to log: write a level such as info"))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Pretty => false,
    };
    // A log that cannot be written must not bring down the thread that logs: reporting that to stderr would.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = if json {
        log.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        log.with_ansi(terminal).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logging was started before: {error}"))
}
