//! A channel's own secrets, which a vendor may quote when it fails: neither clients nor the log are to have them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use steelyard_dialect::UpstreamFault;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Takes the secrets of one request out of what its vendor says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask(Vec<HeaderValue>);

impl Mask {
    /// The secrets are the values that are marked sensitive.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(headers.values().filter(|value| value.is_sensitive()).cloned().collect())
    }

    /// Each secret, without the scheme before it.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter_map(|value| value.to_str().ok());
        let bare = values.map(|value| match value.split_once(' ') {
            Some(("Bearer" | "bearer" | "Basic" | "basic", secret)) => secret.trim_start(),
            _ => value,
        });
        bare.filter(|secret| !secret.is_empty())
    }

    pub(crate) fn text(&self, text: String) -> String {
        self.secrets().fold(text, without)
    }

    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        let text = String::from_utf8_lossy(&bytes);
        if self.secrets().any(|secret| text.contains(secret)) {
            self.text(text.into_owned()).into()
        } else {
            bytes
        }
    }

    pub(crate) fn fault(&self, fault: UpstreamFault) -> UpstreamFault {
        UpstreamFault {
            message: self.text(fault.message),
            kind: fault.kind.map(|kind| self.text(kind)),
            code: fault.code.map(|code| self.text(code)),
        }
    }
}

/// A text without a secret.
pub(crate) fn without(text: String, secret: &str) -> String {
    if text.contains(secret) { text.replace(secret, MASK) } else { text }
}
