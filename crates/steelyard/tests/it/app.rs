//! What every test begins with: a vendor, a server before it, and the usual requests.

use serde_json::{Value, json};
use steelyard_testkit::{Answer, Cli, Config, Entry, Steelyard, Store, Upstream, Wire};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_steelyard");

/// A sort of vendor, which clients of OpenAI's wire call.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) wire: Wire,
    /// Declares its channel: its name, the vendor, further lines.
    pub(crate) declare: fn(Config, &str, &Upstream, &str) -> Config,
}

impl Account {
    pub(crate) const COMPATIBLE: Self = Self { wire: Wire::OpenAi, declare: Config::channel };
    pub(crate) const AZURE: Self = Self { wire: Wire::OpenAi, declare: Config::azure };
    pub(crate) const GEMINI: Self = Self { wire: Wire::Gemini, declare: Config::channel };
}

/// A server with one vendor behind it.
pub(crate) struct App {
    pub(crate) server: Steelyard,
    pub(crate) up: Upstream,
}

/// A server with [`Config::simple`]: route `smart`, channel `up`, models `m` and `e` at $1 and $2 per million tokens.
pub(crate) async fn app() -> App {
    app_with(|config| config).await
}

/// The same with more configuration.
pub(crate) async fn app_with(change: impl FnOnce(Config) -> Config) -> App {
    let up = Upstream::start().await;
    let server = serve(&change(Config::simple(&up))).await;
    App { server, up }
}

/// [`app`] with its ledger in a certain store; none where there is no PostgreSQL to try it on.
pub(crate) async fn app_on(store: Store) -> Option<App> {
    let up = Upstream::start().await;
    let server = Steelyard::start_on(store, BINARY, &Config::simple(&up), &[]).await?;
    Some(App { server, up })
}

/// Makes two tests of each function that takes a [`Store`].
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(steelyard_testkit::Store::Sqlite).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(steelyard_testkit::Store::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_each_store;

/// A server with exactly this configuration.
pub(crate) async fn serve(config: &Config) -> Steelyard {
    Steelyard::start(BINARY, config).await
}

/// The command line without a server.
pub(crate) fn cli() -> Cli {
    Cli::new(BINARY.as_ref())
}

impl App {
    /// No call in flight, no answer under way at the vendor, at most one idle connection to it.
    pub(crate) async fn is_clean(&self) {
        self.server.is_quiet().await;
        self.up.is_idle(1).await;
    }

    /// The only entry, once everything is over and clean.
    pub(crate) async fn only_entry(&self) -> Entry {
        let entry = self.server.only_entry().await;
        self.up.is_idle(1).await;
        entry
    }
}

/// A chat request.
pub(crate) fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

/// A chat request for a stream without usage figures.
pub(crate) fn ask_stream(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = json!(true);
    body
}

/// A chat request for a stream with usage figures.
pub(crate) fn ask_usage(model: &str) -> Value {
    let mut body = ask_stream(model);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// The answer is an error in OpenAI's shape with this status and this code of Steelyard's.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{code} expected: {}", answer.text());
    assert!(answer.request_id().starts_with("req_"), "{answer:?}");
    let body = answer.json();
    is_openai_error(&body["error"]);
    assert!(carries(answer, code), "{code} expected: {}", answer.text());
}

/// Whether an error carries this code of Steelyard's.
pub(crate) fn carries(answer: &Answer, code: &str) -> bool {
    let in_header = answer.headers.values().any(|value| value.as_bytes() == code.as_bytes());
    in_header || answer.text().contains(code)
}

/// All four keys of OpenAI's error object are there, and the message says something.
#[track_caller]
pub(crate) fn is_openai_error(error: &Value) {
    let object = error.as_object().unwrap_or_else(|| panic!("no error object: {error}"));
    for key in ["message", "type", "param", "code"] {
        assert!(object.contains_key(key), "the error has no `{key}`: {error}");
    }
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert!(error["type"].is_string(), "{error}");
}

/// The stream broke off: its last event is an error, and no `[DONE]` pretends otherwise.
#[track_caller]
pub(crate) fn broke_off(answer: &Answer, code: &str) {
    let events = answer.events();
    assert!(!events.iter().any(|event| event == "[DONE]"), "a broken stream looks complete: {events:?}");
    let last = events.last().unwrap_or_else(|| panic!("no event at all: {}", answer.text()));
    let last: Value =
        serde_json::from_str(last).unwrap_or_else(|_| panic!("the last event is no JSON: {events:?}"));
    is_openai_error(&last["error"]);
    assert!(last.to_string().contains(code), "{code} expected: {last}");
}

/// The entry is of a call that went well and was charged by the vendor's figures, at the prices of
/// [`Config::simple`].
#[track_caller]
pub(crate) fn charged(entry: &Entry, input: u64, output: u64) {
    assert_eq!(entry.outcome, "ok", "{entry:#?}");
    assert_eq!(entry.basis.as_deref(), Some("reported"), "{entry:#?}");
    assert_eq!((entry.used("input"), entry.used("output")), (input, output), "{entry:#?}");
    let pico = i128::from(input) * 1_000_000 + i128::from(output) * 2_000_000;
    assert_eq!(entry.pico(), Some(pico), "{entry:#?}");
}
