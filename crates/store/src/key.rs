//! Secrets of keys: how they are made, and what is kept of them.
//!
//! A secret is 256 random bits, so its hash needs neither salt nor stretching: BLAKE3 is stored, the secret is not.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// A secret in clear; does not print itself and is wiped when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// `sk-sy-` and 43 characters (base64url of 256 random bits).
    pub fn generate() -> Self {
        Self::with_prefix("sk-sy-")
    }

    /// As [`Self::generate`], with a prefix that tells people to be careful.
    pub fn generate_admin() -> Self {
        Self::with_prefix("sk-sy-admin-")
    }

    fn with_prefix(prefix: &str) -> Self {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        Self::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// The text, to be shown once or compared.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Its hash, as stored.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.expose())
    }

    /// Its last four characters, by which people tell keys apart.
    pub fn hint(&self) -> String {
        let text = self.expose();
        let start = text.char_indices().rev().nth(3).map_or(0, |(index, _)| index);
        text[start..].to_owned()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// BLAKE3 of a secret. Equality in constant time is not needed: an attacker cannot steer the hash of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a presented secret.
    pub fn of(secret: &str) -> Self {
        Self(*blake3::hash(secret.as_bytes()).as_bytes())
    }

    /// The 32 bytes, as stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the 32 stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_different_and_do_not_print() {
        let secret = Secret::generate();
        let text = secret.expose();
        assert_eq!(text.len(), "sk-sy-".len() + 43);
        assert!(text.ends_with(&secret.hint()) && secret.hint().len() == 4);
        assert_ne!(text, Secret::generate().expose());
        assert_eq!(secret.hash(), KeyHash::of(text));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(Secret::from("né".to_owned()).hint(), "né");
    }
}
