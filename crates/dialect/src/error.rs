//! What can be wrong with a vendor's reply.

use std::fmt;

use crate::json::Fault;

/// Why a vendor's reply cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not JSON, or JSON of another shape.
    #[error("the reply cannot be read: {0}")]
    Garbage(#[source] Fault),
    /// The reply is, or contains, the vendor's own error.
    #[error("the vendor reported an error: {0}")]
    Upstream(UpstreamFault),
    /// The stream ended without its terminal frame.
    #[error("the reply broke off before its end")]
    Cut,
    /// An event, or what follows the terminal frame, is longer than anything a vendor sends.
    #[error("an event of the reply exceeds {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl From<Fault> for WireError {
    fn from(fault: Fault) -> Self {
        Self::Garbage(fault)
    }
}

/// A vendor's error, as it wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamFault {
    /// The text.
    pub message: String,
    /// The vendor's type (`server_error`).
    pub kind: Option<String>,
    /// The vendor's code (`insufficient_quota`, `529`).
    pub code: Option<String>,
}

impl UpstreamFault {
    /// Whether the prompt does not fit into the model. Agents react to that by shortening it, so it must not be lost
    /// among other refusals.
    pub fn is_context_overflow(&self) -> bool {
        let said = |words: &str| self.message.to_ascii_lowercase().contains(words);
        self.code.as_deref() == Some("context_length_exceeded")
            || said("prompt is too long")
            || said("input is too long")
            || said("maximum context length")
            || said("context window")
            || said("exceeds the maximum number of tokens")
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // AWS's errors may have a name alone.
        let name = || self.kind.as_deref().or(self.code.as_deref());
        f.write_str(
            Some(self.message.as_str()).filter(|text| !text.is_empty()).or_else(name).unwrap_or_default(),
        )
    }
}
