//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;

use crate::app::App;

/// Seconds. Steelyard's own overhead is tens of microseconds; a vendor's answer takes seconds.
const OVERHEAD: [f64; 14] =
    [25e-6, 50e-6, 75e-6, 100e-6, 150e-6, 200e-6, 300e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 250e-3];
const FIRST_BYTE: [f64; 12] = [0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 120.0];

/// Installs the process's metrics recorder. A second call in one process gives a recorder that nothing writes to.
///
/// # Panics
/// Never: the lists of buckets are not empty.
pub fn install_recorder() -> PrometheusHandle {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("steelyard_overhead_seconds".to_owned()), &OVERHEAD)
        .and_then(|builder| {
            let name = Matcher::Full("steelyard_upstream_first_byte_seconds".to_owned());
            builder.set_buckets_for_metric(name, &FIRST_BYTE)
        })
        .expect("the buckets are not empty");
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("a metrics recorder was installed before");
    }
    handle
}

/// The process runs.
pub(crate) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Calls are taken: not shutting down, the ledger takes records, the database answers. A database that is away is
/// named but does not make the server unready: calls are served until the spool is full.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let health = app.control.health().await;
    let draining = app.drain.has_begun();
    let ready = !draining && health.spool_writes;
    let body = json!({
        "status": if ready { "ready" } else { "unready" },
        "draining": draining,
        "ledger": if health.spool_writes { "ok" } else { "the spool cannot be written" },
        "spool_waiting": health.spool_waiting,
        "database": if health.database { "ok" } else { "unreachable" },
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body)).into_response()
}

/// Prometheus' text format.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    metrics::gauge!("steelyard_calls_in_flight").set(count(app.gateway.tasks().running() as u64));
    metrics::gauge!("steelyard_spool_waiting").set(count(app.control.spool_waiting()));
    let type_header = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (type_header, app.recorder.render()).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts of calls stay far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}
