//! OpenAI's `/v1/responses`. No answer is kept, so there is none to fetch, to cancel or to delete.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::Dialect;
use steelyard_gateway::Endpoint;

use crate::app::App;
use crate::dialect::call::{Entrance, authenticate, error_response, request_id, serve};

const DIALECT: Dialect = Dialect::OpenAiResponses;

pub(crate) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(&app, Entrance::plain(DIALECT, Endpoint::Chat), request).await
}

/// An answer that was given earlier, or what belongs to it.
pub(crate) async fn stored(State(app): State<Arc<App>>, request: Request) -> Response {
    let id = request_id(&request);
    let (head, body) = request.into_parts();
    let known = authenticate(&app, &head, body, app.gateway.clock().now()).await;
    let error = known.err().unwrap_or_else(|| {
        let path: String = head.uri.path().chars().take(200).collect();
        let text = format!(
            "there is no {} {path} here: answers are not stored, whatever `store` says; keep what you got, and send the \
             whole conversation in `input`",
            head.method
        );
        ApiError::new(ErrorCode::UnknownPath, text)
    });
    error_response(DIALECT, &error, id)
}
