//! Ids: UUID v7 behind a readable prefix, so they sort by time and say what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {prefix} id: expected {prefix}_ and 32 hexadecimal digits")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, later in order than every one made before it in this process.
            #[expect(clippy::disallowed_methods, clippy::new_without_default, reason = "the one place ids are made")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The 16 bytes, big-endian, as stored.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The bare UUID, for dialects whose own ids are UUIDs.
            pub fn uuid(&self) -> Uuid {
                self.0
            }

            /// From the 16 stored bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut hex = [0; 32];
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(self.0.simple().encode_lower(&mut hex))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| ParseIdError { text: text.chars().take(80).collect(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One inbound request; the same text in `x-steelyard-request-id` and in the ledger.
    RequestId, "req"
);
id!(
    /// One ledger entry.
    EntryId, "ent"
);
id!(
    /// One key. Not the secret.
    KeyId, "key"
);
id!(
    /// One project.
    ProjectId, "prj"
);
id!(
    /// One answer of the Responses API, in that API's own form. It is the id of the request that it answers.
    ResponseId, "resp"
);
id!(
    /// One conversation of OpenAI's API, in that API's own form.
    ConversationId, "conv"
);

impl From<RequestId> for ResponseId {
    fn from(id: RequestId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_sorts_by_time() {
        let first = RequestId::new();
        let second = RequestId::new();
        assert!(first < second && first.to_string() < second.to_string());
        assert_eq!(first.to_string().parse::<RequestId>(), Ok(first));
        assert_eq!(RequestId::from_bytes(*first.as_bytes()), first);
        let json = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<RequestId>(&json).unwrap(), first);
    }

    #[test]
    fn a_wrong_id_names_itself_and_the_form() {
        for text in ["", "req", "req_", "key_00000000000000000000000000000000", "req_zz"] {
            let error = text.parse::<RequestId>().unwrap_err().to_string();
            assert!(error.contains("expected req_"), "{error}");
        }
    }
}
