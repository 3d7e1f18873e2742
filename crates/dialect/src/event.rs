//! The canonical model of a streamed answer.
//!
//! Order: `Start` first; each choice's events in its own order, `Finish` last of them; choices interleave.
//! `Usage` may come at any time and more than once: each replaces the one before, figures are never added up.
//! Pieces of one kind that follow each other are one part, unless a `PartEnd` stands between them.

use steelyard_core::Usage;

use crate::chat::{Citation, FinishReason, Json, Logprobs};
use crate::dialect::Dialect;

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
    /// The vendor's proof of the reasoning that came; it ends that piece of reasoning.
    ReasoningSignature {
        /// The answer's number.
        choice: u32,
        /// As the vendor wrote it.
        signature: String,
    },
    /// Reasoning that the vendor hides, whole.
    RedactedReasoning {
        /// The answer's number.
        choice: u32,
        /// As the vendor wrote it.
        data: String,
    },
    /// A source of the text that came: of all of the part of text that was begun last, to which nothing is added any more.
    Citation {
        /// The answer's number.
        choice: u32,
        /// The source.
        citation: Citation,
    },
    /// The part that came last is complete. Wires without parts never say so.
    PartEnd {
        /// The answer's number.
        choice: u32,
    },
    /// A picture that the model made, whole.
    Image {
        /// The answer's number.
        choice: u32,
        /// `image/png`.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// A part that only one wire has a word for, whole.
    Foreign {
        /// The answer's number.
        choice: u32,
        /// Which wire.
        dialect: Dialect,
        /// The word.
        kind: String,
        /// The whole block as it was written.
        block: Json,
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
    /// More of a tool call's input. An input of JSON is never nothing: that of a call without arguments is `{}`.
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
    /// The tier that serves it, told later than at the start; it replaces what was told before.
    ServiceTier(String),
    /// Where it is served, if the vendor says so and its prices differ by that.
    Geo(String),
    /// What the whole call has used so far.
    Usage(Usage),
}

impl StreamEvent {
    /// The answer that it belongs to; none if it is of the whole call.
    pub(crate) fn choice(&self) -> Option<u32> {
        match self {
            Self::Start { .. } | Self::ServiceTier(_) | Self::Geo(_) | Self::Usage(_) => None,
            Self::Text { choice, .. }
            | Self::Reasoning { choice, .. }
            | Self::ReasoningSignature { choice, .. }
            | Self::RedactedReasoning { choice, .. }
            | Self::Citation { choice, .. }
            | Self::PartEnd { choice }
            | Self::Image { choice, .. }
            | Self::Foreign { choice, .. }
            | Self::Refusal { choice, .. }
            | Self::ToolCallStart { choice, .. }
            | Self::ToolCallArguments { choice, .. }
            | Self::Logprobs { choice, .. }
            | Self::Annotations { choice, .. }
            | Self::Finish { choice, .. } => Some(*choice),
        }
    }

    /// Whether a text that comes after it is another part than one that came before.
    pub(crate) fn ends_text(&self) -> bool {
        match self {
            Self::Reasoning { .. }
            | Self::ReasoningSignature { .. }
            | Self::RedactedReasoning { .. }
            | Self::PartEnd { .. }
            | Self::Image { .. }
            | Self::Foreign { .. }
            | Self::Refusal { .. }
            | Self::ToolCallStart { .. }
            | Self::ToolCallArguments { .. }
            | Self::Finish { .. } => true,
            // What stands beside a text, and what is no part of an answer.
            Self::Text { .. }
            | Self::Citation { .. }
            | Self::Annotations { .. }
            | Self::Logprobs { .. }
            | Self::Start { .. }
            | Self::ServiceTier(_)
            | Self::Geo(_)
            | Self::Usage(_) => false,
        }
    }
}

/// Where the parts of text of a streamed answer stand in all that it says, in the unit that the texts are counted in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    start: usize,
    end: usize,
    /// The next text begins a part.
    ended: bool,
}

impl Said {
    /// A text of that length came.
    pub(crate) fn text(&mut self, length: usize) {
        if std::mem::take(&mut self.ended) {
            self.start = self.end;
        }
        self.end += length;
    }

    /// The part is complete, or another kind of part began.
    pub(crate) fn end_part(&mut self) {
        self.ended = true;
    }

    /// From where to where the last part of text goes.
    pub(crate) fn last_part(self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// How much has been said.
    pub(crate) fn total(self) -> usize {
        self.end
    }
}
