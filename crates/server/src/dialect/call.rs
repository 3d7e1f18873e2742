//! The life of a request of any dialect, top to bottom: authenticate, collect, hand to the gateway, render.

use std::pin::{Pin, pin};
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::sync::Arc;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, Principal, RequestId, Timestamp};
use steelyard_dialect::Dialect;
use steelyard_dialect::sigv4::SignedRequest;
use steelyard_gateway::ReplyBody;
use steelyard_gateway::call::{Facts, shutting_down};
use steelyard_gateway::{Address, Endpoint, Inbound, Refusal, Reply, TraceContext};

use crate::app::App;
use crate::auth::sigv4;
use crate::{auth, body};

/// Where a call came in.
pub(crate) struct Entrance {
    /// The dialect of its path.
    pub(crate) dialect: Dialect,
    /// What it asks for.
    pub(crate) endpoint: Endpoint,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// Whether the path asks for a stream.
    pub(crate) stream: bool,
}

impl Entrance {
    /// A path that says nothing of its own.
    pub(crate) fn plain(dialect: Dialect, endpoint: Endpoint) -> Self {
        Self { dialect, endpoint, model: None, stream: false }
    }
}

/// Serves a call.
pub(crate) async fn serve(app: &App, entrance: Entrance, request: Request) -> Response {
    let started = Instant::now();
    let (id, dialect) = (request_id(&request), entrance.dialect);
    let answer = pin!(async {
        let inbound = admit(app, entrance, id, started, request).await?;
        let reply = app.gateway.call(inbound).await?;
        Ok(render(dialect, id, reply, Body::new))
    });
    answered(app, dialect, id, answer).await
}

/// The answer to a call, or why there is none. Shutdown waits for it, and lets no other begin.
pub(crate) async fn answered(
    app: &App,
    dialect: Dialect,
    id: RequestId,
    answer: Pin<&mut impl Future<Output = Result<Response, Box<Refusal>>>>,
) -> Response {
    let Some(_taken) = app.drain.take() else {
        let text = "this server is shutting down: try again, another may take the call";
        return refuse(dialect, id, shutting_down(text).into());
    };
    answer.await.unwrap_or_else(|refusal| refuse(dialect, id, refusal))
}

/// An authenticated call, its body whole.
pub(crate) async fn admit(
    app: &App,
    entrance: Entrance,
    id: RequestId,
    started: Instant,
    request: Request,
) -> Result<Inbound, ApiError> {
    let time = app.gateway.clock().now();
    let (head, body) = request.into_parts();
    let (principal, body) = authenticate(app, &head, body, time).await?;
    let strict = is_strict(&head.headers)?;
    let trace = TraceContext::of(&head.headers);
    let Entrance { dialect, endpoint, model, stream } = entrance;
    let mut headers = HeaderMap::new();
    for name in dialect.own_headers() {
        for value in head.headers.get_all(*name) {
            headers.append(HeaderName::from_static(name), value.clone());
        }
    }
    let address = Address { model, stream, headers };
    let kept = None;
    Ok(Inbound {
        request_id: id,
        time,
        started,
        principal,
        dialect,
        endpoint,
        body,
        address,
        kept,
        strict,
        trace,
    })
}

/// The header by which a call would rather be refused than lose anything.
const STRICT: &str = "x-steelyard-strict";

/// Whether it is asked for. Whoever writes it otherwise means it, and is told rather than passed over.
fn is_strict(headers: &HeaderMap) -> Result<bool, ApiError> {
    let mut strict = false;
    for value in headers.get_all(STRICT) {
        match value.as_bytes() {
            word if word.eq_ignore_ascii_case(b"true") => strict = true,
            word if word.eq_ignore_ascii_case(b"false") => {}
            word => {
                let word = String::from_utf8_lossy(word);
                let text = format!("the header `{STRICT}` is `{word}`: expected true or false");
                return Err(ApiError::new(ErrorCode::InvalidField, text).with_param(STRICT));
            }
        }
    }
    Ok(strict)
}

/// Who calls, and the body: a stranger's is not worth reading, and a signature covers it as it came.
pub(crate) async fn authenticate(
    app: &App,
    head: &request::Parts,
    body: Body,
    now: Timestamp,
) -> Result<(Arc<Principal>, Bytes), ApiError> {
    let limit = app.limits.max_body;
    let snapshot = app.gateway.snapshot();
    let signed = SignedRequest::of(head);
    if let Some(claim) = sigv4::claim(&snapshot, &signed, now) {
        let claim = claim?;
        let raw = arrived(app, head, body).await?;
        let principal = claim.prove(&app.signing_keys, &signed, &raw, now)?;
        return Ok((principal, body::decoded(&head.headers, raw, limit)?));
    }
    let principal = auth::authenticate(&snapshot, &head.headers, head.uri.query(), now)?;
    drop(snapshot);
    let raw = arrived(app, head, body).await?;
    Ok((principal, body::decoded(&head.headers, raw, limit)?))
}

/// A body, for which shutdown waits no longer than for an answer.
async fn arrived(app: &App, head: &request::Parts, body: Body) -> Result<Bytes, ApiError> {
    let reading = pin!(body::read(&head.headers, body, app.limits.max_body, app.limits.body_wait));
    app.gateway.tasks().until_cut(reading).await.unwrap_or_else(|| {
        let text = "this server is shutting down and does not wait any longer for the rest of the request: try again, another may take the call";
        Err(shutting_down(text))
    })
}

/// An answer, whose body `carry` hands on.
pub(crate) fn render(
    dialect: Dialect,
    id: RequestId,
    reply: Reply,
    carry: impl FnOnce(ReplyBody) -> Body,
) -> Response {
    let Reply { facts, headers, body } = reply;
    let stream = body.is_stream();
    let mut response = Response::new(carry(body));
    *response.headers_mut() = headers;
    let out = response.headers_mut();
    if stream {
        out.insert(CONTENT_TYPE, stream_type(dialect));
        if dialect == Dialect::BedrockInvokeAnthropic {
            // The type of what the chunks carry.
            out.insert("x-amzn-bedrock-content-type", HeaderValue::from_static("application/json"));
        }
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        out.insert("x-accel-buffering", HeaderValue::from_static("no"));
    } else {
        out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    add_facts(out, &facts);
    add_own_id(out, dialect, id);
    response
}

fn stream_type(dialect: Dialect) -> HeaderValue {
    match dialect {
        Dialect::OpenAiChat
        | Dialect::OpenAiResponses
        | Dialect::AnthropicMessages
        | Dialect::GeminiGenerate => HeaderValue::from_static("text/event-stream; charset=utf-8"),
        Dialect::GeminiArray => HeaderValue::from_static("application/json; charset=utf-8"),
        Dialect::BedrockConverse | Dialect::BedrockInvokeAnthropic => {
            HeaderValue::from_static("application/vnd.amazon.eventstream")
        }
    }
}

/// The request id under the name, and in the form, that the dialect's clients read.
pub(crate) fn add_own_id(headers: &mut HeaderMap, dialect: Dialect, id: RequestId) {
    let (name, text) = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::GeminiGenerate | Dialect::GeminiArray => {
            return;
        }
        Dialect::AnthropicMessages => ("request-id", id.to_string()),
        Dialect::BedrockConverse | Dialect::BedrockInvokeAnthropic => {
            ("x-amzn-requestid", id.uuid().to_string())
        }
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(name, value);
    }
}

pub(crate) fn refuse(dialect: Dialect, id: RequestId, refusal: Box<Refusal>) -> Response {
    let Refusal { error, facts, vendor } = *refusal;
    let mut response = match vendor {
        Some((status, body)) => {
            let body = dialect.vendor_error_body(&body, &error, &id);
            let mut response = render_error(status, body);
            add_error_headers(response.headers_mut(), dialect, id, &error);
            response
        }
        None => error_response(dialect, &error, id),
    };
    add_facts(response.headers_mut(), &facts);
    response
}

/// An error in the dialect's shape.
pub(crate) fn error_response(dialect: Dialect, error: &ApiError, id: RequestId) -> Response {
    let (status, body) = dialect.error_body(error, &id);
    let mut response = render_error(status, body);
    add_error_headers(response.headers_mut(), dialect, id, error);
    response
}

fn add_error_headers(headers: &mut HeaderMap, dialect: Dialect, id: RequestId, error: &ApiError) {
    count_error(dialect, error);
    if let Some((name, value)) = dialect.error_header(error) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // Some agents try a wrong key for minutes unless they are told not to, and what was charged is charged again.
    if error.charged || matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Forbidden) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    add_own_id(headers, dialect, id);
    add_retry(headers, error);
}

pub(crate) fn count_error(dialect: Dialect, error: &ApiError) {
    metrics::counter!("steelyard_errors_total", "dialect" => dialect.name(), "code" => error.code.code())
        .increment(1);
}

fn render_error(status: StatusCode, body: Bytes) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

fn add_retry(headers: &mut HeaderMap, error: &ApiError) {
    if let Some(wait) = error.retry_after {
        // Whole seconds for everyone; milliseconds for the SDKs that read them.
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        if let Ok(millis) = u64::try_from(wait.as_millis()) {
            headers.insert("retry-after-ms", HeaderValue::from(millis));
        }
    }
    if error.code == ErrorCode::Draining || error.code == ErrorCode::BodyTooLarge {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn add_facts(headers: &mut HeaderMap, facts: &Facts) {
    let texts = [
        ("x-steelyard-route", facts.route.as_deref()),
        ("x-steelyard-channel", facts.channel.as_deref()),
        ("x-steelyard-model", facts.model.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if facts.attempts > 0 {
        headers.insert("x-steelyard-attempts", HeaderValue::from(facts.attempts));
    }
    if let Some(value) = loss_header(&facts.losses) {
        headers.insert("x-steelyard-loss", value);
    }
    if let Some(value) = facts.cost.and_then(|cost| HeaderValue::from_str(&cost.to_string()).ok()) {
        headers.insert("x-steelyard-cost-usd", value);
    }
}

/// The names of losses are a client's own words, some of them: what a header cannot bear is percent-encoded, and of more
/// than clients take in a header only the number is told, as `+12`.
fn loss_header(losses: &[String]) -> Option<HeaderValue> {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%');
    /// Node takes 16 KiB of headers in all.
    const MOST: usize = 4096;
    let mut text = String::new();
    for (number, name) in losses.iter().enumerate() {
        let name = utf8_percent_encode(name, ENCODED).to_string();
        if !text.is_empty() {
            text.push(',');
        }
        if text.len() + name.len() > MOST {
            text.push('+');
            text.push_str(&(losses.len() - number).to_string());
            break;
        }
        text.push_str(&name);
    }
    HeaderValue::from_str(&text).ok().filter(|_| !losses.is_empty())
}

/// The id that `listen` gave the request.
pub(crate) fn request_id(request: &Request) -> RequestId {
    request.extensions().get::<RequestId>().copied().unwrap_or_else(RequestId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_fit_into_a_header_whatever_they_are_called() {
        let header = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            loss_header(&names).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(&[]), None);
        assert_eq!(header(&["seed", "messages[0].name"]).as_deref(), Some("seed,messages[0].name"));
        assert_eq!(header(&["größe", "a,b\r\nx: y"]).as_deref(), Some("gr%C3%B6%C3%9Fe,a%2Cb%0D%0Ax:%20y"));
        let many = vec!["some_name"; 1000];
        let told = header(&many).unwrap();
        assert!(told.len() < 4200 && told.ends_with(",+591"), "{told}");
        assert_eq!(header(&["x".repeat(10_000).as_str()]).as_deref(), Some("+1"));
    }
}
