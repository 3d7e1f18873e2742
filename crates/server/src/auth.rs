//! Who is calling: every bearer form of every dialect, and in `sigv4` signed requests, checked against the snapshot.
//! No database, no password hash.

pub(crate) mod sigv4;

pub use sigv4::SigningKeys;

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use steelyard_core::{ApiError, ErrorCode, Principal, Timestamp};
use steelyard_gateway::snapshot::Snapshot;
use subtle::ConstantTimeEq;

/// The headers in which clients send a key, beside `Authorization: Bearer`.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// The principal whose key was sent. Where a client sends several, the first that is valid counts.
pub(crate) fn authenticate(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    query: Option<&str>,
    now: Timestamp,
) -> Result<Arc<Principal>, ApiError> {
    let mut refused = None;
    if let Some(key) = bearer(headers) {
        match check(snapshot, key, now) {
            Ok(principal) => return Ok(principal),
            Err(error) => refused = Some(error),
        }
    }
    let named = KEY_HEADERS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    for key in named {
        match check(snapshot, key, now) {
            Ok(principal) => return Ok(principal),
            Err(error) => refused = Some(error),
        }
    }
    let in_query = query.into_iter().flat_map(|query| form_urlencoded::parse(query.as_bytes()));
    for (_, key) in in_query.filter(|(name, _)| name == "key") {
        match check(snapshot, &key, now) {
            Ok(principal) => return Ok(principal),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| {
        let text = "no API key was sent: put a Steelyard key into `Authorization: Bearer KEY` (make one with `steelyard keys create NAME`)";
        ApiError::new(ErrorCode::MissingCredential, text)
    }))
}

/// The same, for the management API: only the admin key.
pub(crate) fn authenticate_admin(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Arc<Principal>, ApiError> {
    let principal = authenticate(snapshot, headers, None, now)?;
    if principal.admin {
        return Ok(principal);
    }
    let text = format!("key `{}` may call models, not manage Steelyard: use the admin key", principal.name);
    Err(ApiError::new(ErrorCode::AdminOnly, text))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn check(snapshot: &Snapshot, key: &str, now: Timestamp) -> Result<Arc<Principal>, ApiError> {
    let hash = *blake3::hash(key.as_bytes()).as_bytes();
    let known = snapshot.key(&hash).filter(|record| bool::from(record.hash.ct_eq(&hash)));
    let Some(record) = known else {
        let text = "the API key is not known here: it may be mistyped, revoked, or a vendor's own key";
        return Err(ApiError::new(ErrorCode::InvalidCredential, text));
    };
    match record.expires_at {
        Some(end) if end <= now => {
            let text =
                format!("key `{}` expired at {end}: rotate it, or make a new one", record.principal.name);
            Err(ApiError::new(ErrorCode::ExpiredKey, text))
        }
        Some(_) | None => Ok(Arc::clone(&record.principal)),
    }
}
