//! Errors as AWS's clients expect them: the name in the header `x-amzn-errortype`, `{"message"}` in the body. Our stable
//! code and request id stand beside it in a member that no client reads.
//!
//! Names that the service model knows are preferred, because SDKs make an exception class of each and know which to
//! retry; the others are those that every AWS service uses ("Common errors").

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};

use crate::bedrock::facts;
use crate::error::UpstreamFault;
use crate::event_stream;
use crate::json::Object;

pub(crate) const HEADER: &str = "x-amzn-errortype";

pub(crate) fn body(error: &ApiError, request_id: &RequestId) -> (StatusCode, Bytes) {
    let (_, status) = name(error.code);
    (status, Bytes::from(text(error, request_id)))
}

pub(crate) fn header(error: &ApiError) -> (&'static str, &'static str) {
    (HEADER, name(error.code).0)
}

/// An exception frame of a kind that the stream's model knows.
pub(crate) fn event(error: &ApiError, request_id: &RequestId) -> Bytes {
    let kind = match error.kind() {
        ErrorKind::RateLimited => "throttlingException",
        ErrorKind::Upstream | ErrorKind::UpstreamTimeout => "modelStreamErrorException",
        ErrorKind::Unavailable => "serviceUnavailableException",
        ErrorKind::Internal => "internalServerException",
        ErrorKind::InvalidRequest
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::HeadTooLarge
        | ErrorKind::UnsupportedMedia
        | ErrorKind::RequestTimeout => "validationException",
    };
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    let mut out = BytesMut::new();
    event_stream::write(&mut out, &headers, &text(error, request_id));
    out.freeze()
}

/// The vendor's own refusal, with our code and request id beside it; ours where the vendor's cannot be read. Services
/// before Bedrock's write `Message`, which its clients do not all read.
pub(crate) fn vendor_body(vendor: &[u8], error: &ApiError, request_id: &RequestId) -> Bytes {
    let read = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(vendor);
    let Ok(mut fields) = read else { return text(error, request_id).into() };
    let message = fields.remove("Message").filter(|_| !fields.contains_key("message"));
    fields.extend(message.map(|message| ("message".to_owned(), message)));
    if !fields.contains_key("message") {
        return text(error, request_id).into();
    }
    let own = serde_json::json!({ "code": error.code.code(), "request_id": request_id });
    fields.insert("steelyard".to_owned(), own);
    Bytes::from(serde_json::Value::Object(fields).to_string())
}

fn text(error: &ApiError, request_id: &RequestId) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    Object::write(&mut out, |body| {
        match overflow(error) {
            Some(text) => body.field("message", &text),
            None => body.field("message", &error.public),
        }
        body.object("steelyard", |own| {
            own.field("code", error.code.code());
            own.field("request_id", request_id);
        });
    });
    out
}

/// A vendor's refusal. Its name is in the header, perhaps with an address behind it; only some services repeat it in the
/// body.
pub(crate) fn fault(headers: &HeaderMap, body: &[u8]) -> Option<UpstreamFault> {
    let named = headers.get(HEADER).and_then(|value| value.to_str().ok()).map(plain_name);
    let named = named.filter(|name| !name.is_empty());
    match (named, facts::fault(body)) {
        (Some(name), fault) => Some(UpstreamFault { kind: Some(name), ..fault.unwrap_or_default() }),
        (None, fault) => fault,
    }
}

/// An exception that came within a stream, as it would have come in place of one: its status, its name as the header has
/// it, and its body (service model, the exceptions' `httpStatusCode`).
pub(crate) fn refusal(fault: &UpstreamFault) -> (StatusCode, Option<String>, Bytes) {
    // A stream's members begin in lower case.
    let name = fault.kind.as_deref().map(plain_name).filter(|name| !name.is_empty());
    let name = name.map(|name| {
        let mut letters = name.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    let status = match name.as_deref().unwrap_or_default() {
        "ValidationException" | "ConflictException" | "ServiceQuotaExceededException" => 400,
        "AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException" => 403,
        "ResourceNotFoundException" => 404,
        "ModelTimeoutException" => 408,
        "ModelErrorException" | "ModelStreamErrorException" => 424,
        "ThrottlingException" | "TooManyRequestsException" | "ModelNotReadyException" => 429,
        "ServiceUnavailableException" => 503,
        // `InternalServerException`, and what may be invented later.
        _ => 500,
    };
    let mut out = Vec::with_capacity(128);
    Object::write(&mut out, |body| body.field("message", &fault.message));
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), name, out.into())
}

/// `Name`, which is also written `Name:http://…` and `namespace#Name`.
pub(super) fn plain_name(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim().to_owned()
}

/// The name and the status. SDKs repeat what is named throttling, unavailable or internal, and a time-out; so those
/// are the names of what may heal, and a vendor's failure that will not is `ModelErrorException`.
fn name(code: ErrorCode) -> (&'static str, StatusCode) {
    match code {
        ErrorCode::MissingCredential => ("MissingAuthenticationTokenException", StatusCode::FORBIDDEN),
        ErrorCode::IncompleteSignature => ("IncompleteSignatureException", StatusCode::FORBIDDEN),
        ErrorCode::SignatureMismatch | ErrorCode::SignatureExpired => {
            ("InvalidSignatureException", StatusCode::FORBIDDEN)
        }
        ErrorCode::ExpiredKey => ("ExpiredTokenException", StatusCode::FORBIDDEN),
        ErrorCode::UnknownPath => ("UnknownOperationException", StatusCode::NOT_FOUND),
        ErrorCode::MethodNotAllowed => ("UnknownOperationException", StatusCode::METHOD_NOT_ALLOWED),
        ErrorCode::UpstreamUnreachable => ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE),
        ErrorCode::UpstreamFailed => ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR),
        // AWS's own status for whatever is wrong with a request.
        ErrorCode::UpstreamTooLarge => ("ValidationException", StatusCode::BAD_REQUEST),
        other => match other.kind() {
            ErrorKind::InvalidRequest => ("ValidationException", StatusCode::BAD_REQUEST),
            ErrorKind::Unauthenticated => ("UnrecognizedClientException", StatusCode::FORBIDDEN),
            ErrorKind::Forbidden => ("AccessDeniedException", StatusCode::FORBIDDEN),
            ErrorKind::NotFound => ("ResourceNotFoundException", StatusCode::NOT_FOUND),
            ErrorKind::Conflict => ("ConflictException", StatusCode::BAD_REQUEST),
            ErrorKind::TooLarge => ("ValidationException", StatusCode::PAYLOAD_TOO_LARGE),
            ErrorKind::HeadTooLarge => ("ValidationException", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            ErrorKind::UnsupportedMedia => ("ValidationException", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ErrorKind::RequestTimeout => ("RequestTimeoutException", StatusCode::REQUEST_TIMEOUT),
            ErrorKind::RateLimited => ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS),
            ErrorKind::Upstream => ("ModelErrorException", StatusCode::FAILED_DEPENDENCY),
            ErrorKind::UpstreamTimeout => ("ModelTimeoutException", StatusCode::REQUEST_TIMEOUT),
            ErrorKind::Unavailable => ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE),
            ErrorKind::Internal => ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR),
        },
    }
}

/// Agents shorten their conversation when they read Bedrock's own words for a prompt that does not fit, and no other
/// vendor's.
fn overflow(error: &ApiError) -> Option<String> {
    const OURS: &str = "Input is too long for requested model";
    let text = &error.public;
    (error.code == ErrorCode::ContextTooLong && !text.contains(OURS)).then(|| format!("{OURS}. ({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_does_not_fit_is_told_in_bedrocks_words() {
        let told = |code, text: &str| overflow(&ApiError::new(code, text));
        let anthropic = "prompt is too long: 2 tokens > 1 maximum";
        assert_eq!(
            told(ErrorCode::ContextTooLong, anthropic),
            Some(format!("Input is too long for requested model. ({anthropic})"))
        );
        assert_eq!(told(ErrorCode::ContextTooLong, "Input is too long for requested model."), None);
        assert_eq!(told(ErrorCode::UpstreamRefused, anthropic), None);
    }
}
