//! Traces on their way to a collector: OTLP over HTTP, in batches, beside the calls.
//!
//! Constraints: a collector that is down or slow costs spans, never a call; the end of the process waits for it a
//! moment and no longer; the log says when exporting fails and when it works again, not each time in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use steelyard_gateway::{Tasks, Tracing};

use crate::config::TelemetryConfig;

/// How long the last spans may take at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// How long a collector may take for a batch.
const EXPORT_LIMIT: Duration = Duration::from_secs(10);

/// Spans on their way.
#[derive(Debug)]
pub struct Exporting {
    provider: SdkTracerProvider,
    tasks: Tasks,
}

impl Exporting {
    /// Starts exporting, if there is an endpoint. Must be called within a runtime.
    ///
    /// # Errors
    /// When OpenTelemetry's variables in the environment cannot be used.
    pub fn start(config: &TelemetryConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = config.traces_url() else { return Ok(None) };
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if let Some(asked) = std::env::var(name).ok().filter(|value| value != "http/protobuf") {
                tracing::warn!("{name} asks for `{asked}`, but traces are sent as http/protobuf alone");
            }
        }
        let client = reqwest::Client::builder()
            .timeout(EXPORT_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("a client for traces cannot be built")?;
        let tasks = Tasks::default();
        let collector = Collector {
            client,
            runtime: tokio::runtime::Handle::current(),
            tasks: tasks.clone(),
            failing: Arc::default(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(url)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .context("traces cannot be exported")?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter);
        // The SDK reads it by itself.
        if std::env::var_os("OTEL_TRACES_SAMPLER").is_none() {
            let ratio = Sampler::TraceIdRatioBased(config.sample_ratio);
            provider = provider.with_sampler(Sampler::ParentBased(Box::new(ratio)));
        }
        Ok(Some(Self { provider: provider.build(), tasks }))
    }

    /// For the gateway.
    pub fn tracing(&self) -> Tracing {
        Tracing::by(BoxedTracer::new(Box::new(self.provider.tracer("steelyard"))))
    }

    /// Sends what is left, for a moment.
    pub async fn stop(self) {
        let provider = self.provider;
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT)).await;
        self.tasks.cut();
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(limit = ?FLUSH_LIMIT, "the last traces could not be exported");
        }
    }
}

/// The way to the collector. The exporter calls it from a thread of its own, which has no runtime.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    tasks: Tasks,
    failing: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sending = {
            let _within = self.runtime.enter();
            self.tasks.spawn(send(client, request))
        };
        let sent = match sending.await {
            Ok(Some(sent)) => sent.map_err(HttpError::from),
            Ok(None) | Err(_) => Err("the server has stopped".into()),
        };
        self.note(&sent);
        sent
    }
}

impl Collector {
    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let problem = match sent {
            Ok(response) if response.status().is_success() => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces can be exported again");
                }
                return;
            }
            Ok(response) => format!("the collector answers with status {}", response.status()),
            Err(error) => causes(&**error),
        };
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = problem, "traces cannot be exported: they are dropped until they can");
        }
    }
}

async fn send(client: reqwest::Client, request: reqwest::Request) -> reqwest::Result<Response<Bytes>> {
    // The address may hold what is nobody's business.
    let response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    *answer.body_mut() = response.bytes().await.map_err(reqwest::Error::without_url)?;
    Ok(answer)
}

/// An error with everything beneath it.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
