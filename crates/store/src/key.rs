//! Secrets of keys: how they are made, and what is kept of them.
//!
//! A secret is 256 random bits, so its hash needs neither salt nor stretching: BLAKE3 is stored, the secret is not.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::vault::random;

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
        Self::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>())))
    }

    /// The text, to be shown once or compared.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// For whoever keeps it; does not print itself there either.
    pub fn into_inner(self) -> SecretString {
        self.0
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

/// A pair with which AWS's SDKs sign, in the form of AWS's own: the secret never travels, so it must be had again in
/// clear where signatures are checked.
#[derive(Debug, Clone)]
pub struct AwsPair {
    /// `AKSY` and 16 of `A` to `Z` and `2` to `7`, at random; not a secret.
    pub access_key_id: String,
    /// 40 characters of base64: 240 random bits.
    pub secret_access_key: Secret,
}

impl AwsPair {
    /// A new one.
    pub fn generate() -> Self {
        const ALPHABET: [u8; 32] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let id = random::<16>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        let secret = Zeroizing::new(random::<30>());
        Self {
            access_key_id: format!("AKSY{}", String::from_iter(id)),
            secret_access_key: Secret::from(STANDARD.encode(&secret[..])),
        }
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
    fn pairs_look_like_those_of_aws() {
        let pair = AwsPair::generate();
        let (id, secret) = (&pair.access_key_id, pair.secret_access_key.expose());
        let of_id = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        assert!(id.len() == 20 && id.starts_with("AKSY") && id.bytes().all(of_id), "{id}");
        let of_secret = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
        assert!(secret.len() == 40 && secret.bytes().all(of_secret), "{secret}");
        let other = AwsPair::generate();
        assert!(*id != other.access_key_id && secret != other.secret_access_key.expose());
        assert!(!format!("{pair:?}").contains(secret));
    }

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
