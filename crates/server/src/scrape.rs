//! `/metrics`: every metric of the process, with what it says and its buckets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;

/// Seconds. Steelyard's own overhead is tens of microseconds; a vendor's answer takes seconds.
const OVERHEAD: [f64; 14] =
    [25e-6, 50e-6, 75e-6, 100e-6, 150e-6, 200e-6, 300e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 250e-3];
const FIRST_BYTE: [f64; 12] = [0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0, 120.0];
/// From a page in memory to a disk that is busy.
const COMMIT: [f64; 10] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 20e-3, 100e-3, 1.0];

enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// What is exported. The crates that count name these by text; a test holds the two together.
const METRICS: [(&str, Kind, &str); 14] = [
    ("steelyard_calls_total", Kind::Counter, "Calls that are over, by endpoint, channel, model and outcome"),
    (
        "steelyard_errors_total",
        Kind::Counter,
        "Errors that callers of models were answered, by dialect and code",
    ),
    ("steelyard_tokens_total", Kind::Counter, "Units used, by channel, model and class"),
    (
        "steelyard_calls_in_flight",
        Kind::Gauge,
        "Calls that are open, and answers read on after their client left",
    ),
    (
        "steelyard_overhead_seconds",
        Kind::Histogram(&OVERHEAD),
        "Time in Steelyard itself: total minus waiting for the vendor; of a stream, until its first byte",
    ),
    (
        "steelyard_upstream_first_byte_seconds",
        Kind::Histogram(&FIRST_BYTE),
        "From sending to the first byte of a vendor's answer",
    ),
    ("steelyard_spool_waiting", Kind::Gauge, "Calls that are open or wait to be moved into the ledger"),
    ("steelyard_spool_records_total", Kind::Counter, "Records made durable"),
    ("steelyard_spool_commit_seconds", Kind::Histogram(&COMMIT), "How long a commit of the spool takes"),
    ("steelyard_spool_failures_total", Kind::Counter, "Commits of the spool that failed"),
    ("steelyard_ledger_entries_total", Kind::Counter, "Entries moved into the ledger"),
    ("steelyard_ledger_failures_total", Kind::Counter, "Tries to move entries that failed"),
    ("steelyard_responses_stored_total", Kind::Counter, "Answers of the Responses API that were stored"),
    (
        "steelyard_responses_failures_total",
        Kind::Counter,
        "Answers that could not be stored and went out saying so",
    ),
];

/// Installs the process's metrics recorder. A second call in one process gives a recorder that nothing writes to.
///
/// # Panics
/// Never: the lists of buckets are not empty.
pub fn install_recorder() -> PrometheusHandle {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in &METRICS {
        if let Kind::Histogram(buckets) = kind {
            let name = Matcher::Full((*name).to_owned());
            builder = builder.set_buckets_for_metric(name, buckets).expect("the buckets are not empty");
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("a metrics recorder was installed before");
    }
    for (name, kind, help) in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, help),
        }
    }
    handle
}

/// Prometheus' text format.
pub(crate) async fn scrape(State(app): State<Arc<App>>) -> Response {
    metrics::gauge!("steelyard_calls_in_flight").set(count(app.gateway.tasks().running() as u64));
    metrics::gauge!("steelyard_spool_waiting").set(count(app.control.spool_waiting()));
    let type_header = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (type_header, app.recorder.render()).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts of calls stay far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}
