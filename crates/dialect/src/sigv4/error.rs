//! What can be wrong with a signature.

use steelyard_core::ErrorCode;

/// Why a signature is refused. Each variant names the exception with which AWS answers, always with status 403.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// The header cannot be read, or something that must be signed is not. `IncompleteSignatureException`.
    #[error("the AWS signature is incomplete: {0}")]
    Incomplete(String),
    /// Signed for another service or for another day than it says. `InvalidSignatureException`.
    #[error("the AWS signature has another scope than its request: {0}")]
    Scope(String),
    /// A header was signed and did not arrive. `InvalidSignatureException`.
    #[error("header `{name}` was signed and did not arrive: look for a proxy that removes or renames it")]
    MissingHeader {
        /// The header, in lower case.
        name: String,
    },
    /// Another secret, or another request than the one signed. `InvalidSignatureException`.
    #[error(
        "the request signature we calculated does not match the one that was sent: check the secret of access \
         key `{access_key_id}`, and look for a proxy that changes requests; calculated for {method} `{path}` \
         (canonical), host `{host}`, signed headers `{signed_headers}`"
    )]
    Mismatch {
        /// The key that the client named.
        access_key_id: String,
        /// The method that arrived.
        method: String,
        /// The path that was calculated with, in canonical form. The query is left out: it may hold a credential.
        path: String,
        /// The host that the request arrived for; empty when there is none.
        host: String,
        /// The headers that the client says it signed.
        signed_headers: String,
    },
    /// The signature is right, and the body is not the one it was made for. `InvalidSignatureException`.
    #[error(
        "the body has another SHA-256 than `x-amz-content-sha256` says ({claimed}): look for a proxy that \
         changes or cuts bodies"
    )]
    Body {
        /// What the header says.
        claimed: String,
    },
    /// Signed too long ago. `InvalidSignatureException`, in AWS's own words, which people search for.
    #[error(
        "Signature expired: {signed} is now earlier than {limit} ({now} - 5 min.): check the caller's clock"
    )]
    Expired {
        /// When it was signed, `20260102T030405Z`.
        signed: String,
        /// The earliest time that is taken.
        limit: String,
        /// The time here.
        now: String,
    },
    /// Signed in the future. `InvalidSignatureException`, in AWS's own words.
    #[error(
        "Signature not yet current: {signed} is still later than {limit} ({now} + 5 min.): check the caller's clock"
    )]
    Early {
        /// When it was signed, `20260102T030405Z`.
        signed: String,
        /// The latest time that is taken.
        limit: String,
        /// The time here.
        now: String,
    },
}

impl SigV4Error {
    /// The code under which a caller gets it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Incomplete(_) => ErrorCode::IncompleteSignature,
            Self::Scope(_) | Self::MissingHeader { .. } | Self::Mismatch { .. } | Self::Body { .. } => {
                ErrorCode::SignatureMismatch
            }
            Self::Expired { .. } | Self::Early { .. } => ErrorCode::SignatureExpired,
        }
    }
}

/// Of a stranger's text, as much as belongs into a message.
pub(super) fn shown(text: impl AsRef<[u8]>) -> String {
    const MOST: usize = 300;
    let text = text.as_ref();
    let head = String::from_utf8_lossy(&text[..text.len().min(MOST)]);
    let mut shown: String = head.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.len() > MOST {
        shown.push('…');
    }
    shown
}
