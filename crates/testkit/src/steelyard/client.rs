//! A small HTTP client: what came, and whether it came whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Calls a server with one credential. Every client has connections of its own.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    secret: Option<String>,
}

/// An answer that is over.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// Whether the body came to its proper end.
    pub complete: bool,
}

/// An answer that is still coming.
#[derive(Debug)]
pub struct Stream {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    read: BytesMut,
    taken: usize,
    ended: Option<bool>,
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_mins(1))
}

impl Client {
    /// A client of `base` (`http://127.0.0.1:7300`), with a bearer secret if there is one.
    pub fn new(base: String, secret: Option<String>) -> Self {
        let http = builder().http1_only().build().expect("a client without TLS can be built");
        Self { http, base, secret }
    }

    /// The same over HTTP/2 without TLS and without asking first.
    #[must_use]
    pub fn over_http2(mut self) -> Self {
        self.http = builder().http2_prior_knowledge().build().expect("a client without TLS can be built");
        self
    }

    /// The same at another base, by a client that was made for it.
    #[must_use]
    pub fn at(mut self, base: &str, http: reqwest::Client) -> Self {
        (self.base, self.http) = (base.to_owned(), http);
        self
    }

    /// A request to be made by hand, with the credential set.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// POST with a body as it is, as `application/json`.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::POST, path).header("content-type", "application/json").body(body))
            .await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST /v1/chat/completions`, read to its end, streamed or not.
    pub async fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    /// `POST /v1/chat/completions`, to be read piece by piece.
    pub async fn stream(&self, body: &Value) -> Stream {
        self.open(self.request(Method::POST, "/v1/chat/completions").json(body)).await
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.open(request).await.finish().await
    }

    /// Sends a request and leaves the body to be read.
    pub async fn open(&self, request: reqwest::RequestBuilder) -> Stream {
        let response = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        Stream {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            read: BytesMut::new(),
            taken: 0,
            ended: None,
        }
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}), status {}: {}", self.status, self.text()))
    }

    /// A header; none when absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `x-steelyard-request-id`, which every response must have.
    pub fn request_id(&self) -> &str {
        self.header("x-steelyard-request-id").unwrap_or_else(|| panic!("no x-steelyard-request-id: {self:?}"))
    }

    /// The text of the first choice, whole or gathered from the events of a stream.
    pub fn content(&self) -> String {
        if self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return content_of(&self.events());
        }
        let json = self.json();
        json["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }

    /// The data of every event of a stream, `[DONE]` included.
    pub fn events(&self) -> Vec<String> {
        events_of(&self.text()).0
    }
}

impl Stream {
    /// A header; none when absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `x-steelyard-request-id`, which every response must have.
    pub fn request_id(&self) -> String {
        self.header("x-steelyard-request-id").expect("every response has x-steelyard-request-id").to_owned()
    }

    async fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.response.chunk().await {
            Ok(Some(chunk)) => {
                self.read.extend_from_slice(&chunk);
                true
            }
            Ok(None) => {
                self.ended = Some(true);
                false
            }
            Err(_) => {
                self.ended = Some(false);
                false
            }
        }
    }

    /// The data of the next event; none at the end.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let (events, _) = events_of(&String::from_utf8_lossy(&self.read));
            if let Some(event) = events.into_iter().nth(self.taken) {
                self.taken += 1;
                return Some(event);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next event as JSON; panics at the end and on `[DONE]`.
    pub async fn next_json(&mut self) -> Value {
        let event = self.next().await.expect("another event comes");
        serde_json::from_str(&event).unwrap_or_else(|error| panic!("not JSON ({error}): {event}"))
    }

    /// Reads until `text` has come, in whatever events.
    pub async fn until(&mut self, text: &str) {
        while !content_of(&events_of(&String::from_utf8_lossy(&self.read)).0).contains(text) {
            let more = self.fill().await;
            assert!(more, "the stream ended before `{text}`: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads until these bytes have come, on whatever wire.
    pub async fn until_bytes(&mut self, text: &str) {
        while !self.read.windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            let more = self.fill().await;
            assert!(more, "the stream ended before `{text}`: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads the rest.
    pub async fn finish(mut self) -> Answer {
        while self.fill().await {}
        Answer {
            status: self.status,
            headers: self.headers,
            body: self.read.freeze(),
            complete: self.ended == Some(true),
        }
    }
}

/// The data of all finished events, and what is left behind them (HTML standard, "Server-sent events").
fn events_of(text: &str) -> (Vec<String>, String) {
    let text = text.replace("\r\n", "\n");
    let (whole, rest) = text.rsplit_once("\n\n").unwrap_or(("", &text));
    let events = whole
        .split("\n\n")
        .map(|event| {
            let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
            lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
        })
        .filter(|data| !data.is_empty())
        .collect();
    (events, rest.to_owned())
}

/// The text that the first choice's deltas make.
fn content_of(events: &[String]) -> String {
    events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| {
            let choices = event["choices"].as_array()?;
            let first = choices.iter().find(|choice| choice["index"] == 0)?;
            first["delta"]["content"].as_str().map(str::to_owned)
        })
        .collect()
}
