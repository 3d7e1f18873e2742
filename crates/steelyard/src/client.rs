//! The command line's way to a running server: one HTTP client, and failures in plain words.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

/// How long a management request may take. Calls of models have no such limit.
const MANAGEMENT: Duration = Duration::from_mins(1);

/// Talks to one server with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    secret: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A refusal by the server, as it put it.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}{}", code.as_ref().map_or_else(String::new, |code| format!(" ({code})")), remedy(*status))]
pub struct Refused {
    /// The HTTP status.
    pub status: StatusCode,
    /// `SY0102`, or the dialect's word.
    pub code: Option<String>,
    /// What the server says.
    pub message: String,
}

fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => {
            "; set STEELYARD_API_KEY (or STEELYARD_ADMIN_KEY for management) to a key of this server"
        }
        StatusCode::FORBIDDEN => {
            "; set STEELYARD_ADMIN_KEY to the server's admin key, kept in admin.key in its data directory"
        }
        _ => "",
    }
}

impl Client {
    /// A client of the server at `url` (`http://127.0.0.1:7300`; a trailing `/v1` does no harm).
    pub fn new(url: &str, secret: &str) -> anyhow::Result<Self> {
        let base = base_of(url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("steelyard-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10));
        if is_local(&base) {
            // A proxy for the outside world has no business with a server on this machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().context("the HTTP client cannot be built")?;
        Ok(Self { http, base, secret: secret.to_owned() })
    }

    /// The server's URL, without a path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET of the management API; `path` is relative to `/api/v1`.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.management(self.request(Method::GET, &format!("/api/v1{path}")).query(query)).await
    }

    /// A request of the management API with a body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: &Value,
    ) -> anyhow::Result<Value> {
        self.management(self.request(method, &format!("/api/v1{path}")).query(query).json(body)).await
    }

    /// DELETE of the management API.
    pub async fn delete(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<()> {
        self.management(self.request(Method::DELETE, &format!("/api/v1{path}")).query(query))
            .await
            .map(|_| ())
    }

    /// A request of any path, with the key set.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.secret)
    }

    async fn management(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = self.open(request.timeout(MANAGEMENT)).await?;
        let bytes = response.bytes().await.map_err(|error| self.broken(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| self.stranger("its answer is not JSON"))
    }

    /// Sends a request; a refusal is an error, a good answer is left to be read.
    pub async fn open(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_default();
        Err(self.refused(status, &headers, &body))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> anyhow::Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |field: &str| body["error"][field].as_str().map(str::to_owned);
        match text("message") {
            Some(message) => Refused { status, code: text("code"), message }.into(),
            None if headers.contains_key("x-steelyard-request-id") => {
                anyhow::anyhow!("the server at {} answered {} without a reason", self.base, status.as_u16())
            }
            None => self.stranger(&format!("it answered {}", status.as_u16())),
        }
    }

    fn stranger(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!(
            "what listens at {} does not look like Steelyard ({what}): is STEELYARD_URL right?",
            self.base
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let base = &self.base;
        let message = if error.is_connect() {
            format!("no server answers at {base}: start one with `steelyard serve`, or set STEELYARD_URL")
        } else if error.is_timeout() {
            format!("the server at {base} did not answer in time: see its log")
        } else {
            format!("the server at {base} broke off: see its log")
        };
        with_cause(error, &message)
    }

    /// What an answer that ends too early means.
    pub fn broken(&self, error: &reqwest::Error) -> anyhow::Error {
        with_cause(error, &format!("the answer of the server at {} broke off", self.base))
    }
}

/// A server's URL without a path.
///
/// # Errors
/// When it is none that a server can have.
pub fn base_of(url: &str) -> anyhow::Result<String> {
    let base = url.trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base);
    let Ok(parsed) = reqwest::Url::parse(base) else {
        bail!("`{url}` is not a URL: set STEELYARD_URL or --url to one such as http://127.0.0.1:7300");
    };
    if !matches!(parsed.scheme(), "http" | "https") {
        bail!("`{url}` is not a URL that begins with http:// or https://: set STEELYARD_URL or --url");
    }
    Ok(base.to_owned())
}

/// The message with the first cause of it all; what lies between says nothing to a person.
fn with_cause(error: &reqwest::Error, message: &str) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    anyhow::anyhow!("{message} ({cause})")
}

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            write!(segment, "%{byte:02X}").expect("a string takes every text");
        }
    }
    segment
}

/// Whether a URL names this machine.
fn is_local(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The environment variables that hold keys, read where a test can set them.
pub trait Variables {
    /// A variable with a value.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Those of this process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Variables for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The management API: the admin key first.
    Management,
    /// Calls of models: an ordinary key first.
    Calls,
}

/// The key to present at `url`. The file `admin.key` is offered to a server on this machine only: elsewhere it would be
/// given away.
pub fn find_key(
    purpose: Purpose,
    url: &str,
    data_dir: Option<&Path>,
    variables: &dyn Variables,
) -> anyhow::Result<String> {
    let names = match purpose {
        Purpose::Management => ["STEELYARD_ADMIN_KEY", "STEELYARD_API_KEY"],
        Purpose::Calls => ["STEELYARD_API_KEY", "STEELYARD_ADMIN_KEY"],
    };
    if let Some(key) = names.iter().find_map(|name| variables.variable(name)) {
        return Ok(key);
    }
    let file = data_dir.filter(|_| is_local(url)).map(|path| path.join("admin.key"));
    if let Some(key) = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) {
        let key = key.trim();
        if !key.is_empty() {
            return Ok(key.to_owned());
        }
    }
    let looked =
        file.map_or_else(String::new, |file| format!(" (and there is no readable {})", file.display()));
    match purpose {
        Purpose::Management => bail!(
            "no key to present: set STEELYARD_ADMIN_KEY or STEELYARD_API_KEY to the server's admin key{looked}"
        ),
        Purpose::Calls => bail!("no key to present: set STEELYARD_API_KEY to a key of this server{looked}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Set(&'static [(&'static str, &'static str)]);

    impl Variables for Set {
        fn variable(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }
    }

    const HERE: &str = "http://127.0.0.1:7300";

    #[test]
    fn each_purpose_prefers_its_own_key() {
        let both = Set(&[("STEELYARD_ADMIN_KEY", "admin"), ("STEELYARD_API_KEY", "app")]);
        assert_eq!(find_key(Purpose::Management, HERE, None, &both).unwrap(), "admin");
        assert_eq!(find_key(Purpose::Calls, HERE, None, &both).unwrap(), "app");
    }

    #[test]
    fn the_admin_key_file_is_not_given_to_strangers() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("admin.key"), "from-file\n").unwrap();
        let find = |url: &str| find_key(Purpose::Management, url, Some(folder.path()), &Set(&[]));
        assert_eq!(find(HERE).unwrap(), "from-file");
        assert_eq!(find("http://localhost:1").unwrap(), "from-file");
        assert_eq!(find("http://[::1]:1").unwrap(), "from-file");
        let error = find("https://gate.example").unwrap_err().to_string();
        assert!(error.contains("STEELYARD_ADMIN_KEY") && error.contains("STEELYARD_API_KEY"), "{error}");
    }

    #[test]
    fn refusals_name_the_remedy() {
        let client = Client::new("http://127.0.0.1:7300/v1/", "k").unwrap();
        assert_eq!(client.base(), HERE);
        let body = br#"{"error":{"code":"SY0102","message":"the key is unknown"}}"#;
        let error = client.refused(StatusCode::UNAUTHORIZED, &HeaderMap::new(), body).to_string();
        assert!(error.starts_with("the key is unknown (SY0102); set STEELYARD_API_KEY"), "{error}");
        let error = client.refused(StatusCode::NOT_FOUND, &HeaderMap::new(), b"<html>").to_string();
        assert!(error.contains("does not look like Steelyard"), "{error}");
    }

    #[test]
    fn names_are_one_segment_whatever_they_hold() {
        assert_eq!(segment("my app/ä"), "my%20app%2F%C3%A4");
    }

    #[test]
    fn urls_that_cannot_be_used_are_named() {
        for url in ["banana", "", "ftp://x", "localhost:7300"] {
            let error = Client::new(url, "k").unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{url}` is not a URL")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_missing() {
        let client = Client::new("http://127.0.0.1:1", "k").unwrap();
        let error = client.get("/keys", &[]).await.unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:1") && error.contains("steelyard serve"), "{error}");
    }
}
