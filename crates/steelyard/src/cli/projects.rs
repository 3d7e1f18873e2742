//! `steelyard projects`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::output::{Output, Table, cell, print, print_json, rows, time};
use super::server::ServerArgs;

/// What `projects` takes.
#[derive(Debug, Args)]
pub struct ProjectsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a project
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List projects
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Makes or lists projects.
pub(super) async fn run(args: ProjectsArgs, output: Output) -> anyhow::Result<()> {
    match args.verb {
        Verb::Create { name, server } => {
            let made =
                server.management()?.send(Method::POST, "/projects", &[], &json!({ "name": name })).await?;
            if output == Output::Json {
                return print_json(&made);
            }
            print(format_args!("project `{}` made ({})", cell(&made["name"]), cell(&made["id"])))
        }
        Verb::List { server } => {
            let answer = server.management()?.get("/projects", &[]).await?;
            if output == Output::Json {
                return print_json(&answer);
            }
            let mut table = Table::new(["PROJECT", "ID", "CREATED (UTC)"]);
            for project in rows(&answer) {
                table.row([cell(&project["name"]), cell(&project["id"]), time(&project["created_at"])]);
            }
            print(&table)
        }
    }
}
