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
    let mut blocks: Vec<BytesMut> = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(ErrorCode::IncompleteBody, "the request body broke off before its end")
                .with_source(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        // A small body comes in one piece, which then is not copied.
        if length == 0 {
            length = data.len();
            first = data;
        } else {
            if blocks.is_empty() {
                let expected = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
                blocks.push(BytesMut::with_capacity(expected));
                append(&mut blocks, &first, 0);
                first = Bytes::new();
            }
            append(&mut blocks, &data, length);
            length += data.len();
        }
        if length > limit {
            return Err(too_large(limit));
        }
    }
    if blocks.len() < 2 {
        return Ok(blocks.pop().map_or(first, BytesMut::freeze));
    }
    let mut whole = BytesMut::with_capacity(length);
    for block in blocks {
        whole.extend_from_slice(&block);
    }
    Ok(whole.freeze())
}

/// Appends to a body of which `length` bytes are there. It grows by blocks: one buffer that is copied as it grows would
/// leave as much behind as it holds, of every body that turns out to be too large.
fn append(blocks: &mut Vec<BytesMut>, mut data: &[u8], length: usize) {
    const SMALLEST: usize = 16 << 10;
    const LARGEST: usize = 1 << 20;
    while let Some(last) = blocks.last_mut() {
        let (now, later) = data.split_at(data.len().min(last.capacity() - last.len()));
        last.extend_from_slice(now);
        data = later;
        if data.is_empty() {
            return;
        }
        blocks.push(BytesMut::with_capacity(length.clamp(SMALLEST, LARGEST)));
    }
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
    async fn a_body_in_pieces_of_any_size_is_put_together_again() {
        let mut seed = 7_u32;
        for announced in [false, true] {
            let pieces: Vec<Bytes> = (0..200_u32)
                .map(|number| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let byte = u8::try_from(number).unwrap();
                    Bytes::from(vec![byte; usize::try_from(seed >> 16).unwrap() % 40_000])
                })
                .collect();
            let whole = pieces.concat();
            let body = || {
                let pieces = pieces.clone().into_iter().map(Ok::<_, std::convert::Infallible>);
                Body::from_stream(futures_util::stream::iter(pieces))
            };
            let length = whole.len().to_string();
            let mut headers = HeaderMap::new();
            if announced {
                headers.insert(CONTENT_LENGTH, length.parse().unwrap());
            }
            assert_eq!(read(&headers, body(), whole.len(), WAIT).await.unwrap(), whole);
            let error = read(&headers, body(), whole.len() - 1, WAIT).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::BodyTooLarge);
        }
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
