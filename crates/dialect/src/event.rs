//! The canonical model of a streamed answer.
//!
//! Order: `Start` first; each choice's events in its own order, `Finish` last of them; choices interleave.
//! `Usage` comes once, after the last `Finish`, however often the vendor repeated it.

use steelyard_core::Usage;

use crate::chat::{FinishReason, Json, Logprobs};

/// One step of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// The vendor began to answer.
    Start {
        /// The vendor's id.
        id: Option<String>,
        /// The model, as the vendor calls it.
        model: Option<String>,
        /// The tier that serves it.
        service_tier: Option<String>,
        /// The vendor's configuration.
        system_fingerprint: Option<String>,
    },
    /// More text of the answer.
    Text {
        /// The answer's number.
        choice: u32,
        /// The text.
        text: String,
    },
    /// More of what the model thinks.
    Reasoning {
        /// The answer's number.
        choice: u32,
        /// The text.
        text: String,
    },
    /// More of a refusal.
    Refusal {
        /// The answer's number.
        choice: u32,
        /// The text.
        text: String,
    },
    /// A tool call begins.
    ToolCallStart {
        /// The answer's number.
        choice: u32,
        /// The call's number in the answer, from 0 without gaps.
        call: u32,
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Whether its input is free text.
        custom: bool,
    },
    /// More of a tool call's input.
    ToolCallArguments {
        /// The answer's number.
        choice: u32,
        /// The call's number in the answer.
        call: u32,
        /// A piece of the JSON or of the free text.
        text: String,
    },
    /// Probabilities of the tokens that just came.
    Logprobs {
        /// The answer's number.
        choice: u32,
        /// The probabilities.
        logprobs: Logprobs,
    },
    /// Sources of the text that came, as the vendor wrote them.
    Annotations {
        /// The answer's number.
        choice: u32,
        /// A JSON array.
        annotations: Json,
    },
    /// An answer is complete.
    Finish {
        /// The answer's number.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// What the whole call used.
    Usage(Usage),
}
