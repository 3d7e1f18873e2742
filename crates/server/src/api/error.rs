//! Errors of the management API, and extractors that fail in its shape.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};
use steelyard_store::StoreError;

use crate::app::App;
use crate::body;

/// An error of this API, with the request it belongs to.
pub(crate) struct Problem {
    error: ApiError,
    id: RequestId,
}

impl Problem {
    pub(crate) fn new(id: RequestId, error: ApiError) -> Self {
        Self { error, id }
    }

    pub(crate) fn store(id: RequestId) -> impl Fn(StoreError) -> Self {
        move |error| Self { error: from_store(error), id }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        error_response(&self.error, self.id)
    }
}

/// What a caller is told of a failure of the store.
pub(crate) fn from_store(error: StoreError) -> ApiError {
    let text = error.to_string();
    match error {
        StoreError::NotFound { .. } => ApiError::new(ErrorCode::UnknownResource, text),
        StoreError::AlreadyExists { .. } => ApiError::new(ErrorCode::AlreadyExists, text),
        StoreError::Invalid(_) => ApiError::new(ErrorCode::InvalidField, text),
        StoreError::Unavailable { .. } | StoreError::Connect { .. } => {
            let text = "the database does not answer: try again; calls to models are still served";
            ApiError::new(ErrorCode::StoreUnavailable, text).with_source(error)
        }
        StoreError::InUse { .. } | StoreError::File { .. } | StoreError::Corrupt { .. } => {
            ApiError::new(ErrorCode::Internal, "the store failed; the cause is in the server's log")
                .with_source(error)
        }
    }
}

/// `{"error": {"code", "message", "param"?, "request_id"}}`.
pub(crate) fn error_response(error: &ApiError, id: RequestId) -> Response {
    let status = match error.kind() {
        ErrorKind::InvalidRequest if error.code == ErrorCode::MethodNotAllowed => {
            StatusCode::METHOD_NOT_ALLOWED
        }
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
    };
    if status.is_server_error() {
        tracing::warn!(request.id = %id, error.code = error.code.code(), error = %error.public,
            error.source = error.source.as_ref().map(tracing::field::display), "management request failed");
    }
    let mut body = json!({ "code": error.code.code(), "message": error.public, "request_id": id });
    if let Some(param) = &error.param {
        body["param"] = param.as_str().into();
    }
    (status, Json(json!({ "error": body }))).into_response()
}

/// The request's id.
pub(crate) struct Id(pub(crate) RequestId);

impl<S: Sync> FromRequestParts<S> for Id {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::new)))
    }
}

/// A JSON body; unknown fields are refused by its type.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Input<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let id = request.extensions().get::<RequestId>().copied().unwrap_or_else(RequestId::new);
        let (head, body) = request.into_parts();
        let raw = body::read(&head.headers, body, app.limits.max_body, app.limits.body_wait)
            .await
            .map_err(|error| Problem::new(id, error))?;
        let bytes = body::decoded(&head.headers, raw, app.limits.max_body)
            .map_err(|error| Problem::new(id, error))?;
        // An empty body is an empty object, so that a request without options needs none.
        let bytes = if bytes.is_empty() { "{}".into() } else { bytes };
        read(&bytes).map(Self).map_err(|error| Problem::new(id, error))
    }
}

/// A whole JSON text; an error names the field in which the fault is.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let refused = |error: &serde_json::Error| {
        let code = if error.is_data() { ErrorCode::InvalidField } else { ErrorCode::MalformedJson };
        ApiError::new(code, format!("the body cannot be used: {error}"))
    };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let input = serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let refusal = refused(error.inner());
        // Without steps the fault is in the body as a whole.
        let field = error.path().iter().next().is_some() && error.inner().is_data();
        if field { refusal.with_param(error.path().to_string()) } else { refusal }
    })?;
    text.end().map_err(|error| refused(&error))?;
    Ok(input)
}

/// The id or name in the path.
pub(crate) struct Reference(pub(crate) String);

impl FromRequestParts<Arc<App>> for Reference {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::new);
        Path::from_request_parts(parts, app).await.map(|Path(reference)| Self(reference)).map_err(|_| {
            let text = "the reference in the path is not UTF-8 under its percent-encoding";
            Problem::new(id, ApiError::new(ErrorCode::UnknownResource, text))
        })
    }
}

/// Query parameters; unknown ones are refused by their type.
pub(crate) struct Options<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Options<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>().copied().unwrap_or_else(RequestId::new);
        Query::try_from_uri(&parts.uri).map(|Query(options)| Self(options)).map_err(|error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Problem::new(
                id,
                ApiError::new(ErrorCode::InvalidField, format!("the query cannot be used: {why}")),
            )
        })
    }
}

/// A time in a query or body.
pub(crate) fn time(id: RequestId, name: &str, text: &str) -> Result<steelyard_core::Timestamp, Problem> {
    steelyard_core::Timestamp::parse(text).map_err(|error| {
        Problem::new(id, ApiError::new(ErrorCode::InvalidField, format!("{name}: {error}")).with_param(name))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[expect(dead_code, reason = "only whether it can be read is of interest")]
        name: String,
    }

    #[test]
    fn a_wrong_field_is_named() {
        let refused = |text: &str| {
            let error = read::<Wanted>(text.as_bytes()).unwrap_err();
            (error.code, error.param)
        };
        assert_eq!(refused(r#"{"name":7}"#), (ErrorCode::InvalidField, Some("name".to_owned())));
        assert_eq!(refused("{}"), (ErrorCode::InvalidField, None));
        assert_eq!(refused("7"), (ErrorCode::InvalidField, None));
        assert_eq!(refused(r#"{"name":"#), (ErrorCode::MalformedJson, None));
        assert_eq!(refused(r#"{"name":"a"} x"#), (ErrorCode::MalformedJson, None));
        assert!(read::<Wanted>(br#"{"name":"a"} "#).is_ok());
    }
}
