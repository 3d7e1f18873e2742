//! A completion as in OpenAI's API reference ("Chat Completions"), whole or streamed as the request asks.

use std::time::Duration;

use serde_json::Value;

use super::reply::{Gate, Step};
use super::sse::{End, Sse, sse};

mod render;

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Reasoning(String),
    Refusal(String),
    Tool { id: String, name: String, arguments: String },
    Pause(Duration),
    Wait(Gate),
    Comment(String),
    Raw(bytes::Bytes),
}

#[derive(Debug, Clone, Default)]
struct Choice {
    pieces: Vec<Piece>,
    finish: Option<String>,
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
    prompt: u64,
    completion: u64,
    cached: Option<u64>,
    cache_write: Option<u64>,
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
        prompt: 10,
        completion: 5,
        cached: None,
        cache_write: None,
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

    /// Adds a piece of `reasoning_content`, as several vendors show their models' thoughts.
    #[must_use]
    pub fn reasoning_text(self, text: &str) -> Self {
        self.piece(Piece::Reasoning(text.to_owned()))
    }

    /// Adds a refusal.
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

    /// Begins a further choice, as `n` asks for.
    #[must_use]
    pub fn choice(mut self) -> Self {
        self.choices.push(Choice::default());
        self
    }

    /// Sets the finish reason of the current choice; otherwise `tool_calls` or `stop`.
    #[must_use]
    pub fn finish(mut self, reason: &str) -> Self {
        self.choices.last_mut().expect("there is a choice from the start").finish = Some(reason.to_owned());
        self
    }

    /// Sets the model that the answer names; otherwise the request's.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// Sets the service tier that the answer names.
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
    /// Prompt tokens (with cached ones) and completion tokens (with reasoning).
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

    /// How many of the prompt tokens went into a cache.
    #[must_use]
    pub fn cache_write(mut self, tokens: u64) -> Self {
        self.cache_write = Some(tokens);
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

    /// Ends the stream without `data: [DONE]`.
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

    /// After that many events, sends an error object and ends the stream without `[DONE]`.
    #[must_use]
    pub fn error_after(mut self, events: usize, error: Value) -> Self {
        self.error = Some((events, error));
        self
    }
}
