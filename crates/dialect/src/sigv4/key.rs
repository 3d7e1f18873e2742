//! The key that signs: derived from the secret for one day, region and service.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};

use super::Scope;

/// A derived key. It stands for the secret on one day, in one region and for one service; deriving it costs four
/// HMACs, so callers may keep it.
#[derive(Clone)]
pub struct SigningKey(Key);

impl SigningKey {
    /// Derives it.
    pub fn derive(secret: &str, scope: &Scope<'_>) -> Self {
        let first = Key::new(HMAC_SHA256, &[b"AWS4", secret.as_bytes()].concat());
        let parts = [scope.date, scope.region, scope.service, "aws4_request"];
        Self(
            parts
                .into_iter()
                .fold(first, |key, part| Key::new(HMAC_SHA256, sign(&key, part.as_bytes()).as_ref())),
        )
    }

    /// Whether `hmac` is what this key makes of `text`, in constant time.
    pub(super) fn made(&self, hmac: &[u8], text: &[u8]) -> bool {
        verify(&self.0, text, hmac).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
