//! `steelyard routes`.

use clap::Args;

use super::output::{Output, Table, cell, print, print_json, rows};
use super::server::ServerArgs;

/// What `routes` takes.
#[derive(Debug, Args)]
pub struct RoutesArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Lists routes with their targets in order.
pub(super) async fn run(args: RoutesArgs, output: Output) -> anyhow::Result<()> {
    let answer = args.server.management()?.get("/routes", &[]).await?;
    if output == Output::Json {
        return print_json(&answer);
    }
    let mut table = Table::new(["ROUTE", "STRATEGY", "TARGETS"]);
    for route in rows(&answer) {
        let weighted = route["strategy"] == "weighted";
        let targets = route["targets"].as_array().into_iter().flatten().map(|target| {
            let name = format!("{}/{}", cell(&target["channel"]), cell(&target["model"]));
            if weighted { format!("{name} ×{}", cell(&target["weight"])) } else { name }
        });
        table.row([cell(&route["name"]), cell(&route["strategy"]), targets.collect::<Vec<_>>().join(", ")]);
    }
    if table.is_empty() {
        return print(
            "no routes are declared: every model can be called by its own name, see `steelyard models`",
        );
    }
    print(&table)
}
