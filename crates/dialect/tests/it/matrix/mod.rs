//! The golden matrix: every field of every wire, to every other wire.
//!
//! A row is one field: a small body that is laid over the least request, or a reply or a stream with that one thing in
//! it. What became of it is told by machine: it went over to the other wire, was read again by that wire's own decoder,
//! and either means the same, or is named as a loss, or differs for a reason that stands beside the row. Nothing else
//! passes. `docs/fidelity.md` is this matrix, written down.

mod answers;
mod cited;
mod figures;
mod growth;
mod meaning;
mod page;
mod properties;
mod requests;
mod rows;
mod said;
mod streams;
mod unknown;

use steelyard_dialect::Dialect;
use steelyard_dialect::Target;

/// A wire as the target of a call: with a model, because models take different things on one wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) dialect: Dialect,
    /// The models it stands for, in the words of the page.
    pub(crate) title: &'static str,
    pub(crate) target: Target<'static>,
}

/// The wires that requests are written for. Of each, first the one with the models that take the most.
pub(crate) const WIRES: [Wire; 13] = [
    wire(Dialect::OpenAiChat, "OpenAI", "gpt-6-sol", false),
    wire(Dialect::OpenAiChat, "GPT-4o", "gpt-4o", false),
    wire(Dialect::OpenAiChat, "compatible servers", "gpt-oss-120b", true),
    wire(Dialect::AnthropicMessages, "Claude 4.6", "claude-opus-4-6", false),
    wire(Dialect::AnthropicMessages, "Claude 4.5", "claude-sonnet-4-5", false),
    wire(Dialect::AnthropicMessages, "Claude 5", "claude-sonnet-5-5", false),
    wire(Dialect::BedrockConverse, "Claude 4.6", "global.anthropic.claude-opus-4-6-v1", false),
    wire(Dialect::BedrockConverse, "Claude 4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", false),
    wire(Dialect::BedrockConverse, "Claude 5", "global.anthropic.claude-sonnet-5-5-v1", false),
    wire(Dialect::BedrockConverse, "Amazon Nova", "us.amazon.nova-pro-v1:0", false),
    wire(Dialect::BedrockConverse, "gpt-oss", "openai.gpt-oss-120b-1:0", false),
    wire(Dialect::GeminiGenerate, "Gemini 3", "gemini-3.8-flash", false),
    wire(Dialect::GeminiGenerate, "Gemini 2.5", "gemini-2.5-pro", false),
];

/// The dialects that vendors speak.
pub(crate) const DIALECTS: [Dialect; 4] =
    [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::BedrockConverse, Dialect::GeminiGenerate];

/// Those that clients speak. A vendor of Responses is asked in it by relay alone, so no answer of it is translated.
pub(crate) const CLIENTS: [Dialect; 5] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::GeminiGenerate,
];

const fn wire(dialect: Dialect, title: &'static str, model: &'static str, compatible: bool) -> Wire {
    Wire { dialect, title, target: Target { model, max_output: None, compatible } }
}

/// Ordered pairs of dialects that differ: who calls, and who answers.
pub(crate) fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    CLIENTS.into_iter().flat_map(|client| {
        DIALECTS.into_iter().filter(move |vendor| *vendor != client).map(move |vendor| (client, vendor))
    })
}
