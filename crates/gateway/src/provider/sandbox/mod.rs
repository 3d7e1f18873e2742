//! The stand-in model: deterministic, offline, and plainly not a language model. It exists so that everything around
//! a model can be tried: answers, streams, tool loops, structured output, usage and the bill.
//!
//! What it does, first rule that fits:
//! 1. The last message is a tool result: it answers with the results.
//! 2. A tool is required or named by `tool_choice`, or the last user message says `call NAME`: it calls that tool
//!    (all that are named), with arguments by the tool's schema.
//! 3. A JSON schema or a JSON object is asked for: it answers with the smallest value that fits.
//! 4. Otherwise it says what it is and repeats the last user message.

mod embed;
mod reply;
mod schema;
mod stream;

use bytes::Bytes;
use steelyard_core::{ApiError, Usage};
use steelyard_dialect::chat::ChatRequest;
use steelyard_dialect::{Loss, count_tokens};

use crate::account::Passed;
use crate::call::Endpoint;
use crate::plan::Plan;

pub(crate) use stream::SandboxStream;

/// An answer of the stand-in.
pub(crate) enum Answer {
    /// All of it.
    Whole {
        /// In the client's dialect.
        body: Bytes,
        /// For the account.
        passed: Passed,
    },
    /// Piece by piece.
    Stream(SandboxStream),
}

/// Answers a request, with the names of the fields that the stand-in cannot honour.
pub(crate) fn answer(plan: &Plan) -> Result<(Answer, Vec<Loss>), ApiError> {
    match plan.endpoint {
        Endpoint::Embeddings => embed::answer(&plan.body).map(|answer| (answer, Vec::new())),
        Endpoint::CountTokens => {
            let request = plan.decode()?;
            Ok((estimate(plan, &request), losses(&request)))
        }
        Endpoint::Chat => {
            let dialect = plan.dialect;
            let request = plan.decode()?;
            let losses = losses(&request);
            let context = plan.reply_context(request.include_usage);
            let response = reply::respond(&request);
            let passed = Passed { usage: response.usage, ..Passed::default() };
            let answer = if request.stream {
                Answer::Stream(SandboxStream::new(dialect, context, response))
            } else {
                Answer::Whole { body: dialect.encode_response(&response, &context), passed }
            };
            Ok((answer, losses))
        }
    }
}

/// The count of a request's tokens by the stand-in's own rule: nothing is used for it.
pub(crate) fn estimate(plan: &Plan, request: &ChatRequest) -> Answer {
    let body = plan.dialect.tokens_reply(reply::prompt_tokens(request));
    Answer::Whole { body, passed: Passed { usage: Some(Usage::ZERO), ..Passed::default() } }
}

/// What the stand-in cannot do, by field. What only tunes a model's words has no meaning for it and is no loss.
fn losses(request: &ChatRequest) -> Vec<Loss> {
    let asked = [
        ("logit_bias", request.logit_bias.is_some(), "there are no tokens to bias"),
        ("audio", request.audio.is_some(), "it has no voice"),
        ("prediction", request.prediction.is_some(), "it predicts nothing"),
        ("web_search_options", request.web_search_options.is_some(), "it reaches no network"),
        ("store", request.store == Some(true), "it keeps nothing"),
    ];
    let named = asked.into_iter().filter(|(_, asked, _)| *asked);
    // Betas are a model's, and here is none.
    let said = request.extra.iter().filter(|(field, said)| !said.is_empty() && *field != "anthropic-beta");
    let unknown = said.map(|(field, _)| match field.as_str() {
        "guardrailConfig" => Loss::refused(field, "it has no guardrails"),
        field => Loss::dropped(field, "it does not know the field"),
    });
    let named = named.map(|(field, _, why)| Loss::dropped(field, why));
    named.chain(unknown).chain(request.unread()).collect()
}

/// Tokens of a text, by the rule for counting.
fn tokens(text: &str) -> u64 {
    count_tokens(text.len() as u64, 0)
}
