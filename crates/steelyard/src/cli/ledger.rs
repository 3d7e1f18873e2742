//! `steelyard ledger`: the feed of entries, one for each call.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use steelyard_core::RequestId;

use super::output::{Output, Table, cell, print, print_json, rows, time};
use super::server::ServerArgs;
use crate::client::Client;

const AFTER: &str = "\
Entries come in the order in which they were written. With --output json and --follow there is one entry per line.

Examples:
  steelyard ledger
  steelyard ledger --request-id req_0197…        one call, by its x-steelyard-request-id
  steelyard ledger --follow --output json";

/// What `ledger` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct LedgerArgs {
    /// Entries after this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The entry of this call only
    #[arg(long, value_name = "ID", conflicts_with_all = ["after", "follow"])]
    request_id: Option<RequestId>,
    /// Go on with new entries as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints entries.
pub(super) async fn run(args: LedgerArgs, output: Output) -> anyhow::Result<()> {
    let client = args.server.management()?;
    if args.follow {
        return follow(&client, args.after, args.limit, output).await;
    }
    let mut query = vec![("after", args.after.to_string()), ("limit", args.limit.to_string())];
    query.extend(args.request_id.map(|id| ("request_id", id.to_string())));
    let answer = client.get("/ledger/entries", &query).await?;
    if output == Output::Json {
        return print_json(&answer);
    }
    if rows(&answer).is_empty() {
        return print(match args.request_id {
            Some(id) => format!(
                "no entry of {id}: a call that is still running, was refused before it was sent, or is a second old has none yet"
            ),
            None => "no entries yet: make a call with `steelyard chat -m sandbox hello`".to_owned(),
        });
    }
    print(table(rows(&answer)))
}

async fn follow(client: &Client, mut after: i64, limit: u32, output: Output) -> anyhow::Result<()> {
    loop {
        let query = [("after", after.to_string()), ("limit", limit.to_string())];
        let answer = client.get("/ledger/entries", &query).await?;
        for entry in rows(&answer) {
            after = entry["seq"].as_i64().unwrap_or(after);
            match output {
                Output::Json => print(entry)?,
                Output::Table => print(cells(entry).join("  "))?,
            }
        }
        if answer["next"].is_null() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

const TITLES: [&str; 9] =
    [">SEQ", "TIME (UTC)", "REQUEST", "ROUTE", "MODEL", "CHANNEL", "OUTCOME", ">TOKENS", ">USD"];

/// Entries as a table.
pub(super) fn table(entries: &[Value]) -> Table {
    let mut table = Table::new(TITLES);
    for entry in entries {
        table.row(cells(entry));
    }
    table
}

fn cells(entry: &Value) -> [String; 9] {
    let tokens: u64 =
        entry["usage"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    let basis = if entry["basis"] == "reported" || entry["basis"].is_null() {
        String::new()
    } else {
        format!(" ({})", cell(&entry["basis"]))
    };
    [
        cell(&entry["seq"]),
        time(&entry["time"]),
        cell(&entry["request_id"]),
        cell(&entry["route"]),
        cell(&entry["model"]),
        cell(&entry["channel"]),
        cell(&entry["outcome"]),
        format!("{tokens}{basis}"),
        if entry["amount_usd"].is_null() { "unknown".to_owned() } else { cell(&entry["amount_usd"]) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_is_one_line() {
        let entry = json!({
            "seq": 3, "time": "2026-11-21T10:00:00.000001Z", "request_id": "req_1", "route": "smart", "model": "m",
            "channel": "up", "outcome": "client_gone", "usage": { "input": 3, "output": 4 }, "basis": "counted", "amount_usd": null,
        });
        assert_eq!(
            cells(&entry).join("|"),
            "3|2026-11-21 10:00:00|req_1|smart|m|up|client_gone|7 (counted)|unknown"
        );
    }
}
