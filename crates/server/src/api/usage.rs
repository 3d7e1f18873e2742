//! `/usage`: sums over the ledger, by any of its dimensions.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode, KeyId, Money, Usage};
use steelyard_store::repo::{Dimension, UsageFilter, UsageRow};

use super::error::{Id, Options, Problem, time};
use crate::app::App;

/// Which calls, and how to group them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    by: Option<String>,
    from: Option<String>,
    to: Option<String>,
    project: Option<String>,
    key: Option<KeyId>,
    principal: Option<String>,
    route: Option<String>,
    model: Option<String>,
    channel: Option<String>,
}

pub(super) async fn usage(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Options(ask): Options<Ask>,
) -> Result<Json<Value>, Problem> {
    let names: Vec<&str> =
        ask.by.as_deref().unwrap_or("").split(',').filter(|name| !name.is_empty()).collect();
    let by = names.iter().map(|name| name.parse::<Dimension>()).collect::<Result<Vec<_>, _>>().map_err(
        |error| Problem::new(id, ApiError::new(ErrorCode::InvalidField, error.to_string()).with_param("by")),
    )?;
    let filter = UsageFilter {
        from: ask.from.map(|text| time(id, "from", &text)).transpose()?,
        to: ask.to.map(|text| time(id, "to", &text)).transpose()?,
        project: ask.project,
        key: ask.key,
        principal: ask.principal,
        route: ask.route,
        model: ask.model,
        channel: ask.channel,
        outcome: None,
        tag: None,
    };
    let rows = app.control.db().ledger().usage(&filter, &by).await.map_err(Problem::store(id))?;
    let data: Vec<_> = rows.iter().map(|row| show(row, &names)).collect();
    Ok(Json(json!({ "data": data, "total": show(&total(&rows), &[]) })))
}

fn show(row: &UsageRow, names: &[&str]) -> Value {
    let mut shown = json!({
        "calls": row.calls,
        "usage": row.usage,
        "amount_pusd": row.amount,
        "amount_usd": row.amount.map(|amount| amount.to_string()),
        "unpriced_calls": row.unpriced,
        "held_calls": row.held,
        "held_usd": row.held_amount.to_string(),
    });
    for (name, value) in names.iter().zip(&row.group) {
        shown[*name] = json!(value);
    }
    shown
}

/// The sum of the groups: of what is known, and null where nothing is.
fn total(rows: &[UsageRow]) -> UsageRow {
    let mut total = UsageRow {
        group: Vec::new(),
        calls: 0,
        usage: Usage::ZERO,
        amount: rows.is_empty().then_some(Money::ZERO),
        unpriced: 0,
        held: 0,
        held_amount: Money::ZERO,
    };
    for row in rows {
        total.calls += row.calls;
        total.usage += row.usage;
        if let Some(amount) = row.amount {
            total.amount = Some(total.amount.unwrap_or(Money::ZERO) + amount);
        }
        total.unpriced += row.unpriced;
        total.held += row.held;
        total.held_amount += row.held_amount;
    }
    total
}
