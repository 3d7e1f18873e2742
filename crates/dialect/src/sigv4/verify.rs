//! Whether a signature is that of its request.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use steelyard_core::Timestamp;

use super::error::shown;
use super::time::{SignedAt, single};
use super::{SigV4Error, Signature, SignedRequest, SigningKey, canonical};

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const SESSION_TOKEN: &str = "x-amz-security-token";

impl Signature<'_> {
    /// What can be said before the body is read and without the secret: what must be signed is signed, and the
    /// signature is of now. [`verify`](Self::verify) repeats it.
    ///
    /// A session token must be signed where there is one, as AWS demands. It decides nothing beyond that: key pairs of
    /// Steelyard have none, so one that a client still has from elsewhere (`AWS_SESSION_TOKEN`) is passed over.
    pub fn precheck(&self, request: &SignedRequest<'_>, now: Timestamp) -> Result<(), SigV4Error> {
        self.signed_at(request, now).map(drop)
    }

    /// Whether the secret behind `key` signed this request, within five minutes of `now`.
    ///
    /// `body` is as it was on the wire: compressed, if the client compressed it.
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        body: &[u8],
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<(), SigV4Error> {
        let at = self.signed_at(request, now)?;
        let claimed = claimed_hash(request)?;
        let payload_hash = claimed.map_or_else(|| Cow::Owned(sha256(body)), Cow::Borrowed);
        let canonical = canonical::request(request, self.signed_headers, &payload_hash)?;
        let text = ["AWS4-HMAC-SHA256", &at.text, self.scope.text, &sha256(&canonical)].join("\n");
        if !key.made(&self.hmac, text.as_bytes()) {
            return Err(self.mismatch(request));
        }
        // Only now: whoever has no key makes nobody hash a large body.
        match claimed {
            Some(claimed) if claimed != UNSIGNED && claimed != sha256(body) => {
                Err(SigV4Error::Body { claimed: shown(claimed) })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn signed_at<'r>(&self, request: &SignedRequest<'r>, now: Timestamp) -> Result<SignedAt<'r>, SigV4Error> {
        if !self.signs("host") && !self.signs(":authority") {
            let text = "`SignedHeaders` has neither `host` nor `:authority`";
            return Err(SigV4Error::Incomplete(text.into()));
        }
        if request.headers.contains_key(SESSION_TOKEN) && !self.signs(SESSION_TOKEN) {
            return Err(SigV4Error::Incomplete(format!(
                "`{SESSION_TOKEN}` was sent, and `SignedHeaders` lacks it"
            )));
        }
        let at = SignedAt::of(request.headers)?;
        if !self.signs(at.header) {
            return Err(SigV4Error::Incomplete(format!("`SignedHeaders` lacks `{}`", at.header)));
        }
        if !at.text.starts_with(self.scope.date) {
            let text = format!("it is of {}, and the request of {}", self.scope.date, at.text);
            return Err(SigV4Error::Scope(text));
        }
        at.check(now)?;
        Ok(at)
    }

    fn signs(&self, header: &str) -> bool {
        self.signed_headers.split(';').any(|name| name == header)
    }

    fn mismatch(&self, request: &SignedRequest<'_>) -> SigV4Error {
        SigV4Error::Mismatch {
            access_key_id: shown(self.access_key_id),
            method: shown(request.method.as_str()),
            path: shown(canonical::path(request.path)),
            host: shown(request.host().unwrap_or_default()),
            signed_headers: shown(self.signed_headers),
        }
    }
}

/// The hash that the client says its body has, or that it says it did not sign the body.
fn claimed_hash<'a>(request: &SignedRequest<'a>) -> Result<Option<&'a str>, SigV4Error> {
    let Some(value) = single(request.headers, "x-amz-content-sha256")? else { return Ok(None) };
    let wrong = |why| SigV4Error::Incomplete(format!("`x-amz-content-sha256` is `{}`, {why}", shown(value)));
    let text = value.to_str().map_err(|_| wrong("which is no hash"))?;
    if text.starts_with("STREAMING-") {
        return Err(wrong("and Bedrock takes no bodies that are signed in chunks: sign the whole body"));
    }
    let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text != UNSIGNED && !is_hash {
        return Err(wrong("which is neither a SHA-256 in lower-case hexadecimal nor `UNSIGNED-PAYLOAD`"));
    }
    Ok(Some(text))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}
