//! Bedrock's runtime: `/model/{id}/converse`, `/model/{id}/invoke`, and both with a stream. What `invoke` takes is
//! Anthropic's bodies, for any model.
//!
//! The path is read raw: ids hold `:` and `/`, encoded or not, and a signature covers what was written.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use steelyard_core::{ApiError, ErrorCode};
use steelyard_dialect::Dialect;
use steelyard_gateway::Endpoint;

use crate::app::App;
use crate::dialect::call::{Entrance, error_response, request_id, serve};

/// In which errors are told before it is known what is asked; all of Bedrock's are alike.
const DIALECT: Dialect = Dialect::BedrockConverse;

pub(crate) async fn model(State(app): State<Arc<App>>, request: Request) -> Response {
    let entrance = entrance(request.uri().path());
    match entrance.and_then(|entrance| unguarded(request.headers()).map(|()| entrance)) {
        Ok(entrance) => serve(&app, entrance, request).await,
        Err(error) => error_response(DIALECT, &error, request_id(&request)),
    }
}

/// `invoke` names its guardrail in a header. One that silently did not run would be a lie.
fn unguarded(headers: &HeaderMap) -> Result<(), ApiError> {
    const GUARDRAIL: &str = "x-amzn-bedrock-guardrailidentifier";
    if !headers.contains_key(GUARDRAIL) {
        return Ok(());
    }
    let text = "AWS keeps the guardrail that x-amzn-bedrock-guardrailidentifier names, and it would not run here: leave it out, \
                or call converse with a guardrailConfig on a route to Bedrock";
    Err(ApiError::new(ErrorCode::Loss, text).with_param("guardrailIdentifier"))
}

/// The operation is what follows the last slash; what stands before it, decoded once, is the model.
fn entrance(path: &str) -> Result<Entrance, ApiError> {
    let unknown = |text: String| ApiError::new(ErrorCode::UnknownPath, text);
    let shown: String = path.chars().take(200).collect();
    let rest = path.strip_prefix("/bedrock").unwrap_or(path).strip_prefix("/model/").unwrap_or_default();
    let Some((model, operation)) = rest.rsplit_once('/').filter(|(model, _)| !model.is_empty()) else {
        return Err(unknown(format!("{shown} names no model and operation: write /model/ID/converse")));
    };
    let (dialect, stream) = match operation {
        "converse" => (DIALECT, false),
        "converse-stream" => (DIALECT, true),
        "invoke" => (Dialect::BedrockInvokeAnthropic, false),
        "invoke-with-response-stream" => (Dialect::BedrockInvokeAnthropic, true),
        "count-tokens" | "invoke-with-bidirectional-stream" => {
            let text = format!(
                "the operation {operation} is not served yet: use converse or invoke, or their streams"
            );
            return Err(unknown(text));
        }
        _ => return Err(unknown(format!("there is no operation of that name at {shown}"))),
    };
    let model = percent_decode_str(model).decode_utf8().map_err(|_| {
        let text = "the model's name in the path is not UTF-8 under its percent-encoding";
        ApiError::new(ErrorCode::UnknownModel, text).with_param("modelId")
    })?;
    Ok(Entrance { dialect, endpoint: Endpoint::Chat, model: Some(model.into_owned()), stream })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_what_stands_before_the_operation() {
        use Dialect::{BedrockConverse, BedrockInvokeAnthropic};
        let cases = [
            ("/model/us.x-v1:0/converse", "us.x-v1:0", BedrockConverse, false),
            ("/model/us.x-v1%3A0/converse-stream", "us.x-v1:0", BedrockConverse, true),
            ("/bedrock/model/a/converse", "a", BedrockConverse, false),
            (
                "/model/arn%3Aaws%3Abedrock%3A%3A1%3Ap%2Fus.x/converse",
                "arn:aws:bedrock::1:p/us.x",
                BedrockConverse,
                false,
            ),
            (
                "/model/arn:aws:bedrock::1:p/us.x/converse",
                "arn:aws:bedrock::1:p/us.x",
                BedrockConverse,
                false,
            ),
            ("/model/openai/gpt-6-sol/converse", "openai/gpt-6-sol", BedrockConverse, false),
            ("/model/us.x-v1:0/invoke", "us.x-v1:0", BedrockInvokeAnthropic, false),
            ("/model/a%2Fb/invoke-with-response-stream", "a/b", BedrockInvokeAnthropic, true),
        ];
        for (path, model, dialect, stream) in cases {
            let found = entrance(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let read = (found.model.as_deref(), found.dialect, found.stream);
            assert_eq!(read, (Some(model), dialect, stream), "{path}");
        }
        for path in [
            "/model/",
            "/model/converse",
            "/model//converse",
            "/model/a/fly",
            "/model/%FF/converse",
            "/model/a/count-tokens",
        ] {
            assert!(entrance(path).is_err(), "{path}");
        }
    }
}
