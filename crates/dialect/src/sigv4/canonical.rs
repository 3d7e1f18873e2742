//! The canonical request: what both sides hash.
//!
//! `METHOD\nPATH\nQUERY\nHEADERS\nSIGNED-HEADERS\nPAYLOAD-HASH`

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::error::shown;
use super::{SigV4Error, SignedRequest};

/// All but AWS's unreserved characters, `A-Za-z0-9-_.~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for a path, whose `/` stays.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// The canonical request. At most a few times as long as the head of the request.
pub(super) fn request(
    request: &SignedRequest<'_>,
    signed_headers: &str,
    payload_hash: &str,
) -> Result<Vec<u8>, SigV4Error> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(path(request.path).as_bytes());
    out.push(b'\n');
    push_query(&mut out, request.query.unwrap_or_default());
    out.push(b'\n');
    for name in signed_headers.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        push_header(&mut out, request, name)?;
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    Ok(out)
}

/// The raw path, percent-encoded once more: `%3A` becomes `%253A`, and a literal `:` becomes `%3A`.
///
/// Empty and dot segments are kept, as they are what routing sees. AWS's SDKs leave them out when they sign, but
/// send no such path either.
pub(super) fn path(raw: &str) -> String {
    let raw = if raw.is_empty() { "/" } else { raw };
    percent_encode(raw.as_bytes(), RESERVED_IN_PATH).to_string()
}

/// Parameters decoded and encoded anew, in ascending order; a name without `=` gets one.
///
/// Bytes are decoded to bytes, so that two queries that are no UTF-8 stay apart.
fn push_query(out: &mut Vec<u8>, raw: &str) {
    let mut parameters: Vec<(String, String)> = raw
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .map(|(name, value)| (anew(name), anew(value)))
        .collect();
    parameters.sort_unstable();
    for (at, (name, value)) in parameters.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

fn anew(text: &str) -> String {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let bytes: Cow<'_, [u8]> = percent_decode(spaced.as_bytes()).into();
    percent_encode(&bytes, RESERVED).to_string()
}

/// The values of one header. A client of HTTP/2 has `:authority` where one of HTTP/1.1 has `Host`; a TLS terminator
/// may turn one version into the other, so each stands in for the other.
fn push_header(out: &mut Vec<u8>, request: &SignedRequest<'_>, name: &str) -> Result<(), SigV4Error> {
    if name == ":authority" {
        let value = request.authority.map(str::as_bytes).or_else(|| request.host());
        push_folded(out, value.ok_or_else(|| missing(name))?);
        return Ok(());
    }
    let mut values = request.headers.get_all(name).iter();
    match values.next() {
        Some(value) => push_folded(out, value.as_bytes()),
        None if name == "host" => push_folded(out, request.host().ok_or_else(|| missing(name))?),
        None => return Err(missing(name)),
    }
    for value in values {
        out.push(b',');
        push_folded(out, value.as_bytes());
    }
    Ok(())
}

/// A value without white space around it, and with single spaces in it. Tabs count as spaces, as they do for
/// botocore and the JavaScript SDK.
fn push_folded(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn missing(name: &str) -> SigV4Error {
    SigV4Error::MissingHeader { name: shown(name) }
}
