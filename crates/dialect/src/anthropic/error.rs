//! Errors as Anthropic's clients expect them: `{"type":"error","error":{type, message},"request_id"}`, and our stable
//! code beside them under `steelyard`.

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};

use crate::error::UpstreamFault;
use crate::json::Object;

/// Anthropic's own status: it is overloaded.
const OVERLOADED: u16 = 529;

pub(crate) fn body(error: &ApiError, request_id: &RequestId) -> (StatusCode, Bytes) {
    let mut out = Vec::with_capacity(256);
    write(error, request_id, &mut out);
    (status(error.code), Bytes::from(out))
}

pub(crate) fn event(error: &ApiError, request_id: &RequestId) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"event: error\ndata: ");
    write(error, request_id, &mut out);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// The vendor's own refusal, with our code beside it under `steelyard` and our request id in place of the vendor's,
/// so that it agrees with the header; ours where the vendor's cannot be read.
pub(crate) fn vendor_body(vendor: &[u8], error: &ApiError, request_id: &RequestId) -> Bytes {
    let Ok(mut reply) = serde_json::from_slice::<serde_json::Value>(vendor) else {
        return body(error, request_id).1;
    };
    let Some(fields) = reply.get_mut("error").and_then(serde_json::Value::as_object_mut) else {
        return body(error, request_id).1;
    };
    fields.insert(
        "steelyard".to_owned(),
        serde_json::json!({ "code": error.code.code(), "request_id": request_id }),
    );
    reply["request_id"] = serde_json::json!(request_id);
    Bytes::from(reply.to_string())
}

/// An error that came with status 200, with the status that it would have had (Anthropic's "Errors").
pub(crate) fn refusal(fault: &UpstreamFault) -> (StatusCode, Bytes) {
    let status = match fault.kind.as_deref().unwrap_or_default() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => OVERLOADED,
        // `api_error`, and what may be invented later.
        _ => 500,
    };
    let mut out = Vec::with_capacity(256);
    Object::write(&mut out, |body| {
        body.field("type", "error");
        body.object("error", |fields| {
            fields.field("type", fault.kind.as_deref().unwrap_or("api_error"));
            fields.field("message", &fault.message);
        });
    });
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Bytes::from(out))
}

fn write(error: &ApiError, request_id: &RequestId, out: &mut Vec<u8>) {
    Object::write(out, |body| {
        body.field("type", "error");
        body.object("error", |fields| {
            fields.field("type", kind(error.code));
            match overflow(error) {
                Some(text) => fields.field("message", &text),
                None => fields.field("message", &error.public),
            }
            fields.object("steelyard", |own| {
                own.field("code", error.code.code());
                own.field("request_id", request_id);
                own.opt("param", error.param.as_ref());
            });
        });
        body.field("request_id", request_id);
    });
}

fn status(code: ErrorCode) -> StatusCode {
    if code == ErrorCode::MethodNotAllowed {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    match code.kind() {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorKind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Upstream | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn kind(code: ErrorCode) -> &'static str {
    match code.kind() {
        ErrorKind::InvalidRequest
        | ErrorKind::Conflict
        | ErrorKind::HeadTooLarge
        | ErrorKind::UnsupportedMedia => "invalid_request_error",
        ErrorKind::Unauthenticated => "authentication_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::RequestTimeout | ErrorKind::UpstreamTimeout => "timeout_error",
        ErrorKind::Upstream | ErrorKind::Internal => "api_error",
        ErrorKind::Unavailable => "overloaded_error",
    }
}

/// Agents compact their conversation when they read Anthropic's own words for a prompt that does not fit, and no
/// other vendor's. The numbers are those that OpenAI's text names.
fn overflow(error: &ApiError) -> Option<String> {
    const OURS: &str = "prompt is too long";
    let text = &error.public;
    if error.code != ErrorCode::ContextTooLong || text.contains(OURS) {
        return None;
    }
    let most = number_after(text, "maximum context length is");
    let asked = number_after(text, "resulted in").or_else(|| number_after(text, "requested"));
    Some(match (asked, most) {
        (Some(asked), Some(most)) => format!("{OURS}: {asked} tokens > {most} maximum ({text})"),
        _ => format!("{OURS} ({text})"),
    })
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let rest = text[text.find(words)? + words.len()..].trim_start();
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_does_not_fit_is_told_in_anthropics_words() {
        let told = |code, text: &str| overflow(&ApiError::new(code, text));
        let openai = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130500 tokens.";
        assert_eq!(
            told(ErrorCode::ContextTooLong, openai),
            Some(format!("prompt is too long: 130500 tokens > 128000 maximum ({openai})"))
        );
        let bedrock = "Input is too long for requested model.";
        assert_eq!(told(ErrorCode::ContextTooLong, bedrock), Some(format!("prompt is too long ({bedrock})")));
        assert_eq!(told(ErrorCode::ContextTooLong, "prompt is too long: 2 tokens > 1 maximum"), None);
        assert_eq!(told(ErrorCode::UpstreamRefused, openai), None);
    }
}
