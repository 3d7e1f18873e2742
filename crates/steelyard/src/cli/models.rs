//! `steelyard models`.

use clap::Args;
use serde_json::Value;

use super::output::{Output, Table, cell, print, print_json, remark, rows};
use super::server::ServerArgs;

const AFTER: &str = "\
A model can be called by any of its names: `gpt-6-sol`, `openai/gpt-6-sol`, or `CHANNEL/NAME` for one channel alone.

Examples:
  steelyard models
  steelyard models gpt-6 --output json";

/// What `models` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ModelsArgs {
    /// Only models whose name holds this
    #[arg(value_name = "PART")]
    part: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Lists models, one line for each channel that offers them.
pub(super) async fn run(args: ModelsArgs, output: Output) -> anyhow::Result<()> {
    let mut answer = args.server.management()?.get("/models", &[]).await?;
    if let (Some(part), Some(models)) = (&args.part, answer["data"].as_array_mut()) {
        let part = part.to_lowercase();
        models.retain(|model| cell(&model["id"]).to_lowercase().contains(&part));
    }
    if output == Output::Json {
        return print_json(&answer);
    }
    let mut table = Table::new(["MODEL", "CHANNEL", ">CONTEXT", ">MAX OUTPUT", ">INPUT", ">OUTPUT"]);
    let mut assumed = false;
    let mut elsewhere = false;
    let mut unpriced = false;
    for model in rows(&answer) {
        for offer in model["offers"].as_array().into_iter().flatten() {
            let priced = offer["prices"].is_object();
            let (date, place) = (offer["assumed"] == true, offer["geo_assumed"] == true);
            let mark = format!("{}{}", if place { "?" } else { "" }, if date { "*" } else { "" });
            assumed |= date && priced;
            elsewhere |= place;
            unpriced |= !priced;
            let price = |class: &str| match &offer["prices"][class] {
                Value::Null => "-".to_owned(),
                price => format!("{}{mark}", cell(price)),
            };
            table.row([
                cell(&model["id"]),
                cell(&offer["channel"]),
                cell(&model["context_window"]),
                cell(&model["max_output"]),
                price("input"),
                price("output"),
            ]);
        }
    }
    if table.is_empty() {
        return print(match args.part {
            Some(part) => format!("no model's name holds `{part}`"),
            None => "no model can be called: configure a channel".to_owned(),
        });
    }
    print(&table)?;
    remark("\nPrices are US dollars per million tokens.");
    if assumed {
        remark("* the date from which the price holds is not known; it is taken to hold always");
    }
    if elsewhere {
        remark(
            "? the price where the model runs is not known; it is that of the dearest place where it is known",
        );
    }
    if unpriced {
        remark(
            "A model without prices can be called, but its cost is unknown: give prices under [[prices]].",
        );
    }
    Ok(())
}
