//! `steelyard channels`.

use clap::Args;

use super::output::{Output, Table, cell, print, print_json, rows};
use super::server::ServerArgs;

/// What `channels` takes.
#[derive(Debug, Args)]
pub struct ChannelsArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Lists channels; of a credential only the place.
pub(super) async fn run(args: ChannelsArgs, output: Output) -> anyhow::Result<()> {
    let answer = args.server.management()?.get("/channels", &[]).await?;
    if output == Output::Json {
        return print_json(&answer);
    }
    let mut table = Table::new(["CHANNEL", "PROVIDER", "BASE URL", "GEO", ">MODELS", "CREDENTIAL"]);
    for channel in rows(&answer) {
        table.row(
            ["name", "provider", "base_url", "geo", "models", "credential"]
                .map(|field| cell(&channel[field])),
        );
    }
    print(&table)
}
