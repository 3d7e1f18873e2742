//! Gemini's routes: `/v1beta/models/{model}:generateContent` and `:streamGenerateContent`, also under `/v1`, and the list of
//! models.
//!
//! The path is read raw: a model's name may hold slashes and colons, encoded or not, and the operation is what follows the
//! last colon. A stream comes as events if the query says `alt=sse`, else as one array.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::Dialect;
use steelyard_gateway::Endpoint;

use crate::app::App;
use crate::dialect::call::{Entrance, authenticate, error_response, request_id, serve};

const DIALECT: Dialect = Dialect::GeminiGenerate;

/// Whether the client speaks Gemini's wire, on a path that others use too: Google's SDKs ask for `/v1/models`, and say who
/// they are.
pub(crate) fn is_asked(request: &Request) -> bool {
    ["x-goog-api-client", "x-goog-api-key"].iter().any(|name| request.headers().contains_key(*name))
}

/// A call of a model.
pub(crate) async fn call(State(app): State<Arc<App>>, request: Request) -> Response {
    match entrance(request.uri().path(), request.uri().query()) {
        Ok(entrance) => serve(&app, entrance, request).await,
        Err(error) => error_response(DIALECT, &error, request_id(&request)),
    }
}

/// The models a key may call, all on one page.
pub(crate) async fn models(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |app, _| {
        let snapshot = app.gateway.snapshot();
        let models: Vec<Value> = snapshot.listed_names().iter().map(|name| describe(name)).collect();
        Ok(json!({ "models": models }))
    })
    .await
}

/// One model.
pub(crate) async fn model(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request, |app, path| {
        let name = decoded(named(path))?;
        if app.gateway.snapshot().resolve(&name).is_some() {
            return Ok(describe(&name));
        }
        let shown: String = name.chars().take(120).collect();
        let text =
            format!("the model `{shown}` does not exist here: list what there is with GET /v1beta/models");
        Err(ApiError::new(ErrorCode::UnknownModel, text).with_param("model"))
    })
    .await
}

async fn answer(
    app: &App,
    request: Request,
    tell: impl FnOnce(&App, &str) -> Result<Value, ApiError>,
) -> Response {
    let id = request_id(&request);
    let (head, body) = request.into_parts();
    let known = authenticate(app, &head, body, app.gateway.clock().now()).await;
    match known.and_then(|_| tell(app, head.uri.path())) {
        Ok(told) => Json(told).into_response(),
        Err(error) => error_response(DIALECT, &error, id),
    }
}

fn describe(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"),
        "version": "",
        "displayName": name,
        "supportedGenerationMethods": ["generateContent"],
    })
}

/// What stands behind `models/`.
fn named(path: &str) -> &str {
    let path = path.strip_prefix("/gemini").unwrap_or(path);
    ["/v1beta/models/", "/v1/models/"].iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or_default()
}

fn decoded(name: &str) -> Result<String, ApiError> {
    let name = percent_decode_str(name).decode_utf8().map_err(|_| {
        let text = "the model's name in the path is not UTF-8 under its percent-encoding";
        ApiError::new(ErrorCode::UnknownModel, text).with_param("model")
    })?;
    Ok(name.into_owned())
}

/// The operation is what follows the last colon; what stands before it, decoded once, is the model.
fn entrance(path: &str, query: Option<&str>) -> Result<Entrance, ApiError> {
    let unknown = |text: String| ApiError::new(ErrorCode::UnknownPath, text);
    let shown: String = path.chars().take(200).collect();
    // A colon may be encoded, too.
    let rest = named(path);
    let place =
        rest.rfind(':').map(|at| (at, 1)).max(rest.to_ascii_uppercase().rfind("%3A").map(|at| (at, 3)));
    let parts = place.map(|(at, length)| (&rest[..at], &rest[at + length..]));
    let Some((model, operation)) = parts.filter(|(model, _)| !model.is_empty()) else {
        let text =
            format!("{shown} names no model and operation: write /v1beta/models/MODEL:generateContent");
        return Err(unknown(text));
    };
    let events = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .any(|(name, value)| matches!(&*name, "alt" | "$alt") && value == "sse");
    let (dialect, stream) = match operation {
        "generateContent" => (DIALECT, false),
        "streamGenerateContent" if events => (DIALECT, true),
        "streamGenerateContent" => (Dialect::GeminiArray, true),
        "countTokens"
        | "embedContent"
        | "batchEmbedContents"
        | "batchGenerateContent"
        | "asyncBatchEmbedContent"
        | "predict"
        | "predictLongRunning" => {
            let text = format!(
                "the operation {operation} is not served: use generateContent or streamGenerateContent"
            );
            return Err(unknown(text));
        }
        _ => return Err(unknown(format!("there is no operation of that name at {shown}"))),
    };
    Ok(Entrance { dialect, endpoint: Endpoint::Chat, model: Some(decoded(model)?), stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_what_stands_before_the_operation() {
        use Dialect::{GeminiArray, GeminiGenerate};
        let cases = [
            (
                "/v1beta/models/gemini-3.8-flash:generateContent",
                "",
                "gemini-3.8-flash",
                GeminiGenerate,
                false,
            ),
            ("/gemini/v1beta/models/a:streamGenerateContent", "alt=sse", "a", GeminiGenerate, true),
            ("/v1/models/a:streamGenerateContent", "key=x&alt=sse", "a", GeminiGenerate, true),
            ("/v1beta/models/a:streamGenerateContent", "", "a", GeminiArray, true),
            ("/v1beta/models/a:streamGenerateContent", "alt=json", "a", GeminiArray, true),
            ("/v1beta/models/up/m:generateContent", "alt=sse", "up/m", GeminiGenerate, false),
            ("/v1beta/models/up%2Fm%3AgenerateContent", "", "up/m", GeminiGenerate, false),
            ("/v1beta/models/us.x-v1:0:generateContent", "", "us.x-v1:0", GeminiGenerate, false),
        ];
        for (path, query, model, dialect, stream) in cases {
            let found = entrance(path, Some(query)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let read = (found.model.as_deref(), found.dialect, found.stream);
            assert_eq!(read, (Some(model), dialect, stream), "{path}");
        }
        for path in [
            "/v1beta/models/a",
            "/v1beta/models/:generateContent",
            "/v1beta/models/a:fly",
            "/v1beta/models/%FF:generateContent",
            "/v1beta/models/a:countTokens",
        ] {
            assert!(entrance(path, None).is_err(), "{path}");
        }
    }
}
