//! A channel's own secrets, which a vendor may quote when it fails: neither clients nor the log are to have them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use steelyard_dialect::UpstreamFault;

/// What stands in a secret's place.
const MASK: &str = "***";

/// A secret of fewer bytes may be a word of a language (`test`, `secret`). No vendor gives such keys out; operators of their
/// own servers do.
const SHORT: usize = 8;

/// What announces a secret, in lower case, and how far before it that stands at most.
const ANNOUNCED_BY: [&str; 7] =
    ["key", "token", "bearer", "authorization", "secret", "password", "credential"];
const NEAR: usize = 32;

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
        if self.secrets().any(|secret| places(&text, secret).next().is_some()) {
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

/// A text without a secret: a long one wherever it stands, a short one where the text speaks of a key, so that other texts
/// keep their words.
pub(crate) fn without(text: String, secret: &str) -> String {
    let mut masked = String::new();
    let mut from = 0;
    for at in places(&text, secret) {
        masked.push_str(&text[from..at]);
        masked.push_str(MASK);
        from = at + secret.len();
    }
    if from == 0 {
        return text;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Where in a text a secret is told.
fn places<'a>(text: &'a str, secret: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = text.match_indices(secret).map(|(at, _)| at);
    found.filter(move |at| secret.len() >= SHORT || is_told(text, *at, secret.len()))
}

/// Whether a short secret that stands there is one: a word of its own, soon after what announces it.
fn is_told(text: &str, at: usize, length: usize) -> bool {
    let of_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    let (before, after) = (&text[..at], &text[at + length..]);
    if before.ends_with(of_word) || after.starts_with(of_word) {
        return false;
    }
    let near = before.char_indices().rev().take(NEAR).last().map_or(at, |(start, _)| start);
    let near = before[near..].to_ascii_lowercase();
    ANNOUNCED_BY.iter().any(|word| near.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, secret: &str) -> String {
        let mut headers = HeaderMap::new();
        let mut value = HeaderValue::try_from(format!("Bearer {secret}")).unwrap();
        value.set_sensitive(true);
        headers.insert("authorization", value);
        let mask = Mask::of(&headers);
        let bytes = mask.bytes(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(bytes, mask.text(text.to_owned()), "{text}");
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_key_is_masked_wherever_it_stands() {
        let key = "sk-12345";
        assert_eq!(masked("sk-12345 is no key of xsk-12345x", key), "*** is no key of x***x");
        assert_eq!(masked("nothing of it", key), "nothing of it");
    }

    #[test]
    fn a_key_that_is_a_word_leaves_other_words_alone() {
        let check = |text: &str, expected: &str| assert_eq!(masked(text, "test"), expected);
        check("the latest test of a contest failed: test", "the latest test of a contest failed: test");
        check(
            r#"{"error":{"message":"model test is not loaded"}}"#,
            r#"{"error":{"message":"model test is not loaded"}}"#,
        );
        check("Incorrect API key provided: test. See /keys.", "Incorrect API key provided: ***. See /keys.");
        check(r#"{"api_key":"test","n":"test-1"}"#, r#"{"api_key":"***","n":"test-1"}"#);
        check("Authorization: Bearer test", "Authorization: Bearer ***");
        check("ä: your Token `test`, ä", "ä: your Token `***`, ä");
        check(
            "the key is bad; of what came later by far and long, test",
            "the key is bad; of what came later by far and long, test",
        );
        assert_eq!(masked("", "test"), "");
    }
}
