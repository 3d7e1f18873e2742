//! `steelyard usage`: sums over the ledger.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::Value;
use steelyard_core::UsageClass;
use steelyard_store::repo::Dimension;

use super::keys::a_time;
use super::output::{Output, Table, cell, print, print_json, remark, rows};
use super::server::ServerArgs;

const AFTER: &str = "\
Amounts are exact: every call counts at the price of its time, and nothing is rounded. The ledger is at most \
one second behind.

Examples:
  steelyard usage
  steelyard usage --by model,day --from 2026-11-01
  steelyard usage --by project,outcome --output json";

/// What `usage` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct UsageArgs {
    /// One line for each: project, key, principal, route, model, channel, day, hour, outcome, tag:NAME
    #[arg(long, value_name = "DIMENSIONS", value_delimiter = ',', value_parser = a_dimension)]
    by: Vec<String>,
    /// Calls from this time on: 2026-11-01 (midnight UTC) or 2026-11-01T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    from: Option<String>,
    /// Calls before this time
    #[arg(long, value_name = "TIME", value_parser = a_time)]
    to: Option<String>,
    /// Calls of this project only
    #[arg(long)]
    project: Option<String>,
    /// Calls with this key only, by its id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Calls through this route only
    #[arg(long)]
    route: Option<String>,
    /// Calls answered by this model only
    #[arg(long)]
    model: Option<String>,
    /// Calls answered on this channel only
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

fn a_dimension(text: &str) -> Result<String, String> {
    text.parse::<Dimension>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Prints sums.
pub(super) async fn run(args: UsageArgs, output: Output) -> anyhow::Result<()> {
    let mut query: Vec<(&str, String)> = Vec::new();
    if !args.by.is_empty() {
        query.push(("by", args.by.join(",")));
    }
    let filters = [
        ("from", args.from),
        ("to", args.to),
        ("project", args.project),
        ("key", args.key),
        ("route", args.route),
        ("model", args.model),
        ("channel", args.channel),
    ];
    let filtered = filters.iter().any(|(_, value)| value.is_some());
    query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let answer = args.server.management()?.get("/usage", &query).await?;
    if output == Output::Json {
        return print_json(&answer);
    }
    if answer["total"]["calls"].as_u64() == Some(0) {
        return print(if filtered {
            "no calls fit these filters"
        } else {
            "no calls yet: make one with `steelyard chat -m sandbox hello`"
        });
    }
    print(bill(&answer, &args.by))?;
    if let Some(count) = answer["total"]["unpriced_calls"].as_u64().filter(|count| *count > 0) {
        let calls = if count == 1 { "1 call has" } else { &format!("{count} calls have") };
        remark(format_args!(
            "\n{calls} no known cost, and none of it is in these amounts. `steelyard usage --by channel,model` shows \
             which: such a model needs prices under [[prices]], by these two names. Any model can be called as \
             CHANNEL/MODEL, so it need not be one that `steelyard models` lists."
        ));
    }
    if let Some(count) = answer["total"]["held_calls"].as_u64().filter(|count| *count > 0) {
        let calls = if count == 1 { "1 call is" } else { &format!("{count} calls are") };
        remark(format_args!(
            "\n~ {calls} charged at the worst case, {} US dollars of these amounts: the process ended before the vendor \
             told what was used, and its bill will say less. `steelyard usage --by outcome` shows them as `unsettled`.",
            cell(&answer["total"]["held_usd"])
        ));
    }
    Ok(())
}

/// The bill as a table: a column for each class that was used, one that counts calls without a known cost if there are
/// such, a line for each group, and a total.
pub(super) fn bill(answer: &Value, by: &[String]) -> Table {
    let used: BTreeSet<&str> = rows(answer)
        .iter()
        .filter_map(|row| row["usage"].as_object())
        .flat_map(|usage| usage.keys().map(String::as_str))
        .collect();
    let classes: Vec<&str> =
        UsageClass::ALL.iter().map(|class| class.name()).filter(|name| used.contains(name)).collect();
    let unpriced = answer["total"]["unpriced_calls"].as_u64().is_some_and(|calls| calls > 0);
    let titles: Vec<String> = by
        .iter()
        .map(|name| name.to_uppercase())
        .chain([">CALLS".to_owned()])
        .chain(classes.iter().map(|name| format!(">{}", name.to_uppercase().replace('_', " "))))
        .chain(unpriced.then(|| ">UNPRICED".to_owned()))
        .chain([">USD".to_owned()])
        .collect();
    let mut table = Table::new(titles.iter().map(String::as_str));
    let figures = |row: &Value| {
        let counts: Vec<_> =
            classes.iter().map(|class| row["usage"][*class].as_u64().unwrap_or(0).to_string()).collect();
        let unpriced = unpriced.then(|| cell(&row["unpriced_calls"]));
        [vec![cell(&row["calls"])], counts, unpriced.into_iter().collect(), vec![amount(row)]].concat()
    };
    for row in rows(answer) {
        let group = by.iter().map(|name| cell(&row[name.as_str()]));
        table.row(group.chain(figures(row)));
    }
    if !by.is_empty() {
        let mut group = vec![String::new(); by.len()];
        "total".clone_into(&mut group[0]);
        table.row(group.into_iter().chain(figures(&answer["total"])));
    }
    table
}

/// What is known of a cost: exact, a lower bound when some calls have no price, or nothing. With a worst case in it, it
/// bounds nothing from below.
fn amount(row: &Value) -> String {
    let count = |name: &str| row[name].as_u64().unwrap_or(0);
    if row["amount_usd"].is_null() {
        return "unknown".to_owned();
    }
    let usd = cell(&row["amount_usd"]);
    match (count("unpriced_calls"), count("held_calls")) {
        (0, 0) => usd,
        (_, 0) => format!("≥ {usd}"),
        (_, _) => format!("~ {usd}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(model: &str, calls: u64, unpriced: u64, usd: Option<&str>) -> Value {
        json!({ "model": model, "calls": calls, "usage": { "output": 7, "input": 1000 }, "amount_usd": usd, "unpriced_calls": unpriced })
    }

    #[test]
    fn an_amount_with_a_worst_case_in_it_is_no_lower_bound() {
        let of = |calls, unpriced, held| {
            amount(
                &json!({ "calls": calls, "unpriced_calls": unpriced, "held_calls": held, "amount_usd": "5" }),
            )
        };
        assert_eq!([of(3, 0, 0), of(3, 1, 0)], ["5", "≥ 5"]);
        assert_eq!([of(3, 0, 1), of(3, 1, 1)], ["~ 5", "~ 5"]);
        let unknown = json!({ "calls": 3, "unpriced_calls": 3, "held_calls": 0, "amount_usd": null });
        assert_eq!(amount(&unknown), "unknown");
    }

    #[test]
    fn a_bill_has_totals_and_does_not_call_the_unknown_free() {
        let answer = json!({
            "data": [row("a", 2, 0, Some("0.000123")), row("b", 3, 3, None), row("c", 2, 1, Some("4"))],
            "total": { "calls": 7, "usage": { "output": 21, "input": 3000 }, "amount_usd": "4.000123", "unpriced_calls": 4 },
        });
        assert_eq!(
            bill(&answer, &["model".to_owned()]).to_string(),
            "MODEL  CALLS  INPUT  OUTPUT  UNPRICED         USD\n\
             a          2   1000       7         0    0.000123\n\
             b          3   1000       7         3     unknown\n\
             c          2   1000       7         1         ≥ 4\n\
             total      7   3000      21         4  ≥ 4.000123"
        );
    }

    #[test]
    fn without_groups_there_is_one_line() {
        let total = row("", 1, 0, Some("6"));
        let answer = json!({ "data": [total], "total": total });
        assert_eq!(bill(&answer, &[]).to_string(), "CALLS  INPUT  OUTPUT  USD\n    1   1000       7    6");
    }
}
