//! Signs a call as AWS's SDKs do, for the calls that Steelyard verifies.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

use super::wire;

const SCOPE: [&str; 3] = ["us-east-1", "bedrock", "aws4_request"];
const SIGNED: &str = "content-type;host;x-amz-date";

/// A key pair for clients that sign.
#[derive(Debug, Clone)]
pub(crate) struct KeyPair {
    /// Its public half.
    pub(crate) id: String,
    /// Its secret half.
    pub(crate) secret: String,
}

/// The headers that sign a POST of `body` to `path`, at the time `now` in ISO 8601.
pub(crate) fn headers(
    pair: &KeyPair,
    now: &str,
    host: &str,
    path: &str,
    body: &[u8],
) -> [(&'static str, String); 2] {
    let digits: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let (day, second) = (digits.get(..8).unwrap_or_default(), digits.get(..15).unwrap_or_default());
    let time = format!("{second}Z");
    let canonical = format!(
        "POST\n{path}\n\ncontent-type:{}\nhost:{host}\nx-amz-date:{time}\n\n{SIGNED}\n{}",
        wire::JSON,
        sha256(body)
    );
    let scope = format!("{day}/{}", SCOPE.join("/"));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let first = format!("AWS4{}", pair.secret).into_bytes();
    let key = [day].into_iter().chain(SCOPE).fold(first, |key, part| mac(&key, part));
    let signature = hex::encode(mac(&key, &text));
    let id = &pair.id;
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={SIGNED}, Signature={signature}");
    [("x-amz-date", time), ("authorization", authorization)]
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use steelyard_core::Timestamp;
    use steelyard_dialect::sigv4::{self, SignedRequest, SigningKey};

    use super::*;

    #[test]
    fn what_is_signed_here_verifies() {
        let pair = KeyPair { id: "AKSY0123456789ABCDEF".into(), secret: "s".repeat(40) };
        let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
        let (path, body) = ("/model/bench/converse", b"{}".as_slice());
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("h:1"));
        headers.insert("content-type", HeaderValue::from_static(wire::JSON));
        for (name, value) in super::headers(&pair, "2026-11-21T09:30:00.25Z", "h:1", path, body) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        let method = Method::POST;
        let request =
            SignedRequest { method: &method, path, query: None, authority: None, headers: &headers };
        let signature = sigv4::parse(&headers).unwrap().unwrap();
        let key = SigningKey::derive(&pair.secret, &signature.scope);
        signature.verify(&request, body, &key, now).unwrap();
        assert!(signature.verify(&request, b"[]", &key, now).is_err());
    }
}
