//! What a model says and uses, in the wire of the upstream that says it, whole or streamed as the request asks: as in
//! OpenAI's API reference ("Chat Completions"), Anthropic's ("Messages") and AWS's ("Converse", `ConverseStream`).

use std::time::Duration;

use serde_json::Value;

use super::frames::BadFrame;
use super::reply::{Gate, Step};
use super::request::Request;
use super::sse::{End, Sse, sse};
use super::wire::Wire;

mod anthropic;
mod bedrock;
mod blocks;
mod gemini;
mod render;
mod responses;

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Reasoning(String),
    Signature(String),
    Redacted(String),
    Refusal(String),
    Tool { id: String, name: String, arguments: String },
    Pause(Duration),
    Wait(Gate),
    Comment(String),
    Raw(bytes::Bytes),
    Bad(BadFrame),
    Fail(String),
    Cut(End),
}

#[derive(Debug, Clone, Default)]
struct Choice {
    pieces: Vec<Piece>,
    finish: Option<String>,
    stop_sequence: Option<String>,
}

/// Where a stream says what was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// In a chunk of its own, when the request asked for it.
    WhenAsked,
    /// Running totals in every chunk, asked or not.
    EveryChunk,
    /// In the chunk with the finish reason, asked or not.
    WithFinish,
    /// Nowhere, also in a whole answer.
    Never,
}

/// A scripted completion. Each text is one piece of a stream; a whole answer joins them.
#[derive(Debug, Clone)]
pub struct Chat {
    choices: Vec<Choice>,
    model: Option<String>,
    tier: Option<String>,
    geo: Option<String>,
    prompt: u64,
    completion: u64,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    report: Report,
    error: Option<(usize, Value)>,
    done: bool,
    stream: Sse,
}

/// A completion without content, 10 prompt tokens and 5 completion tokens.
pub fn chat() -> Chat {
    Chat {
        choices: vec![Choice::default()],
        model: None,
        tier: None,
        geo: None,
        prompt: 10,
        completion: 5,
        cached: None,
        cache_write: None,
        cache_write_1h: None,
        reasoning: None,
        report: Report::WhenAsked,
        error: None,
        done: true,
        stream: sse(),
    }
}

/// What is said.
impl Chat {
    fn piece(mut self, piece: Piece) -> Self {
        self.choices.last_mut().expect("there is a choice from the start").pieces.push(piece);
        self
    }

    /// Adds a piece of the answer's text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.piece(Piece::Text(text.to_owned()))
    }

    /// Adds each of `texts` as a piece.
    #[must_use]
    pub fn texts<T: AsRef<str>>(self, texts: impl IntoIterator<Item = T>) -> Self {
        texts.into_iter().fold(self, |chat, text| chat.text(text.as_ref()))
    }

    /// Adds a piece of what the model thinks: Anthropic's `thinking`, Bedrock's `reasoningText`, and
    /// `reasoning_content` on OpenAI's wire, where several vendors show it.
    #[must_use]
    pub fn reasoning_text(self, text: &str) -> Self {
        self.piece(Piece::Reasoning(text.to_owned()))
    }

    /// Signs the reasoning before it, which it ends. Unknown on OpenAI's wire.
    #[must_use]
    pub fn signature(self, signature: &str) -> Self {
        self.piece(Piece::Signature(signature.to_owned()))
    }

    /// Adds reasoning that the vendor hides, as base64. Unknown on OpenAI's wire.
    #[must_use]
    pub fn redacted(self, data: &str) -> Self {
        self.piece(Piece::Redacted(data.to_owned()))
    }

    /// Adds a refusal: a stop reason with its explanation on Anthropic's wire, a filtered text on Bedrock's.
    #[must_use]
    pub fn refusal(self, text: &str) -> Self {
        self.piece(Piece::Refusal(text.to_owned()))
    }

    /// Adds a tool call; in a stream its arguments come in several pieces.
    #[must_use]
    pub fn tool(self, id: &str, name: &str, arguments: &Value) -> Self {
        let arguments = arguments.to_string();
        self.piece(Piece::Tool { id: id.to_owned(), name: name.to_owned(), arguments })
    }

    /// Begins a further choice, as `n` asks for; only OpenAI's wire has them.
    #[must_use]
    pub fn choice(mut self) -> Self {
        self.choices.push(Choice::default());
        self
    }

    /// Sets the finish reason of the current choice, in OpenAI's words or the wire's own; otherwise `tool_calls` or
    /// `stop`.
    #[must_use]
    pub fn finish(mut self, reason: &str) -> Self {
        self.choices.last_mut().expect("there is a choice from the start").finish = Some(reason.to_owned());
        self
    }

    /// Ends the current choice because this text came, which only Anthropic's wire and, if asked, Bedrock's tell.
    #[must_use]
    pub fn stop_sequence(mut self, text: &str) -> Self {
        let choice = self.choices.last_mut().expect("there is a choice from the start");
        choice.stop_sequence = Some(text.to_owned());
        self
    }

    /// Sets the model that the answer names; otherwise the request's.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// Sets where the answer says that it was served; Anthropic's wire alone has a word for it.
    #[must_use]
    pub fn geo(mut self, geo: &str) -> Self {
        self.geo = Some(geo.to_owned());
        self
    }

    /// Sets the service tier that the answer names; Bedrock's `latency_optimized` is the latency of its `performanceConfig`.
    #[must_use]
    pub fn tier(mut self, tier: &str) -> Self {
        self.tier = Some(tier.to_owned());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.stream.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What was used.
impl Chat {
    /// Prompt tokens and completion tokens, with what was cached and with reasoning, as OpenAI counts; wires that
    /// count otherwise are told so.
    #[must_use]
    pub fn usage(mut self, prompt: u64, completion: u64) -> Self {
        (self.prompt, self.completion) = (prompt, completion);
        self
    }

    /// How many of the prompt tokens came from a cache.
    #[must_use]
    pub fn cached(mut self, tokens: u64) -> Self {
        self.cached = Some(tokens);
        self
    }

    /// How many of the prompt tokens went into a cache, for five minutes where the wire tells for how long.
    #[must_use]
    pub fn cache_write(mut self, tokens: u64) -> Self {
        self.cache_write = Some(tokens);
        self
    }

    /// How many more went into a cache for an hour.
    #[must_use]
    pub fn cache_write_1h(mut self, tokens: u64) -> Self {
        self.cache_write_1h = Some(tokens);
        self
    }

    /// How many of the completion tokens were reasoning.
    #[must_use]
    pub fn reasoning(mut self, tokens: u64) -> Self {
        self.reasoning = Some(tokens);
        self
    }

    /// Never reports usage.
    #[must_use]
    pub fn no_usage(mut self) -> Self {
        self.report = Report::Never;
        self
    }

    /// Reports running totals in every chunk, as some vendors do.
    #[must_use]
    pub fn usage_in_every_chunk(mut self) -> Self {
        self.report = Report::EveryChunk;
        self
    }

    /// Reports usage in the chunk with the finish reason, as some vendors do.
    #[must_use]
    pub fn usage_with_finish(mut self) -> Self {
        self.report = Report::WithFinish;
        self
    }
}

/// How it comes.
impl Chat {
    /// Waits before the response head.
    #[must_use]
    pub fn late(mut self, time: Duration) -> Self {
        self.stream.before_head.push(Step::Pause(time));
        self
    }

    /// Holds the response head back until the test opens the gate.
    #[must_use]
    pub fn late_until(mut self, gate: &Gate) -> Self {
        self.stream.before_head.push(Step::Wait(gate.clone()));
        self
    }

    /// Waits between the pieces before and behind. A whole answer waits before its head.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.piece(Piece::Pause(time))
    }

    /// Waits until the test opens the gate. A whole answer waits before its head.
    #[must_use]
    pub fn wait(self, gate: &Gate) -> Self {
        self.piece(Piece::Wait(gate.clone()))
    }

    /// Waits that long between any two events.
    #[must_use]
    pub fn pace(mut self, time: Duration) -> Self {
        self.stream.pace = time;
        self
    }

    /// Sends every event in pieces of `bytes`, `every` so often.
    #[must_use]
    pub fn drip(mut self, bytes: usize, every: Duration) -> Self {
        self.stream.drip = Some((bytes, every));
        self
    }

    /// Ends the stream's lines with CR and LF.
    #[must_use]
    pub fn crlf(mut self) -> Self {
        self.stream.newline = "\r\n";
        self
    }

    /// Puts a comment between the events of a stream.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        self.piece(Piece::Comment(text.to_owned()))
    }

    /// Puts bytes as they are between the events of a stream.
    #[must_use]
    pub fn raw(self, bytes: impl Into<bytes::Bytes>) -> Self {
        self.piece(Piece::Raw(bytes.into()))
    }

    /// Breaks off here; a whole answer in the middle of its body.
    #[must_use]
    pub fn cut(self, end: End) -> Self {
        self.piece(Piece::Cut(end))
    }

    /// Fails here with the wire's own error of an engine that broke down, after which nothing comes. A whole answer is
    /// an error of status 500.
    #[must_use]
    pub fn fail(self, message: &str) -> Self {
        self.piece(Piece::Fail(message.to_owned()))
    }

    /// Sends a text in a frame that is not in order; only in a stream on Bedrock's wire.
    #[must_use]
    pub fn bad_frame(self, bad: BadFrame) -> Self {
        self.piece(Piece::Bad(bad))
    }

    /// Ends the stream without `data: [DONE]`, without `message_stop`, or without `messageStop` and what follows it.
    #[must_use]
    pub fn without_done(mut self) -> Self {
        self.done = false;
        self
    }

    /// After that many events, ends the stream like this. A whole answer is cut in the middle of its body.
    #[must_use]
    pub fn cut_after(mut self, events: usize, end: End) -> Self {
        self.stream.cut_after = Some((events, end));
        self
    }

    /// After that many events, sends an error object and ends the stream without its terminal event. On Bedrock's
    /// wire it has one member, the exception by its name in the service model.
    #[must_use]
    pub fn error_after(mut self, events: usize, error: Value) -> Self {
        self.error = Some((events, error));
        self
    }
}

/// As bytes.
impl Chat {
    pub(super) fn steps(&self, request: &Request) -> Vec<Step> {
        match (request.wire, request.wants_stream()) {
            (Wire::OpenAi, false) if request.operation() == "/responses" => {
                self.whole(request, &self.responses(request))
            }
            (Wire::OpenAi, true) if request.operation() == "/responses" => {
                self.responses_stream(request).steps(request.wire)
            }
            (Wire::OpenAi, false) => self.whole(request, &self.openai(request)),
            (Wire::OpenAi, true) => self.streamed(request).steps(request.wire),
            (Wire::Anthropic, _) if request.bare_path().ends_with("/count_tokens") => {
                let counted = serde_json::json!({ "input_tokens": self.prompt });
                super::reply::Reply::json(200, &counted).steps(request)
            }
            (Wire::Anthropic, false) => self.whole(request, &self.anthropic(request)),
            (Wire::Anthropic, true) => self.anthropic_stream(request).steps(request.wire),
            (Wire::Bedrock, false) => self.whole(request, &self.bedrock(request)),
            (Wire::Bedrock, true) => self.bedrock_stream(request).steps(request.wire),
            (Wire::Gemini, false) => self.whole(request, &self.gemini(request)),
            (Wire::Gemini, true) => self.gemini_stream(request).steps(request.wire),
        }
    }

    /// Prompt tokens that no cache had a part in.
    fn uncached(&self) -> u64 {
        let cached = [self.cached, self.cache_write, self.cache_write_1h];
        self.prompt - cached.into_iter().flatten().sum::<u64>()
    }

    /// Prompt tokens that went into a cache, for however long.
    fn written(&self) -> Option<u64> {
        match (self.cache_write, self.cache_write_1h) {
            (None, None) => None,
            (short, long) => Some(short.unwrap_or(0) + long.unwrap_or(0)),
        }
    }
}
