//! Request bodies: collected under a limit of size and time, `gzip` and `zstd` decoded under the same limit.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use steelyard_core::{ApiError, ErrorCode};

/// Collects a body that must be JSON, as it came: a signature covers it so.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    wait: Duration,
) -> Result<Bytes, ApiError> {
    check_type(headers)?;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    tokio::time::timeout(wait, frames(body, limit, announced)).await.map_err(|_| {
        ApiError::new(ErrorCode::RequestTimeout, format!("the request body did not arrive within {wait:?}"))
    })?
}

/// A body without its `content-encoding`.
pub(crate) fn decoded(headers: &HeaderMap, raw: Bytes, limit: usize) -> Result<Bytes, ApiError> {
    match headers.get(CONTENT_ENCODING).map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(raw),
        Some(b"gzip" | b"x-gzip") => decode(flate2::read::MultiGzDecoder::new(&raw[..]), "gzip", limit),
        Some(b"zstd") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&raw[..])
                .map_err(|error| undecodable("zstd", error.to_string()))?;
            decode(decoder, "zstd", limit)
        }
        Some(other) => {
            let other = String::from_utf8_lossy(&other[..other.len().min(80)]);
            let text = format!("content-encoding `{other}` cannot be decoded: send gzip, zstd or none");
            Err(ApiError::new(ErrorCode::UnsupportedEncoding, text))
        }
    }
}

/// Clients that send no type at all are taken at their word; a wrong one is named.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
        || essence.is_empty();
    if is_json {
        return Ok(());
    }
    let shown: String = text.chars().take(80).collect();
    let text = format!("content-type `{shown}` is not taken here: send application/json");
    Err(ApiError::new(ErrorCode::UnsupportedContentType, text))
}

async fn frames(mut body: Body, limit: usize, announced: Option<u64>) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(ErrorCode::IncompleteBody, "the request body broke off before its end")
                .with_source(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // A small body comes in one piece, which then is not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let expected = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                rest.reserve(expected.max(first.len() + data.len()));
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn decode(decoder: impl Read, name: &str, limit: usize) -> Result<Bytes, ApiError> {
    let mut decoded = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut decoded)
        .map_err(|error| undecodable(name, error.to_string()))?;
    if decoded.len() > limit { Err(too_large(limit)) } else { Ok(decoded.into()) }
}

fn undecodable(name: &str, why: String) -> ApiError {
    ApiError::new(
        ErrorCode::UnsupportedEncoding,
        format!("the body is not {name}, as its content-encoding says"),
    )
    .with_source(why)
}

fn too_large(limit: usize) -> ApiError {
    let text = format!("the request body is larger than {limit} bytes: send less, or raise server.max_body");
    ApiError::new(ErrorCode::BodyTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const WAIT: Duration = Duration::from_secs(5);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn code(headers: &HeaderMap, body: impl Into<Body>, limit: usize) -> Result<Bytes, ErrorCode> {
        let raw = read(headers, body.into(), limit, WAIT).await.map_err(|error| error.code)?;
        decoded(headers, raw, limit).map_err(|error| error.code)
    }

    #[tokio::test]
    async fn bodies_are_taken_whole_up_to_the_limit() {
        let none = HeaderMap::new();
        assert_eq!(code(&none, "{}", 2).await, Ok("{}".into()));
        assert_eq!(code(&none, "{} ", 2).await, Err(ErrorCode::BodyTooLarge));
        assert_eq!(code(&headers(&[("content-length", "9")]), "{}", 2).await, Err(ErrorCode::BodyTooLarge));
    }

    #[tokio::test]
    async fn compressed_bodies_are_decoded_under_the_same_limit() {
        let gzipped = headers(&[("content-encoding", "gzip")]);
        assert_eq!(code(&gzipped, gzip(b"{\"a\":1}"), 100).await, Ok("{\"a\":1}".into()));
        let bomb = gzip(&vec![b' '; 1 << 20]);
        assert!(bomb.len() < 2000);
        assert_eq!(code(&gzipped, bomb, 2000).await, Err(ErrorCode::BodyTooLarge));
        assert_eq!(code(&gzipped, "not gzip", 100).await, Err(ErrorCode::UnsupportedEncoding));
        assert_eq!(
            code(&headers(&[("content-encoding", "zstd")]), "no", 100).await,
            Err(ErrorCode::UnsupportedEncoding)
        );
        assert_eq!(
            code(&headers(&[("content-encoding", "br")]), "{}", 100).await,
            Err(ErrorCode::UnsupportedEncoding)
        );
    }

    #[tokio::test]
    async fn a_wrong_type_is_named_and_none_is_taken() {
        for good in
            ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"]
        {
            assert_eq!(code(&headers(&[("content-type", good)]), "{}", 9).await, Ok("{}".into()), "{good}");
        }
        let wrong = headers(&[("content-type", "text/plain")]);
        let error = read(&wrong, Body::from("{}"), 9, WAIT).await.unwrap_err();
        assert!(error.public.contains("`text/plain`"), "{error}");
    }
}
