//! Errors as OpenAI's clients expect them: `{"error":{message, type, param, code}}`, all four always there, and
//! our stable code and request id beside them.

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};

use crate::error::UpstreamFault;
use crate::json::Object;

pub(crate) fn body(error: &ApiError, request_id: &RequestId) -> (StatusCode, Bytes) {
    let mut out = Vec::with_capacity(256);
    write(error, request_id, &mut out);
    (status(error.code), Bytes::from(out))
}

pub(crate) fn event(error: &ApiError, request_id: &RequestId) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"data: ");
    write(error, request_id, &mut out);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// The vendor's own refusal, with our code and request id beside it under `steelyard`; ours where the vendor's
/// cannot be read.
pub(crate) fn vendor_body(vendor: &[u8], error: &ApiError, request_id: &RequestId) -> Bytes {
    let Ok(mut reply) = serde_json::from_slice::<serde_json::Value>(vendor) else {
        return body(error, request_id).1;
    };
    let Some(fields) = reply.get_mut("error").and_then(serde_json::Value::as_object_mut) else {
        return body(error, request_id).1;
    };
    let own = serde_json::json!({ "code": error.code.code(), "request_id": request_id });
    fields.insert("steelyard".to_owned(), own);
    Bytes::from(reply.to_string())
}

/// An error that came with status 200, with the status that it would have had: the number that its code is, else what its
/// code or its type means (OpenAI's "Error codes", and what servers that speak the same write). Unknown ones are the
/// vendor's failure.
pub(crate) fn refusal(fault: &UpstreamFault) -> (StatusCode, Bytes) {
    let words = [fault.code.as_deref(), fault.kind.as_deref()];
    let status = words.into_iter().flatten().find_map(status_of).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut out = Vec::with_capacity(256);
    Object::write(&mut out, |body| {
        body.object("error", |fields| {
            fields.field("message", &fault.message);
            fields.field("type", &fault.kind);
            fields.null("param");
            fields.field("code", &fault.code);
        });
    });
    (status, Bytes::from(out))
}

fn status_of(word: &str) -> Option<StatusCode> {
    let status = match word {
        "invalid_api_key" | "authentication_error" => 401,
        "permission_error" | "insufficient_permissions" => 403,
        "model_not_found" | "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "requests"
        | "tokens"
        | "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active" => 429,
        "invalid_request_error"
        | "BadRequestError"
        | "context_length_exceeded"
        | "content_policy_violation"
        | "content_filter"
        | "unsupported_parameter"
        | "unsupported_value"
        | "invalid_type"
        | "missing_required_parameter" => 400,
        "overloaded" | "overloaded_error" | "server_overloaded" | "service_unavailable" => 503,
        "timeout" | "timeout_error" => 504,
        number => number.parse().ok().filter(|status| (400..600).contains(status))?,
    };
    StatusCode::from_u16(status).ok()
}

fn write(error: &ApiError, request_id: &RequestId, out: &mut Vec<u8>) {
    Object::write(out, |body| {
        body.object("error", |fields| {
            fields.field("message", &error.public);
            fields.field("type", kind(error.code));
            fields.field("param", &error.param);
            fields.field("code", &slug(error.code));
            fields.object("steelyard", |own| {
                own.field("code", error.code.code());
                own.field("request_id", request_id);
            });
        });
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
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn kind(code: ErrorCode) -> &'static str {
    match code.kind() {
        ErrorKind::InvalidRequest
        | ErrorKind::Unauthenticated
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::HeadTooLarge
        | ErrorKind::UnsupportedMedia
        | ErrorKind::RequestTimeout => "invalid_request_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::Upstream | ErrorKind::UpstreamTimeout | ErrorKind::Unavailable | ErrorKind::Internal => {
            "server_error"
        }
    }
}

/// OpenAI leaves the code of a request without a credential null.
fn slug(code: ErrorCode) -> Option<&'static str> {
    (code != ErrorCode::MissingCredential).then(|| code.slug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_within_a_stream_has_the_status_that_it_would_have_had() {
        for (code, kind, status) in [
            (None, None, 500),
            (None, Some("server_error"), 500),
            (Some("429"), None, 429),
            (Some("529"), Some("invalid_request_error"), 529),
            (Some("200"), None, 500),
            (Some("model_not_found"), Some("invalid_request_error"), 404),
            (Some("strange"), Some("invalid_request_error"), 400),
            (None, Some("requests"), 429),
            (Some("overloaded"), None, 503),
        ] {
            let fault = UpstreamFault {
                message: "m\"".into(),
                kind: kind.map(Into::into),
                code: code.map(Into::into),
            };
            let (told, body) = refusal(&fault);
            assert_eq!(told, status, "{code:?} {kind:?}");
            assert_eq!(crate::openai_chat::facts::fault_of_body(&body), Some(fault));
        }
    }
}
