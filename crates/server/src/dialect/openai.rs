//! OpenAI's routes: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`.
//!
//! The life of a request is [`call`], top to bottom: authenticate, collect, hand to the gateway, render.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;
use steelyard_gateway::call::Facts;
use steelyard_gateway::{Endpoint, Inbound, Refusal, Reply};

use crate::app::App;
use crate::{auth, body};

const DIALECT: Dialect = Dialect::OpenAiChat;

pub(crate) async fn chat(State(app): State<Arc<App>>, request: Request) -> Response {
    call(&app, Endpoint::Chat, request).await
}

pub(crate) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    call(&app, Endpoint::Embeddings, request).await
}

async fn call(app: &App, endpoint: Endpoint, request: Request) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    match admit(app, endpoint, id, started, request).await {
        Ok(inbound) => match app.gateway.call(inbound).await {
            Ok(reply) => render(reply),
            Err(refusal) => refuse(id, refusal),
        },
        Err(error) => refuse(id, error.into()),
    }
}

/// Authentication first: a stranger's body is not worth reading.
async fn admit(
    app: &App,
    endpoint: Endpoint,
    id: RequestId,
    started: Instant,
    request: Request,
) -> Result<Inbound, ApiError> {
    if app.drain.has_begun() {
        let text = "this server is shutting down: try again, another may take the call";
        return Err(ApiError::new(ErrorCode::Draining, text));
    }
    let time = app.gateway.clock().now();
    let (head, body) = request.into_parts();
    let snapshot = app.gateway.snapshot();
    let principal = auth::authenticate(&snapshot, &head.headers, head.uri.query(), time)?;
    drop(snapshot);
    let body = body::collect(&head.headers, body, app.limits.max_body, app.limits.body_wait).await?;
    let strict = head
        .headers
        .get("x-steelyard-strict")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    Ok(Inbound { request_id: id, time, started, principal, dialect: DIALECT, endpoint, body, strict })
}

fn render(reply: Reply) -> Response {
    let Reply { facts, headers, body } = reply;
    let stream = body.is_stream();
    let mut response = Response::new(Body::new(body));
    *response.headers_mut() = headers;
    let out = response.headers_mut();
    if stream {
        out.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        out.insert("x-accel-buffering", HeaderValue::from_static("no"));
    } else {
        out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    add_facts(out, &facts);
    response
}

fn refuse(id: RequestId, refusal: Box<Refusal>) -> Response {
    let Refusal { error, facts, vendor } = *refusal;
    let mut response = match vendor {
        Some((status, body)) => render_error(status, DIALECT.vendor_error_body(&body, &error, &id)),
        None => error_response(&error, id),
    };
    add_retry(response.headers_mut(), &error);
    add_facts(response.headers_mut(), &facts);
    response
}

/// An error in OpenAI's shape.
pub(crate) fn error_response(error: &ApiError, id: RequestId) -> Response {
    let (status, body) = DIALECT.error_body(error, &id);
    let mut response = render_error(status, body);
    add_retry(response.headers_mut(), error);
    response
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
        headers.insert(axum::http::header::CONNECTION, HeaderValue::from_static("close"));
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
    if !facts.losses.is_empty()
        && let Ok(value) = HeaderValue::from_str(&facts.losses.join(","))
    {
        headers.insert("x-steelyard-loss", value);
    }
    if let Some(value) = facts.cost.and_then(|cost| HeaderValue::from_str(&cost.to_string()).ok()) {
        headers.insert("x-steelyard-cost-usd", value);
    }
}

/// The models a key may call.
pub(crate) async fn models(State(app): State<Arc<App>>, request: Request) -> Response {
    let id = request_id(&request);
    let snapshot = app.gateway.snapshot();
    let now = app.gateway.clock().now();
    match auth::authenticate(&snapshot, request.headers(), request.uri().query(), now) {
        Ok(_) => {
            let data: Vec<_> = snapshot.listed_names().iter().map(|name| describe(&snapshot, name)).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
        Err(error) => error_response(&error, id),
    }
}

/// One model. Its name may hold slashes.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let id = request_id(&request);
    let snapshot = app.gateway.snapshot();
    let now = app.gateway.clock().now();
    if let Err(error) = auth::authenticate(&snapshot, request.headers(), request.uri().query(), now) {
        return error_response(&error, id);
    }
    let Ok(Path(name)) = name else {
        let text = "the model's name in the path is not UTF-8 under its percent-encoding";
        return error_response(&ApiError::new(ErrorCode::UnknownModel, text).with_param("model"), id);
    };
    if snapshot.resolve(&name).is_some() {
        return Json(describe(&snapshot, &name)).into_response();
    }
    let shown: String = name.chars().take(120).collect();
    let text = format!("the model `{shown}` does not exist here: list what there is with GET /v1/models");
    error_response(&ApiError::new(ErrorCode::UnknownModel, text).with_param("model"), id)
}

fn describe(snapshot: &steelyard_gateway::snapshot::Snapshot, name: &str) -> serde_json::Value {
    let route = snapshot.resolve(name);
    let offer = route.as_ref().and_then(|route| route.targets.first()).map(|target| &target.offer);
    let owner = offer.map_or("steelyard", |offer| {
        offer.model.as_ref().map_or(&*offer.channel.name, |model| &*model.vendor)
    });
    // OpenAI's shape wants a date of creation, which is not known here.
    json!({ "id": name, "object": "model", "created": 0, "owned_by": owner })
}

/// The id that `listen` gave the request.
pub(crate) fn request_id(request: &Request) -> RequestId {
    request.extensions().get::<RequestId>().copied().unwrap_or_else(RequestId::new)
}
