//! The shape of `steelyard.toml`. Doc comments here are the reference page.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steelyard_gateway::spec::{ByteSize, ChannelSpec, PriceSpec, RouteSpec, SecretRef, Span};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener, its limits, and the log.
    pub server: ServerConfig,
    /// How calls are recorded.
    pub ledger: LedgerConfig,
    /// Where traces of calls go.
    pub telemetry: TelemetryConfig,
    /// Where projects, keys and the ledger are kept.
    pub store: StoreConfig,
    /// What is kept of OpenAI's Responses between calls.
    pub responses: ResponsesConfig,
    /// Accounts at providers.
    pub channels: Vec<ChannelSpec>,
    /// Names that clients call, and where they lead.
    pub routes: Vec<RouteSpec>,
    /// Prices of your own.
    pub prices: Vec<PriceSpec>,
}

/// The listener, its limits, and the log. Changes take effect at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port. Port 0 takes a free one. Also `STEELYARD_LISTEN` and `--listen`.
    pub listen: String,
    /// A second listener, which speaks TLS. None: there is none.
    pub tls: Option<TlsConfig>,
    /// Largest request body, after decoding. A body is in memory while its call is open.
    pub max_body: ByteSize,
    /// Until the head of a request has arrived. On a connection that is kept open, the idle time before it counts: set
    /// it above the idle time of a load balancer in front.
    pub header_timeout: Span,
    /// Until the body of a request has arrived whole.
    pub body_timeout: Span,
    /// How long calls in flight may take to end once the server has been asked to stop.
    pub drain_timeout: Span,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by target
    /// (`info,steelyard_gateway=debug`). Also `STEELYARD_LOG`.
    pub log: String,
    /// How log lines look. Also `--log-format`.
    pub log_format: LogFormat,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7300".to_owned(),
            tls: None,
            max_body: ByteSize(64 << 20),
            header_timeout: Span(Duration::from_secs(75)),
            body_timeout: Span(Duration::from_mins(1)),
            drain_timeout: Span(Duration::from_secs(30)),
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
        }
    }
}

/// A listener that speaks TLS, beside the plain one: HTTP/1.1 and HTTP/2 by ALPN. It needs a certificate: `cert` and
/// `key`, or `self_signed`. The files are read again when they change; connections that are open stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Address and port. Port 0 takes a free one.
    pub listen: String,
    /// PEM file with the certificate, followed by those between it and the authority that clients trust. Relative paths
    /// start at the configuration's folder.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of `cert`.
    pub key: Option<PathBuf>,
    /// For development: a certificate made by Steelyard itself and kept in the data directory, in `tls/cert.pem`, which
    /// clients must be told to trust. It is made anew a month before its end.
    pub self_signed: bool,
    /// Host names and addresses that the self-signed certificate holds for, beside `localhost`, `127.0.0.1`, `::1` and
    /// the machine's name.
    pub names: Vec<String>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7343".to_owned(),
            cert: None,
            key: None,
            self_signed: false,
            names: Vec::new(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `pretty` when stderr is a terminal, `json` otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// How calls are recorded. Changes take effect at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// What a record survives.
    pub durability: Durability,
    /// How many calls may be open or wait to be moved into the ledger; further calls are refused, so that none goes
    /// unrecorded. A waiting call takes about 2 KB of disk.
    pub capacity: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { durability: Durability::Process, capacity: 1_000_000 }
    }
}

/// Where projects, keys and the ledger are kept: in SQLite in the data directory, or in PostgreSQL. Changes take effect
/// at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// A database of PostgreSQL, `postgres://user:password@host:5432/database`: `env:NAME`, `file:PATH`, or the URL
    /// itself. Without one, SQLite. Also `STEELYARD_STORE_URL`.
    pub url: Option<SecretRef>,
    /// Connections to PostgreSQL at most, and one more that fills the ledger.
    pub max_connections: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: None, max_connections: 8 }
    }
}

/// What is kept of OpenAI's Responses between calls: the answers of calls that do not say `"store": false`, sealed, in the
/// database. Changes take effect at the next start, for what is stored from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponsesConfig {
    /// Whether answers are stored at all. Without, nothing is, neither here nor at the vendor, and answers say
    /// `"store": false`.
    pub store: bool,
    /// How long an answer is kept after the last call that went on from it: 30 days, unless it is said otherwise.
    pub retention: Span,
}

impl Default for ResponsesConfig {
    fn default() -> Self {
        Self { store: true, retention: Span(Duration::from_hours(30 * 24)) }
    }
}

/// What a record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The end of the process in any way, `kill -9` included.
    #[default]
    Process,
    /// The loss of power as well; each call waits for the disk.
    Power,
}

/// Traces of calls, for OpenTelemetry. None are made unless there is an endpoint. Changes take effect at the next start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// A collector that takes OTLP over HTTP, such as `http://localhost:4318`. Without a path, `/v1/traces` is added. Also
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (as it is), or `OTEL_EXPORTER_OTLP_ENDPOINT` (with `/v1/traces` added).
    pub otlp_endpoint: Option<String>,
    /// What this server is called in traces. Also `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// The share of calls that are traced, from 0 to 1. A caller that sends a trace context has decided for its call.
    /// `OTEL_TRACES_SAMPLER` takes its place.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, service_name: "steelyard".to_owned(), sample_ratio: 1.0 }
    }
}

impl TelemetryConfig {
    /// Where traces are sent, whole; none when none are made.
    pub fn traces_url(&self) -> Option<String> {
        let url = self.otlp_endpoint.as_deref()?;
        let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        Some(if has_path { url.to_owned() } else { format!("{url}{TRACES_PATH}") })
    }
}

/// The path of traces at a collector (OTLP specification, "OTLP/HTTP Request").
pub(crate) const TRACES_PATH: &str = "/v1/traces";
