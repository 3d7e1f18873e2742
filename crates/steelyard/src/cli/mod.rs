//! The command line: one file per verb. A verb that talks to a server does so through [`crate::client`] and prints
//! through [`output`]; it can do nothing that the management API cannot.

pub mod channels;
pub mod chat;
pub mod completions;
pub mod config;
pub mod demo;
pub mod keys;
pub mod ledger;
pub mod models;
pub mod output;
pub mod projects;
pub mod routes;
pub mod secrets;
pub mod serve;
pub mod server;
pub mod usage;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;
use output::{Output, remark};

const AFTER: &str = "\
Examples:
  steelyard demo                                  see it work, without keys or configuration
  steelyard serve                                 start a server on 127.0.0.1:7300
  steelyard chat \"What is a steelyard?\"           ask a model through it
  steelyard keys create my-app                    make a key for an application
  steelyard usage --by model,day                  what was used, and what it cost

Clients point at http://127.0.0.1:7300/v1 with any key made here.
Exit codes: 0 ok, 1 failed, 2 wrong usage.";

/// One API, one bill and one law for every model: a self-hosted AI platform in one binary
#[derive(Debug, Parser)]
#[command(name = "steelyard", version, after_help = AFTER, max_term_width = 100, propagate_version = false)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How results are printed
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server
    Serve(serve::ServeArgs),
    /// See it work: a server on temporary data, some calls of the sandbox model, and the bill
    Demo(demo::DemoArgs),
    /// Talk to a model
    Chat(chat::ChatArgs),
    /// List the models that can be called, and what they cost
    Models(models::ModelsArgs),
    /// List the configured accounts at providers
    Channels(channels::ChannelsArgs),
    /// List the declared routes
    Routes(routes::RoutesArgs),
    /// Make, list, rotate and revoke keys
    Keys(keys::KeysArgs),
    /// Seal credentials at vendors in the vault
    Secrets(secrets::SecretsArgs),
    /// Make and list projects
    Projects(projects::ProjectsArgs),
    /// What was used, and what it cost
    Usage(usage::UsageArgs),
    /// Read the ledger, call by call
    Ledger(ledger::LedgerArgs),
    /// Check, describe and explain the configuration
    Config(config::ConfigArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that print to stdout and exit with 0. A closed stdout changes nothing.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<ConfigError>() {
                Some(problems) => remark(problems),
                None => remark(format_args!("error: {error:#}")),
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let output = cli.output;
    let done = match cli.command {
        Command::Serve(args) => many_threads(crate::serve::run(args)),
        Command::Demo(args) => many_threads(demo::run(args, output)),
        Command::Chat(args) => one_thread(chat::run(args, output)),
        Command::Models(args) => one_thread(models::run(args, output)),
        Command::Channels(args) => one_thread(channels::run(args, output)),
        Command::Routes(args) => one_thread(routes::run(args, output)),
        Command::Keys(args) => one_thread(keys::run(args, output)),
        Command::Secrets(args) => one_thread(secrets::run(args, output)),
        Command::Projects(args) => one_thread(projects::run(args, output)),
        Command::Usage(args) => one_thread(usage::run(args, output)),
        Command::Ledger(args) => one_thread(ledger::run(args, output)),
        Command::Config(args) => return config::run(&args, output),
        Command::Completions(args) => completions::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn many_threads(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn one_thread(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// `steelyard models | head` ends the reader before the writer; that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
