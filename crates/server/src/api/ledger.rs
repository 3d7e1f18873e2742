//! `/ledger/entries`: the feed of what every call used and cost, in commit order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use steelyard_core::record::Entry;
use steelyard_core::{ApiError, ErrorCode, RequestId};

use super::error::{Id, Options, Problem};
use crate::app::App;

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "default_limit")]
    limit: u32,
    request_id: Option<RequestId>,
}

const fn default_limit() -> u32 {
    100
}

const MAX_LIMIT: u32 = 1000;

pub(super) async fn entries(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Options(page): Options<Page>,
) -> Result<Json<Value>, Problem> {
    if page.limit == 0 || page.limit > MAX_LIMIT {
        let text = format!("limit `{}` is not between 1 and {MAX_LIMIT}", page.limit);
        return Err(Problem::new(id, ApiError::new(ErrorCode::InvalidField, text).with_param("limit")));
    }
    // One more than asked for tells whether there is a next page.
    let mut found = app
        .control
        .db()
        .ledger()
        .entries(page.after, page.limit + 1, page.request_id)
        .await
        .map_err(Problem::store(id))?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = if more { found.last().map(|(seq, _)| *seq) } else { None };
    let data: Vec<_> = found.iter().map(|(seq, entry)| show(*seq, entry)).collect();
    Ok(Json(json!({ "data": data, "next": next })))
}

fn show(seq: i64, entry: &Entry) -> Value {
    let last = entry.final_attempt();
    let amount = entry.amount();
    json!({
        "id": entry.id,
        "seq": seq,
        "request_id": entry.call.request_id,
        "time": entry.call.time,
        "project": entry.call.project,
        "key": entry.call.key,
        "principal": entry.call.principal,
        "route": entry.call.route,
        "model": last.map(|attempt| &attempt.model),
        "channel": last.map(|attempt| &attempt.channel),
        "dialect": entry.call.dialect,
        "endpoint": entry.call.endpoint,
        "stream": entry.call.stream,
        "outcome": entry.outcome,
        "usage": entry.usage(),
        "basis": entry.basis(),
        "attempts": entry.attempts,
        "tags": entry.call.tags,
        "losses": entry.losses,
        "adjusts": entry.adjusts,
        "amount_pusd": amount,
        "amount_usd": amount.map(|amount| amount.to_string()),
    })
}
