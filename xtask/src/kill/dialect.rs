//! The three dialects that the clients speak: how they ask, how they know that the last byte came, and what usage
//! they are told. Read here anew, and not by the crate that is under test.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::client::{Chance, Plan};
use super::history::{Reported, Tokens};

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// `OpenAI` Chat Completions.
    Chat,
    /// Anthropic Messages.
    Messages,
    /// Bedrock Converse, whose streams are AWS event streams.
    Converse,
}

impl Dialect {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Chat, Self::Messages, Self::Converse];

    /// One by chance.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        match chance.below(3) {
            0 => Self::Chat,
            1 => Self::Messages,
            _ => Self::Converse,
        }
    }

    /// As the ledger names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai_chat",
            Self::Messages => "anthropic_messages",
            Self::Converse => "bedrock_converse",
        }
    }

    /// The bytes of a request.
    pub(crate) fn request(
        self,
        server: SocketAddr,
        key: &str,
        route: &str,
        plan: &Plan,
        text: &str,
    ) -> Vec<u8> {
        let (path, auth, body) = match self {
            Self::Chat => {
                let mut body = json!({
                    "model": route, "messages": [{ "role": "user", "content": text }], "max_tokens": 1000,
                });
                if plan.stream {
                    body["stream"] = true.into();
                }
                if plan.stream && plan.usage {
                    body["stream_options"] = json!({ "include_usage": true });
                }
                ("/v1/chat/completions".to_owned(), format!("authorization: Bearer {key}"), body)
            }
            Self::Messages => {
                let mut body = json!({
                    "model": route, "messages": [{ "role": "user", "content": text }], "max_tokens": 1000,
                });
                if plan.stream {
                    body["stream"] = true.into();
                }
                let auth = format!("anthropic-version: 2023-06-01\r\nx-api-key: {key}");
                ("/v1/messages".to_owned(), auth, body)
            }
            Self::Converse => {
                let operation = if plan.stream { "converse-stream" } else { "converse" };
                let body = json!({
                    "messages": [{ "role": "user", "content": [{ "text": text }] }],
                    "inferenceConfig": { "maxTokens": 1000 },
                });
                (format!("/model/{route}/{operation}"), format!("authorization: Bearer {key}"), body)
            }
        };
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: {server}\r\n{auth}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Whether a streamed body has come to its end mark. What frames the body may still be under way.
    pub(crate) fn has_ended(self, body: &[u8]) -> Result<bool> {
        match self {
            Self::Chat => Ok(body.ends_with(b"data: [DONE]\n\n")),
            Self::Messages => Ok(body.ends_with(b"\n\n")
                && events(body)?.last().is_some_and(|(name, _)| name == "message_stop")),
            Self::Converse => {
                let (frames, rest) = frames(body)?;
                Ok(rest == 0 && frames.last().is_some_and(|frame| frame.kind == "metadata"))
            }
        }
    }

    /// The usage that a complete answer tells; an error if none came where it must, or some where it must not.
    pub(crate) fn told(self, body: &[u8], plan: &Plan) -> Result<Option<Tokens>> {
        match (self, plan.stream) {
            (Self::Chat, false) => {
                Ok(Some(read::<Counted<Reported>>(body)?.required("a whole answer")?.tokens()))
            }
            (Self::Chat, true) => {
                let mut last = None;
                for (_, data) in events(body)?.iter().filter(|(_, data)| data != "[DONE]") {
                    last = read::<Counted<Reported>>(data.as_bytes())?.usage.or(last);
                }
                ensure!(
                    last.is_some() == plan.usage,
                    "usage was asked for: {}, and came: {}",
                    plan.usage,
                    last.is_some()
                );
                Ok(last.map(Reported::tokens))
            }
            (Self::Messages, false) => {
                Ok(Some(read::<Counted<AnthropicUsage>>(body)?.required("a whole answer")?.tokens()))
            }
            (Self::Messages, true) => {
                let events = events(body)?;
                let delta = events.iter().rev().find(|(name, _)| name == "message_delta");
                let (_, data) = delta.context("a stream has no message_delta")?;
                let usage = read::<Counted<AnthropicUsage>>(data.as_bytes())?.required("message_delta")?;
                Ok(Some(usage.tokens()))
            }
            (Self::Converse, false) => {
                Ok(Some(read::<Counted<BedrockUsage>>(body)?.required("a whole answer")?.tokens()))
            }
            (Self::Converse, true) => {
                let (frames, _) = frames(body)?;
                let last = frames.last().context("a stream has no frame")?;
                Ok(Some(read::<Counted<BedrockUsage>>(last.payload)?.required("metadata")?.tokens()))
            }
        }
    }

    /// What of these counts this dialect can tell: Bedrock's has no class for reasoning.
    pub(crate) fn tells(self, tokens: Tokens) -> Tokens {
        match self {
            Self::Chat | Self::Messages => tokens,
            Self::Converse => Tokens { output: tokens.output + tokens.reasoning, reasoning: 0, ..tokens },
        }
    }
}

#[derive(Deserialize)]
struct Counted<T> {
    usage: Option<T>,
}

impl<T> Counted<T> {
    fn required(self, place: &str) -> Result<T> {
        self.usage.with_context(|| format!("{place} has no usage"))
    }
}

/// Here too reasoning is part of the output; what the cache gave is no part of the input.
#[derive(Deserialize)]
struct AnthropicUsage {
    input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    output_tokens_details: Option<AnthropicDetails>,
}

#[derive(Deserialize)]
struct AnthropicDetails {
    thinking_tokens: u64,
}

impl AnthropicUsage {
    fn tokens(&self) -> Tokens {
        let reasoning = self.output_tokens_details.as_ref().map_or(0, |details| details.thinking_tokens);
        Tokens {
            input: self.input_tokens,
            cache_read: self.cache_read_input_tokens,
            output: self.output_tokens.saturating_sub(reasoning),
            reasoning,
        }
    }
}

#[derive(Deserialize)]
struct BedrockUsage {
    #[serde(rename = "inputTokens")]
    input: u64,
    #[serde(rename = "cacheReadInputTokens", default)]
    cache_read: u64,
    #[serde(rename = "outputTokens")]
    output: u64,
}

impl BedrockUsage {
    fn tokens(&self) -> Tokens {
        Tokens { input: self.input, cache_read: self.cache_read, output: self.output, reasoning: 0 }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json)
        .with_context(|| format!("an answer cannot be read: {}", String::from_utf8_lossy(json)))
}

/// The events of a stream with their names; the last may have been cut short.
fn events(body: &[u8]) -> Result<Vec<(String, String)>> {
    // A cut may go through a character.
    let whole = body.windows(2).rposition(|end| end == b"\n\n").map_or(0, |place| place + 2);
    let text = std::str::from_utf8(&body[..whole]).context("a stream is not UTF-8")?;
    let mut events = Vec::new();
    for event in text.split("\n\n") {
        let field = |name: &str| {
            let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
            lines.next().map_or_else(String::new, |value| value.trim_start().to_owned())
        };
        let (name, data) = (field("event:"), field("data:"));
        if !data.is_empty() {
            events.push((name, data));
        }
    }
    Ok(events)
}

/// A frame of an AWS event stream.
struct Frame<'a> {
    /// `:event-type`; empty for an exception.
    kind: String,
    payload: &'a [u8],
}

/// The frames of a stream, and how many bytes of an unfinished one follow. A frame whose checksum is wrong is an
/// error: no cut explains it.
fn frames(body: &[u8]) -> Result<(Vec<Frame<'_>>, usize)> {
    let (mut frames, mut rest) = (Vec::new(), body);
    while let Some(prelude) = rest.first_chunk::<12>() {
        let number = |place: usize| {
            let bytes = [prelude[place], prelude[place + 1], prelude[place + 2], prelude[place + 3]];
            u32::from_be_bytes(bytes)
        };
        ensure!(crc32fast::hash(&prelude[..8]) == number(8), "the checksum of a frame's prelude is wrong");
        let (total, headers) = (usize::try_from(number(0))?, usize::try_from(number(4))?);
        ensure!(total >= 16 + headers, "a frame of {total} bytes cannot have {headers} bytes of headers");
        if rest.len() < total {
            break;
        }
        let (frame, after) = rest.split_at(total);
        let (covered, sum) = frame.split_at(total - 4);
        ensure!(crc32fast::hash(covered).to_be_bytes() == sum, "the checksum of a frame is wrong");
        let kind = event_type(&frame[12..12 + headers])?;
        frames.push(Frame { kind, payload: &covered[12 + headers..] });
        rest = after;
    }
    Ok((frames, rest.len()))
}

fn event_type(mut headers: &[u8]) -> Result<String> {
    while let [name_length, rest @ ..] = headers {
        let Some((name, [7, high, low, rest @ ..])) = rest.split_at_checked(usize::from(*name_length)) else {
            bail!("a frame has a header that is no string");
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).context("a frame's header is cut short")?;
        if name == b":event-type" {
            return Ok(String::from_utf8_lossy(value).into_owned());
        }
        headers = rest;
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &str, payload: &[u8]) -> Vec<u8> {
        let mut headers = b"\x0b:event-type\x07".to_vec();
        headers.extend(u16::try_from(kind.len()).unwrap().to_be_bytes());
        headers.extend(kind.as_bytes());
        let number = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = number(16 + headers.len() + payload.len()).to_vec();
        frame.extend(number(headers.len()));
        frame.extend(crc32fast::hash(&frame).to_be_bytes());
        frame.extend(headers);
        frame.extend(payload);
        frame.extend(crc32fast::hash(&frame).to_be_bytes());
        frame
    }

    #[test]
    fn a_converse_stream_ends_with_whole_and_sound_metadata() {
        let ended = |body: &[u8]| Dialect::Converse.has_ended(body);
        let body = [frame("messageStop", b"{}"), frame("metadata", b"{}")].concat();
        assert!(ended(&body).unwrap());
        for cut in 0..body.len() {
            assert!(!ended(&body[..cut]).unwrap(), "{cut} bytes");
        }
        for place in 0..body.len() {
            let mut wrong = body.clone();
            wrong[place] ^= 1;
            assert!(ended(&wrong).is_err(), "byte {place}");
        }
    }
}
