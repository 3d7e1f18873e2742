//! Errors as OpenAI's clients expect them: `{"error":{message, type, param, code}}`, all four always there, and
//! our stable code and request id beside them.

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};

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
