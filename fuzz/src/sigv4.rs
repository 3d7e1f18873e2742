//! No head of a request makes the check of an AWS signature panic, and none passes that nobody signed.
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use steelyard_core::Timestamp;
use steelyard_dialect::sigv4::{SignedRequest, SigningKey, parse};

/// A good header, into which the input is put, so that the first run gets past the parser.
const HEAD: &str = "AWS4-HMAC-SHA256 Credential=A/20260102/r/bedrock/aws4_request, SignedHeaders=";
const TAIL: &str = ", Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// AWS signatures.
pub fn sigv4(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Lines: authorization (or signed headers), path, query, then headers.
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let path = lines.next().unwrap_or_default();
    let query = lines.next();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    if !headers.contains_key("date") {
        headers.entry("x-amz-date").or_insert(HeaderValue::from_static("20260102T030405Z"));
    }
    for authorization in [first.to_owned(), format!("{HEAD}{first}{TAIL}")] {
        let Ok(value) = HeaderValue::from_bytes(authorization.as_bytes()) else { continue };
        headers.insert("authorization", value);
        let Some(Ok(signature)) = parse(&headers) else { continue };
        let request =
            SignedRequest { method: &Method::POST, path, query, authority: Some("h"), headers: &headers };
        let key = SigningKey::derive("secret", &signature.scope);
        let error = signature.verify(&request, input, &key, Timestamp(1_767_323_045_000_000));
        assert!(error.is_err_and(|error| error.to_string().len() < 4_000));
    }
}
