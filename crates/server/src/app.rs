//! What the routes share, and the table of routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_gateway::Gateway;

use crate::auth::SigningKeys;
use crate::control::Control;
use crate::dialect::openai_responses;
pub use crate::dialect::openai_responses::busy::Busy;
use crate::drain::Drain;
use crate::{api, dialect, head, health, scrape};

/// Limits on what a client may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body, after decoding.
    pub max_body: usize,
    /// Until a body has arrived whole.
    pub body_wait: Duration,
}

/// What the routes share.
pub struct App {
    /// The data plane.
    pub gateway: Arc<Gateway>,
    /// The control plane.
    pub control: Control,
    /// Limits on requests.
    pub limits: Limits,
    /// How long answers of the Responses API are kept; not at all if it is zero.
    pub retention: Duration,
    /// Conversations in which a call is under way.
    pub busy: Busy,
    /// Whether the server is shutting down.
    pub drain: Drain,
    /// Keys derived from the secrets of AWS-style key pairs.
    pub signing_keys: SigningKeys,
    /// Metrics.
    pub recorder: PrometheusHandle,
}

impl App {
    /// The table of routes. Prefixes serve clients whose base URL needs one.
    pub fn router(self: Arc<Self>) -> Router {
        let mut router = Router::new();
        // Without `nest`, which would take the prefix out of the path that a signature covers.
        for prefix in ["/v1", "/openai/v1", "/anthropic/v1"] {
            router = router
                .route(&format!("{prefix}/chat/completions"), post(dialect::openai::chat))
                .route(&format!("{prefix}/embeddings"), post(dialect::openai::embeddings))
                .route(&format!("{prefix}/models"), get(dialect::openai::models))
                .route(&format!("{prefix}/models/{{*name}}"), get(dialect::openai::model));
        }
        for prefix in ["/v1", "/openai/v1"] {
            router = router
                .route(&format!("{prefix}/responses"), post(openai_responses::create))
                .route(&format!("{prefix}/responses/input_tokens"), post(openai_responses::input_tokens))
                .route(
                    &format!("{prefix}/responses/{{id}}"),
                    get(openai_responses::stored::get).delete(openai_responses::stored::delete),
                )
                .route(
                    &format!("{prefix}/responses/{{id}}/input_items"),
                    get(openai_responses::stored::input_items),
                )
                .route(&format!("{prefix}/responses/{{id}}/cancel"), post(openai_responses::stored::cancel));
        }
        for prefix in ["/v1", "/openai/v1"] {
            use crate::dialect::openai_conversations as conversations;
            router = router
                .route(&format!("{prefix}/conversations"), post(conversations::create))
                .route(
                    &format!("{prefix}/conversations/{{id}}"),
                    get(conversations::get).post(conversations::update).delete(conversations::delete),
                )
                .route(
                    &format!("{prefix}/conversations/{{id}}/items"),
                    get(conversations::items).post(conversations::add),
                )
                .route(
                    &format!("{prefix}/conversations/{{id}}/items/{{item}}"),
                    get(conversations::item).delete(conversations::delete_item),
                );
        }
        for prefix in ["/v1", "/anthropic/v1"] {
            router = router
                .route(&format!("{prefix}/messages"), post(dialect::anthropic::messages))
                .route(&format!("{prefix}/messages/count_tokens"), post(dialect::anthropic::count_tokens));
        }
        for prefix in ["", "/bedrock"] {
            router = router
                .route(&format!("{prefix}/model/{{*rest}}"), post(dialect::bedrock::model))
                .route(&format!("{prefix}/foundation-models"), get(dialect::bedrock_control::list_models))
                .route(
                    &format!("{prefix}/foundation-models/{{*id}}"),
                    get(dialect::bedrock_control::get_model),
                )
                .route(&format!("{prefix}/inference-profiles"), get(dialect::bedrock_control::list_profiles))
                .route(
                    &format!("{prefix}/inference-profiles/{{*id}}"),
                    get(dialect::bedrock_control::get_profile),
                );
        }
        for prefix in ["/v1beta", "/gemini/v1beta", "/gemini/v1"] {
            router = router.route(&format!("{prefix}/models"), get(dialect::gemini::models)).route(
                &format!("{prefix}/models/{{*name}}"),
                get(dialect::gemini::model).post(dialect::gemini::call),
            );
        }
        // Beside the models of OpenAI's wire, which are not posted to.
        router = router.route("/v1/models/{*name}", post(dialect::gemini::call));
        router
            .nest("/api/v1", api::router(&self))
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(scrape::scrape))
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(axum::middleware::from_fn(refuse_large_head))
            // Bodies are limited where they are read: by `server.max_body`.
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }
}

async fn refuse_large_head(request: Request, next: Next) -> Response {
    match head::check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => render(&request, &error),
    }
}

async fn unknown_path(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let text = format!("there is no {} {path} here; see the paths in the documentation", request.method());
    render(&request, &ApiError::new(ErrorCode::UnknownPath, text))
}

async fn wrong_method(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let text = format!("{path} exists, but not for {}", request.method());
    render(&request, &ApiError::new(ErrorCode::MethodNotAllowed, text))
}

/// In the shape of whoever owns the path.
fn render(request: &Request, error: &ApiError) -> Response {
    let id = dialect::call::request_id(request);
    if request.uri().path().starts_with("/api/") {
        api::error_response(error, id)
    } else {
        dialect::call::error_response(dialect::owner(request), error, id)
    }
}
