//! `steelyard config`: check a file, describe what can be in it, explain what is in force.
#![expect(clippy::doc_markdown, reason = "clap prints doc comments as they are")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use steelyard_billing::{Catalog, nearest};
use steelyard_gateway::snapshot::{Inputs, Snapshot};

use super::output::{Output, Table, print, print_json, print_piece, remark};
use crate::config::origin::{Explained, explain};
use crate::config::{Config, ConfigError, Flags, Loaded, Problem, Severity, Sources, reference};

const AFTER: &str = "\
Examples:
  steelyard config check
  steelyard config check /etc/steelyard/steelyard.toml
  steelyard config explain server
  steelyard config schema > steelyard.schema.json";

/// What `config` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find mistakes without starting anything; exits with 1 if there are any
    Check {
        /// The configuration [env: STEELYARD_CONFIG] [default: ./steelyard.toml]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The same, as `serve` takes it
        #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema {
        /// Print the reference page instead
        #[arg(long)]
        markdown: bool,
    },
    /// Show the values in force, and where each came from; secrets are shown by their place only
    Explain {
        /// A value or a section, such as server.listen or channels.openai [default: all that are set]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// The configuration [env: STEELYARD_CONFIG] [default: ./steelyard.toml if there is one]
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Does what is asked with the configuration.
pub(super) fn run(args: &ConfigArgs, output: Output) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Check { file, config } => check(file.as_ref().or(config.as_ref()), output),
        Verb::Schema { markdown: false } => print_json(&reference::schema()).map(|()| ExitCode::SUCCESS),
        Verb::Schema { markdown: true } => print_piece(&reference::markdown()).map(|()| ExitCode::SUCCESS),
        Verb::Explain { name, config } => {
            show(name.as_deref(), config.as_ref(), output).map(|()| ExitCode::SUCCESS)
        }
    }
}

fn load(file: Option<&PathBuf>) -> Result<Loaded, ConfigError> {
    Config::load(&Sources::of_process(Flags { config: file.cloned(), ..Flags::default() }))
}

fn check(file: Option<&PathBuf>, output: Output) -> anyhow::Result<ExitCode> {
    let outcome = load(file).and_then(|loaded| match build(&loaded.config) {
        Ok(()) => Ok(loaded),
        Err(problem) => {
            Err(ConfigError { path: loaded.path, problems: [vec![problem], loaded.warnings].concat() })
        }
    });
    let (path, problems, config) = match outcome {
        Ok(loaded) => (loaded.path, loaded.warnings, Some(loaded.config)),
        Err(error) => (error.path, error.problems, None),
    };
    let code = if config.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if output == Output::Json {
        print_json(&json!({ "ok": config.is_some(), "path": path, "problems": problems }))?;
        return Ok(code);
    }
    for problem in &problems {
        remark(format_args!("{}\n", problem.shown(path.as_ref())));
    }
    let name = path
        .as_ref()
        .map_or_else(|| "no file, so the defaults".to_owned(), |path| path.display().to_string());
    if let Some(config) = config {
        let counted =
            |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        print(format_args!(
            "{name}: ok ({}, {}, {})",
            counted(config.channels.len(), "channel"),
            counted(config.routes.len(), "route"),
            counted(config.prices.len(), "price")
        ))?;
    } else {
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        remark(format_args!("{name}: {errors} {}", if errors == 1 { "mistake" } else { "mistakes" }));
    }
    Ok(code)
}

/// The gateway has the last word: it builds everything but the secrets, which need not be at hand where a file is
/// checked.
fn build(config: &Config) -> Result<(), Problem> {
    let mut channels = config.channels.clone();
    for channel in &mut channels {
        channel.api_key = None;
        channel.credentials = None;
    }
    let inputs = Inputs {
        channels,
        routes: config.routes.clone(),
        prices: config.prices.clone(),
        ..Inputs::default()
    };
    let catalog = Catalog::builtin().map_err(|error| refused(&error))?;
    Snapshot::build(&inputs, Arc::new(catalog), None).map(|_| ()).map_err(|error| refused(&error))
}

fn refused(error: &dyn std::error::Error) -> Problem {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let message = causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
    Problem { severity: Severity::Error, message, help: None, place: None }
}

fn show(name: Option<&str>, file: Option<&PathBuf>, output: Output) -> anyhow::Result<()> {
    let loaded = load(file)?;
    let mut rows = vec![
        Explained {
            name: "config".to_owned(),
            value: loaded.path.as_ref().map(|path| path.display().to_string()),
            origin: loaded.origins.of("config").clone(),
        },
        Explained {
            name: "data_dir".to_owned(),
            value: loaded.data_dir.as_ref().map(|path| path.display().to_string()),
            origin: loaded.origins.of("data_dir").clone(),
        },
    ];
    rows.extend(explain(&loaded.config, &loaded.origins));
    match name {
        Some(name) => {
            let inside = |row: &Explained| {
                row.name == name || row.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            };
            let known: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            rows.retain(inside);
            if rows.is_empty() {
                let near = nearest(name, known.iter().map(String::as_str), 3);
                let hint = if near.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean `{}`?", near.join("`, `"))
                };
                bail!("there is no value `{name}`{hint}");
            }
        }
        // What nobody set and has no default says nothing.
        None => rows.retain(|row| row.value.is_some()),
    }
    if output == Output::Json {
        return print_json(&json!({ "data": rows, "warnings": loaded.warnings }));
    }
    let mut table = Table::new(["NAME", "VALUE", "FROM"]);
    for row in rows {
        table.row([row.name, row.value.unwrap_or_else(|| "-".to_owned()), row.origin.to_string()]);
    }
    print(&table)?;
    for warning in &loaded.warnings {
        remark(format_args!("\n{}", warning.shown(loaded.path.as_ref())));
    }
    Ok(())
}
