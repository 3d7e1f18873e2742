//! OpenAI's routes: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::Dialect;
use steelyard_gateway::Endpoint;

use crate::app::App;
use crate::dialect::call::{Entrance, authenticate, error_response, request_id, serve};
use crate::dialect::{anthropic, gemini};

const DIALECT: Dialect = Dialect::OpenAiChat;

pub(crate) async fn chat(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(&app, Entrance::plain(DIALECT, Endpoint::Chat), request).await
}

pub(crate) async fn embeddings(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(&app, Entrance::plain(DIALECT, Endpoint::Embeddings), request).await
}

/// The models a key may call.
pub(crate) async fn models(State(app): State<Arc<App>>, request: Request) -> Response {
    if gemini::is_asked(&request) {
        return gemini::models(State(app), request).await;
    }
    let (id, is_anthropics) = (request_id(&request), anthropic::is_asked(&request));
    let (head, body) = request.into_parts();
    let known = authenticate(&app, &head, body, app.gateway.clock().now()).await.map(drop);
    if is_anthropics {
        return anthropic::models(&app, id, &head, known);
    }
    let snapshot = app.gateway.snapshot();
    match known {
        Ok(()) => {
            let data: Vec<_> = snapshot.listed_names().iter().map(|name| describe(&snapshot, name)).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
        Err(error) => error_response(DIALECT, &error, id),
    }
}

/// One model. Its name may hold slashes.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    if gemini::is_asked(&request) {
        return gemini::model(State(app), request).await;
    }
    let (id, is_anthropics) = (request_id(&request), anthropic::is_asked(&request));
    let (head, body) = request.into_parts();
    let known = authenticate(&app, &head, body, app.gateway.clock().now()).await.map(drop);
    if is_anthropics {
        return anthropic::model(&app, id, name.ok().map(|Path(name)| name), known);
    }
    if let Err(error) = known {
        return error_response(DIALECT, &error, id);
    }
    let snapshot = app.gateway.snapshot();
    let Ok(Path(name)) = name else {
        let text = "the model's name in the path is not UTF-8 under its percent-encoding";
        return error_response(
            DIALECT,
            &ApiError::new(ErrorCode::UnknownModel, text).with_param("model"),
            id,
        );
    };
    if snapshot.resolve(&name).is_some() {
        return Json(describe(&snapshot, &name)).into_response();
    }
    let shown: String = name.chars().take(120).collect();
    let text = format!("the model `{shown}` does not exist here: list what there is with GET /v1/models");
    error_response(DIALECT, &ApiError::new(ErrorCode::UnknownModel, text).with_param("model"), id)
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
