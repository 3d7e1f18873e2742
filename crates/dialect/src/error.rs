//! What can be wrong with a vendor's reply, and what a target cannot express.

use std::fmt;

use steelyard_core::{ApiError, ErrorCode};

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
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A request field that the target cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The field, as a path in the canonical request (`messages[2].content[0]`).
    pub field: String,
    /// How bad that is.
    pub kind: LossKind,
    /// What became of it.
    pub why: &'static str,
}

/// How bad a loss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// It only tuned the answer and is left out.
    Dropped,
    /// It is reached by other means, nearly.
    Emulated,
    /// Without it the call would mean something else, so it is not made.
    Refused,
}

impl Loss {
    /// A field that only tunes and is left out.
    pub fn dropped(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Dropped, why }
    }

    /// A request's member that only another wire has. A guardrail that silently did not run would be a lie.
    pub(crate) fn foreign(name: &str) -> Self {
        match name {
            "guardrailConfig" => Self::refused(
                name,
                "AWS keeps the guardrail, and it would not run before another vendor's model",
            ),
            name => Self::dropped(name, "another wire's own field"),
        }
    }

    /// A field that is reached by other means.
    pub fn emulated(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Emulated, why }
    }

    /// A field without which the call must not be made.
    pub fn refused(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Refused, why }
    }
}

/// Whether a call is made in spite of what its target cannot express: the names of what is lost, or the refusal. A
/// `strict` call is made only if nothing is lost.
pub fn accept(losses: &[Loss], strict: bool) -> Result<Vec<String>, ApiError> {
    let fatal: Vec<&Loss> = losses.iter().filter(|loss| strict || loss.kind == LossKind::Refused).collect();
    let Some(first) = fatal.first() else {
        let mut names: Vec<String> = losses.iter().map(|loss| loss.field.clone()).collect();
        names.dedup();
        return Ok(names);
    };
    let said: Vec<String> = fatal.iter().map(|loss| format!("`{}` ({})", loss.field, loss.why)).collect();
    let remedy = if first.kind == LossKind::Refused {
        "leave it out, or call a model whose wire has it"
    } else {
        "the call is strict: leave it out, or allow losses"
    };
    let text = format!("the target cannot express {}: {remedy}", said.join(", "));
    Err(ApiError::new(ErrorCode::Loss, text).with_param(first.field.clone()))
}
