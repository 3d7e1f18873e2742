//! Calls of clients that speak another wire than the upstream, and what their answers must say.

use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{CHUNKS, ROUTE, SMALL_REQUEST, chunk_text, filler, whole_text};

/// The path of Anthropic Messages.
pub(crate) const MESSAGES_PATH: &str = "/v1/messages";
/// Images of [`images_call`].
pub(crate) const IMAGES: usize = 20;

const IMAGES_REQUEST: usize = 1 << 20;
const SYSTEM: &str = "You are a careful assistant.";

/// Anthropic Messages, 0.8 KB: the same words as in [`super::small_call`].
pub(crate) fn messages_call() -> String {
    padded(|text| messages_body(&format!("\"{text}\""), ""))
}

/// The same, as a stream.
pub(crate) fn messages_stream() -> String {
    padded(|text| messages_body(&format!("\"{text}\""), r#","stream":true"#))
}

/// Bedrock Converse, 0.8 KB: the same words again.
pub(crate) fn converse_call() -> String {
    padded(|text| {
        format!(
            r#"{{"system":[{{"text":"{SYSTEM}"}}],"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}],"inferenceConfig":{{"maxTokens":1024,"temperature":0.2}}}}"#
        )
    })
}

/// Anthropic Messages, 1 MB: a question about [`IMAGES`] images of equal size.
pub(crate) fn images_call() -> String {
    let body = |data: &str| {
        let image = format!(
            r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#
        );
        let images = vec![image; IMAGES].join(",");
        messages_body(
            &format!(r#"[{images},{{"type":"text","text":"What changes from one to the next?"}}]"#),
            "",
        )
    };
    // Base64 comes in groups of four.
    let length = (IMAGES_REQUEST - body("").len()) / IMAGES / 4 * 4;
    let alphabet = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']);
    body(&alphabet.cycle().take(length).collect::<String>())
}

/// What is in Anthropic's form of the upstream's whole answer.
pub(crate) fn messages_answer() -> Vec<String> {
    let text = whole_text();
    [r#""type":"message""#, r#""role":"assistant""#, r#""stop_reason":"end_turn""#, r#""input_tokens":170"#]
        .into_iter()
        .map(str::to_owned)
        .chain([r#""output_tokens":140"#.to_owned(), format!(r#""text":"{text}""#)])
        .collect()
}

/// What is in Bedrock's form of the upstream's whole answer.
pub(crate) fn converse_answer() -> Vec<String> {
    let text = whole_text();
    [r#""role":"assistant""#, r#""stopReason":"end_turn""#, r#""inputTokens":170"#, r#""outputTokens":140"#]
        .into_iter()
        .map(str::to_owned)
        .chain([format!(r#""text":"{text}""#)])
        .collect()
}

fn messages_body(content: &str, more: &str) -> String {
    format!(
        r#"{{"model":"{ROUTE}","max_tokens":1024,"system":"{SYSTEM}","messages":[{{"role":"user","content":{content}}}],"temperature":0.2{more}}}"#
    )
}

/// A body of the size of a small call.
fn padded(body: impl Fn(&str) -> String) -> String {
    body(&filler(SMALL_REQUEST - body("").len()))
}

/// Tells whether a stream is Anthropic's form of the upstream's.
#[derive(Debug, Default)]
pub(crate) struct MessagesCheck {
    /// A stream that was found right, without its id: others with the same bytes need no second look.
    right: OnceLock<Vec<u8>>,
}

impl MessagesCheck {
    /// Checks the whole payload of one stream.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<()> {
        let blank = without_id(payload);
        if self.right.get() != Some(&blank) {
            compare(payload).context("a translated stream is wrong")?;
            self.right.get_or_init(|| blank);
        }
        Ok(())
    }
}

fn without_id(payload: &[u8]) -> Vec<u8> {
    const DIGITS: usize = 32;
    let mut blank = payload.to_vec();
    if let Some(at) = memchr::memmem::find(payload, b"\"msg_").map(|at| at + 5)
        && let Some(id) = blank.get_mut(at..at + DIGITS)
    {
        id.fill(b'0');
    }
    blank
}

fn compare(payload: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(payload).context("it is not UTF-8")?;
    let (mut content, mut chunks, mut reason, mut counted, mut done) = (String::new(), 0, None, 0, false);
    for event in text.split_terminator("\n\n") {
        ensure!(!done, "there is an event after message_stop");
        let (name, data) = event
            .strip_prefix("event: ")
            .and_then(|event| event.split_once("\ndata: "))
            .with_context(|| format!("this is no event: {event}"))?;
        let data: Event =
            serde_json::from_str(data).with_context(|| format!("an event cannot be read: {data}"))?;
        ensure!(data.kind == name, "event {name} has the type {}", data.kind);
        match name {
            "content_block_delta" => {
                content.push_str(
                    data.delta.and_then(|delta| delta.text).context("a delta has no text")?.as_str(),
                );
                chunks += 1;
            }
            "message_delta" => {
                reason = data.delta.and_then(|delta| delta.stop_reason);
                counted = data.usage.map_or(0, |usage| usage.output_tokens);
            }
            "message_stop" => done = true,
            _ => {}
        }
    }
    let expected: String = (0..CHUNKS).map(chunk_text).collect();
    ensure!(chunks == CHUNKS, "it has {chunks} pieces of text instead of {CHUNKS}");
    ensure!(content == expected, "its text differs from the upstream's");
    ensure!(done && reason.as_deref() == Some("end_turn"), "it has no end: {reason:?}, message_stop {done}");
    ensure!(counted == 100, "it counts {counted} tokens instead of 100");
    Ok(())
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    delta: Option<Delta>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    output_tokens: u64,
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use steelyard_dialect::{Dialect, ReplyContext};

    use super::*;
    use crate::bench::wire::stream_answer;

    #[test]
    fn bodies_have_the_sizes_they_are_named_for() {
        for body in [messages_call(), messages_stream(), converse_call()] {
            assert_eq!(body.len(), SMALL_REQUEST);
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
        }
        let images = images_call();
        assert!((IMAGES_REQUEST - 4 * IMAGES..=IMAGES_REQUEST).contains(&images.len()), "{}", images.len());
        let images: serde_json::Value = serde_json::from_str(&images).unwrap();
        assert_eq!(images["messages"][0]["content"].as_array().unwrap().len(), IMAGES + 1);
    }

    fn translated(events: &[String]) -> Vec<u8> {
        let mut decoder = Dialect::OpenAiChat.stream_decoder();
        let context = ReplyContext {
            id: format!("msg_{}", "a".repeat(32)),
            model: ROUTE.into(),
            created: 0,
            include_usage: false,
            elapsed_ms: 0,
            echo: None,
        };
        let mut encoder = Dialect::AnthropicMessages.stream_encoder(context);
        let (mut read, mut out) = (Vec::new(), BytesMut::new());
        for event in events {
            decoder.push(event.as_bytes(), &mut read).unwrap();
        }
        decoder.finish(&mut read).unwrap();
        for event in read {
            encoder.push(&event, &mut out);
        }
        encoder.finish(0, &mut out);
        out.to_vec()
    }

    #[test]
    fn a_wrong_stream_is_told_from_a_right_one() {
        let check = MessagesCheck::default();
        let events = stream_answer(true);
        let right = translated(&events);
        check.check(&right).unwrap();
        let other = String::from_utf8(right.clone()).unwrap().replace(&"a".repeat(32), &"b".repeat(32));
        check.check(other.as_bytes()).unwrap();
        for lost in [0, 50, CHUNKS - 1, CHUNKS + 1] {
            let mut events = events.clone();
            events.remove(lost);
            assert!(check.check(&translated(&events)).is_err(), "without event {lost}");
        }
        let end = right.len() - "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".len();
        assert!(check.check(&right[..end]).is_err());
    }
}
