//! Which vendor's wire an upstream speaks, and what of it does not depend on what is said.

use serde_json::{Value, json};

/// A vendor's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// OpenAI Chat Completions, Responses and embeddings.
    #[default]
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// Amazon Bedrock's Converse and `ConverseStream`.
    Bedrock,
    /// Gemini's `generateContent` and `streamGenerateContent`.
    Gemini,
}

/// The request id of OpenAI's and Anthropic's answers.
const REQUEST_ID: &str = "req_vendor_1";

impl Wire {
    /// The wires whose clients and vendors the tests of translation bring together, each with each.
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Bedrock, Self::Gemini];

    /// The name of the provider that speaks it, as the configuration has it.
    pub const fn provider(self) -> &'static str {
        match self {
            Self::OpenAi => "compatible",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Gemini => "gemini",
        }
    }

    /// What follows the address in a channel's `base_url`.
    pub(super) const fn base_path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1",
            Self::Anthropic | Self::Bedrock | Self::Gemini => "",
        }
    }

    /// The header with the vendor's id of a request, and the id of every answer.
    pub const fn request_id(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenAi => ("x-request-id", REQUEST_ID),
            Self::Anthropic => ("request-id", REQUEST_ID),
            // Google's names none; its answers have an id of their own.
            Self::Gemini => ("x-goog-request-id", REQUEST_ID),
            Self::Bedrock => ("x-amzn-requestid", "8b1f4c1e-2f3a-4d55-9c51-5e0a64d0b7aa"),
        }
    }

    /// The name that an error of that status has: OpenAI's `type`, Anthropic's `error.type`, AWS's exception.
    pub(super) const fn error_name(self, code: u16) -> &'static str {
        match self {
            Self::OpenAi => match code {
                429 => "requests",
                400..=499 => "invalid_request_error",
                _ => "server_error",
            },
            Self::Anthropic => match code {
                401 => "authentication_error",
                402 => "billing_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                400..=499 => "invalid_request_error",
                504 => "timeout_error",
                529 => "overloaded_error",
                _ => "api_error",
            },
            Self::Gemini => match code {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                400..=499 => "INVALID_ARGUMENT",
                503 => "UNAVAILABLE",
                504 => "DEADLINE_EXCEEDED",
                _ => "INTERNAL",
            },
            Self::Bedrock => match code {
                401 => "UnrecognizedClientException",
                403 => "AccessDeniedException",
                404 => "ResourceNotFoundException",
                408 => "ModelTimeoutException",
                424 => "ModelErrorException",
                429 => "ThrottlingException",
                400..=499 => "ValidationException",
                // 529 is not a status of AWS: its one name for overload.
                503 | 529 => "ServiceUnavailableException",
                _ => "InternalServerException",
            },
        }
    }

    /// The header that names an error, where the wire has one.
    pub(super) const fn error_header(self, code: u16) -> Option<(&'static str, &'static str)> {
        match self {
            Self::OpenAi | Self::Anthropic | Self::Gemini => None,
            Self::Bedrock => Some(("x-amzn-errortype", self.error_name(code))),
        }
    }

    /// The body of an error, as the vendor's API reference has it.
    pub fn error_body(self, code: u16, message: &str) -> Value {
        let name = self.error_name(code);
        match self {
            Self::OpenAi => {
                let word = match code {
                    401 => json!("invalid_api_key"),
                    404 => json!("model_not_found"),
                    429 => json!("rate_limit_exceeded"),
                    _ => Value::Null,
                };
                json!({ "error": { "message": message, "type": name, "param": null, "code": word } })
            }
            Self::Anthropic => json!({
                "type": "error",
                "error": { "type": name, "message": message },
                "request_id": REQUEST_ID,
            }),
            Self::Bedrock => json!({ "message": message }),
            Self::Gemini => json!({ "error": { "code": code, "message": message, "status": name } }),
        }
    }
}
