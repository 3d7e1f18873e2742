//! The paths of the vendors, one file for each dialect; [`call`] is what they share.

pub(crate) mod anthropic;
pub(crate) mod bedrock;
pub(crate) mod bedrock_control;
pub(crate) mod call;
pub(crate) mod gemini;
pub(crate) mod openai;
pub(crate) mod openai_conversations;
pub(crate) mod openai_responses;

use axum::extract::Request;
use steelyard_dialect::Dialect;

/// Whose path it is, for errors that no handler of a dialect answers.
pub(crate) fn owner(request: &Request) -> Dialect {
    let path = request.uri().path();
    let path = path.strip_prefix("/bedrock").unwrap_or(path);
    let of_bedrock = ["/model/", "/foundation-models", "/inference-profiles", "/guardrail", "/async-invoke"];
    if of_bedrock.iter().any(|prefix| path.starts_with(prefix)) {
        Dialect::BedrockConverse
    } else if path.contains("/v1beta/") || path.starts_with("/gemini/") || gemini::is_asked(request) {
        Dialect::GeminiGenerate
    } else if path.contains("/v1/messages") || anthropic::is_asked(request) {
        Dialect::AnthropicMessages
    } else if path.contains("/v1/responses") || path.contains("/v1/conversations") {
        Dialect::OpenAiResponses
    } else {
        Dialect::OpenAiChat
    }
}
