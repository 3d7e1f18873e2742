//! `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;

/// The process runs.
pub(crate) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Calls are taken: not shutting down, the ledger takes records, the database answers. A database that is away is
/// named but does not make the server unready: calls are served until the spool is full.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let health = app.control.health().await;
    let draining = app.drain.has_begun();
    let ready = !draining && health.spool_writes && health.spool_room;
    let ledger = match (health.spool_writes, health.spool_room) {
        (true, true) => "ok",
        (true, false) => "the spool is full (ledger.capacity)",
        (false, _) => "the spool cannot be written",
    };
    let body = json!({
        "status": if ready { "ready" } else { "unready" },
        "draining": draining,
        "ledger": ledger,
        "spool_waiting": health.spool_waiting,
        "database": if health.database { "ok" } else { "unreachable" },
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body)).into_response()
}
