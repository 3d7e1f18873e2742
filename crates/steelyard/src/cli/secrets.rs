//! `steelyard secrets`: credentials at vendors, sealed in the vault. None is ever shown.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::output::{Output, Table, cell, print, print_json, rows, time};
use super::server::ServerArgs;
use crate::client::segment;

const AFTER: &str = "\
A channel takes one by its name: api_key = \"vault:openai\".

Examples:
  steelyard secrets set openai                        asks for it
  steelyard secrets set openai --from-env OPENAI_API_KEY
  pass show openai | steelyard secrets set openai
  steelyard secrets list";

/// What `secrets` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct SecretsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Seal a secret in the vault; channels that name it use it at once
    Set {
        /// Its name, as in `vault:NAME`
        name: String,
        /// Take it from this environment variable
        #[arg(long, value_name = "VARIABLE", conflicts_with = "from_file")]
        from_env: Option<String>,
        /// Take it from this file
        #[arg(long, value_name = "PATH")]
        from_file: Option<PathBuf>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List the names of the secrets
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Take a secret out of the vault; refused while a channel names it
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Sets, lists or deletes secrets.
pub(super) async fn run(args: SecretsArgs, output: Output) -> anyhow::Result<()> {
    match args.verb {
        Verb::Set { name, from_env, from_file, server } => {
            let management = server.management()?;
            let value = value(&name, from_env, from_file)?;
            let path = format!("/secrets/{}", segment(&name));
            let set = management.send(Method::PUT, &path, &[], &json!({ "value": value })).await?;
            if output == Output::Json {
                return print_json(&set);
            }
            print(format_args!("secret `{name}` is in the vault: a channel takes it as \"vault:{name}\""))
        }
        Verb::List { server } => {
            let answer = server.management()?.get("/secrets", &[]).await?;
            if output == Output::Json {
                return print_json(&answer);
            }
            let mut table = Table::new(["SECRET", "CREATED (UTC)", "SET (UTC)"]);
            for secret in rows(&answer) {
                table.row([cell(&secret["name"]), time(&secret["created_at"]), time(&secret["updated_at"])]);
            }
            print(&table)
        }
        Verb::Delete { name, server } => {
            server.management()?.delete(&format!("/secrets/{}", segment(&name)), &[]).await?;
            if output == Output::Json {
                return print_json(&json!({ "deleted": name }));
            }
            print(format_args!("secret `{name}` deleted"))
        }
    }
}

/// Never an argument: those are seen by everybody on the machine and kept in the shell's history.
fn value(name: &str, from_env: Option<String>, from_file: Option<PathBuf>) -> anyhow::Result<String> {
    let value = if let Some(variable) = from_env {
        std::env::var(&variable).with_context(|| format!("environment variable {variable} is not set"))?
    } else if let Some(path) = from_file {
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?
    } else if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Secret for vault:{name} (it is not shown): "))?
    } else {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("the secret cannot be read from stdin")?;
        text
    };
    let value = value.trim().to_owned();
    anyhow::ensure!(
        !value.is_empty(),
        "the secret is empty: type it, pipe it, or give --from-env or --from-file"
    );
    Ok(value)
}
