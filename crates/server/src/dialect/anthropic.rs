//! Anthropic's routes: `/v1/messages`, `/v1/messages/count_tokens`, and `/v1/models` for clients that say
//! `anthropic-version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;
use steelyard_gateway::Endpoint;
use steelyard_gateway::snapshot::Snapshot;

use crate::app::App;
use crate::dialect::call::{Entrance, add_own_id, error_response, serve};

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// A page of models has so many unless the client asks for another number.
const PAGE: usize = 20;
/// And at most so many (Anthropic's API reference, "List Models").
const LARGEST_PAGE: usize = 1000;

pub(crate) async fn messages(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(&app, Entrance::plain(DIALECT, Endpoint::Chat), request).await
}

pub(crate) async fn count_tokens(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(&app, Entrance::plain(DIALECT, Endpoint::CountTokens), request).await
}

/// Whether the client speaks Anthropic's wire, on a path that others use too.
pub(crate) fn is_asked(request: &Request) -> bool {
    request.headers().contains_key("anthropic-version")
}

/// The models a key may call, page by page. `known`: whether it is a good one.
pub(crate) fn models(
    app: &App,
    id: RequestId,
    head: &request::Parts,
    known: Result<(), ApiError>,
) -> Response {
    listed(app, id, known, |snapshot| {
        let query: Vec<(String, String)> = head
            .uri
            .query()
            .map(|query| form_urlencoded::parse(query.as_bytes()).into_owned().collect())
            .unwrap_or_default();
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let names = snapshot.listed_names();
        let place = |name: &str| names.iter().position(|known| **known == *name);
        let limit = match asked("limit").map(str::parse::<usize>) {
            None => PAGE,
            Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
            Some(_) => {
                let text = "`limit` must be between 1 and 1000";
                return Err(ApiError::new(ErrorCode::InvalidField, text).with_param("limit"));
            }
        };
        let (page, more) = if let Some(before) = asked("before_id").and_then(place) {
            let from = before.saturating_sub(limit);
            (&names[from..before], from > 0)
        } else {
            let from = asked("after_id").and_then(place).map_or(0, |place| place + 1);
            let to = names.len().min(from + limit);
            (&names[from..to], to < names.len())
        };
        Ok(json!({
            "data": page.iter().map(|name| describe(name)).collect::<Vec<_>>(),
            "has_more": more,
            "first_id": page.first(),
            "last_id": page.last(),
        }))
    })
}

/// One model.
pub(crate) fn model(app: &App, id: RequestId, name: Option<String>, known: Result<(), ApiError>) -> Response {
    listed(app, id, known, |snapshot| {
        let name = name.filter(|name| snapshot.resolve(name).is_some()).ok_or_else(|| {
            let text = "the model does not exist here: list what there is with GET /v1/models";
            ApiError::new(ErrorCode::UnknownModel, text).with_param("model")
        })?;
        Ok(describe(&name))
    })
}

fn listed(
    app: &App,
    id: RequestId,
    known: Result<(), ApiError>,
    answer: impl FnOnce(&Snapshot) -> Result<Value, ApiError>,
) -> Response {
    match known.and_then(|()| answer(&app.gateway.snapshot())) {
        Ok(value) => {
            let mut response = Json(value).into_response();
            add_own_id(response.headers_mut(), DIALECT, id);
            response
        }
        Err(error) => error_response(DIALECT, &error, id),
    }
}

/// Anthropic's shape wants a date of creation, which is not known here: the beginning of time, as for its aliases.
fn describe(name: &str) -> Value {
    json!({ "type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z" })
}
