//! What AWS's own signer signs is verified, and no signed byte can be changed.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Signs with AWS's signer, which shares no code with the verifier.
fn signed(mut arrived: Arrived, checksum: bool, seconds: u64) -> Arrived {
    let identity = Credentials::from_keys("AKIDEXAMPLE", SECRET, None).into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind =
        if checksum { PayloadChecksumKind::XAmzSha256 } else { PayloadChecksumKind::NoHeader };
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-3")
        .name("bedrock")
        .time(UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(settings)
        .build()
        .expect("all parameters")
        .into();
    let query = arrived.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
    let uri = format!("http://steelyard.local:8080{}{query}", arrived.path);
    let headers = arrived.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let body = SignableBody::Bytes(&arrived.body);
    let request = SignableRequest::new(arrived.method.as_str(), uri, headers, body).expect("a request");
    let (instructions, _) = sign(request, &parameters).expect("a signature").into_parts();
    let added: Vec<_> =
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, value) in added {
        arrived.add(&name, &value);
    }
    arrived
}

fn at(seconds: u64) -> String {
    Timestamp(i64::try_from(seconds).expect("a time") * 1_000_000).to_string()
}

/// Paths as clients send them: escaped, literal, with characters that AWS reserves.
fn path() -> impl Strategy<Value = String> {
    vec("([a-zA-Z0-9._~:@!$'()*,;=+-]|%[0-9A-Fa-f]{2}){1,12}", 1..5)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

/// Queries of which the signer makes the same as the verifier: no broken escapes, and UTF-8 once decoded.
fn query() -> impl Strategy<Value = Option<String>> {
    let word = "([a-zA-Z0-9._~:@!/?-]|\\+|%20|%2B|%26|%3D|%25|%C3%A9|%e4%b8%96){0,6}";
    let parameter =
        ("[a-zA-Z0-9._~-]{1,3}", proptest::option::of(word)).prop_map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        });
    proptest::option::of(vec(parameter, 1..6).prop_map(|parameters| parameters.join("&")))
}

fn arrived() -> impl Strategy<Value = Arrived> {
    let method = prop_oneof![Just(Method::POST), Just(Method::GET), Just(Method::PUT), Just(Method::DELETE)];
    let headers = vec(("x-[a-z]{1,4}", "[!-~]{1,6}( {1,3}[!-~]{1,6}){0,3}"), 0..5);
    (method, path(), query(), headers, vec(any::<u8>(), 0..200)).prop_map(
        |(method, path, query, headers, body)| {
            let mut arrived = Arrived::new(&path, &[("host", "steelyard.local:8080")]);
            for (name, value) in &headers {
                arrived.add(name, value);
            }
            Arrived { method, query, body, ..arrived }
        },
    )
}

/// Another letter or digit, in the place of one.
fn changed(text: &str, at: Index) -> Option<String> {
    let places: Vec<usize> = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| byte.is_ascii_alphanumeric() && !text[at.saturating_sub(2)..*at].contains('%'))
        .map(|(at, _)| at)
        .collect();
    let place = *places.get(at.index(places.len().max(1)))?;
    let mut bytes = text.as_bytes().to_vec();
    bytes[place] = match bytes[place] {
        b'z' | b'Z' | b'9' => bytes[place] - 1,
        other => other + 1,
    };
    Some(String::from_utf8(bytes).expect("ASCII stays ASCII"))
}

proptest! {
    #[test]
    fn what_awss_signer_signs_is_verified(
        request in arrived(),
        checksum: bool,
        seconds in 1_600_000_000_u64..2_000_000_000,
        skew in 0_u64..=300,
    ) {
        let request = signed(request, checksum, seconds);
        prop_assert_eq!(request.verify_at(&at(seconds + skew), SECRET), Ok(()));
        prop_assert_eq!(request.verify_at(&at(seconds - skew), SECRET), Ok(()));
        prop_assert!(request.verify_at(&at(seconds + 301), SECRET).is_err());
        prop_assert!(request.verify_at(&at(seconds), "another secret").is_err());
    }

    #[test]
    fn no_signed_byte_can_be_changed(
        request in arrived(),
        checksum: bool,
        place: Index,
        flip in 1..=255_u8,
    ) {
        let seconds = 1_767_323_045;
        let mut request = request;
        // Only letters and digits, so that every change of one is a change of what the query means.
        request.query = Some("model=abc&x=1&y".into());
        let good = signed(request, checksum, seconds);
        let fails = |changed: &Arrived| changed.verify_at(&at(seconds), SECRET).is_err();
        prop_assert!(!fails(&good));

        let mut bad = good.clone();
        bad.method = if bad.method == Method::POST { Method::PUT } else { Method::POST };
        prop_assert!(fails(&bad), "method");

        if let Some(path) = changed(&good.path, place) {
            prop_assert!(fails(&Arrived { path, ..good.clone() }), "path");
        }
        let query = changed(good.query.as_deref().expect("a query"), place);
        prop_assert!(fails(&Arrived { query, ..good.clone() }), "query");

        let mut bad = good.clone();
        if bad.body.is_empty() { bad.body.push(flip) } else {
            let at = place.index(bad.body.len());
            bad.body[at] ^= flip;
        }
        prop_assert!(fails(&bad), "body");
    }

    #[test]
    fn no_signed_header_can_be_changed(request in arrived(), checksum: bool, place: Index) {
        let seconds = 1_767_323_045;
        let good = signed(request, checksum, seconds);
        let fails = |changed: &Arrived| changed.verify_at(&at(seconds), SECRET).is_err();
        let names: Vec<HeaderName> = good.headers.keys().filter(|name| *name != "authorization").cloned().collect();
        for name in names {
            let mut values: Vec<HeaderValue> = good.headers.get_all(&name).iter().cloned().collect();
            let which = place.index(values.len());
            let Some(value) = changed(values[which].to_str().expect("text"), place) else { continue };
            values[which] = HeaderValue::from_str(&value).expect("a value");
            let mut bad = good.clone();
            bad.headers.remove(&name);
            for value in values {
                bad.headers.append(&name, value);
            }
            prop_assert!(fails(&bad), "{}", name);
        }
        // The header of the signature itself: names, scope and signature. The key id is what the secret was looked
        // up by, so it alone is not covered.
        let header = good.headers["authorization"].to_str().expect("ASCII");
        let (key_id, rest) = header.split_once('/').expect("a credential");
        let mut bad = good.clone();
        let rest = changed(rest, place).expect("letters");
        bad.set("authorization", &format!("{key_id}/{rest}"));
        prop_assert!(fails(&bad), "{}", rest);
    }

    #[test]
    fn headers_that_are_not_signed_are_free(request in arrived(), value in "[ -~]{0,20}") {
        let seconds = 1_767_323_045;
        let mut request = signed(request, false, seconds);
        request.set("user-agent", &value).set("via", &value).set("x-amzn-trace-id", &value);
        prop_assert_eq!(request.verify_at(&at(seconds), SECRET), Ok(()));
    }

    #[test]
    fn nothing_makes_it_panic(
        authorization in "(AWS4-HMAC-SHA256|AWS4-)? ?(Credential=|SignedHeaders=|Signature=|[a-z0-9/,;=: ]|é){0,40}",
        date in "[0-9TZ]{0,17}",
        path in "\\PC{0,40}",
        query in "[a-z%+&=\\x00-\\xff]{0,40}",
    ) {
        let mut request = Arrived::new(&path, &[("host", "h"), ("x-amz-date", &date)]);
        request.query = Some(query);
        request.headers.append("authorization", HeaderValue::from_bytes(authorization.as_bytes()).expect("a value"));
        if parse(&request.headers).is_some() {
            prop_assert!(request.verify().is_err());
        }
        prop_assert!(canonical::request(&request.request(), "host;x-amz-date", "").is_ok());
    }
}
