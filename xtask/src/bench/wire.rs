//! What goes over the wire in a measurement: the requests, the answers the scripted upstream gives, and a reader
//! that says whether an answer came complete and right.

pub(crate) mod translated;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use serde::Deserialize;

/// The route that clients call.
pub(crate) const ROUTE: &str = "bench";
/// The model that the route leads to.
pub(crate) const MODEL: &str = "bench-model";
/// The path of OpenAI Chat.
pub(crate) const CHAT_PATH: &str = "/v1/chat/completions";
/// The content type of every request.
pub(crate) const JSON: &str = "application/json";
/// Content chunks of a streamed answer.
pub(crate) const CHUNKS: usize = 100;
/// The value of `user` that makes the upstream rest after the first chunk.
pub(crate) const REST: &str = "rest-after-first";

const WHOLE_BODY: usize = 1024;
const SMALL_REQUEST: usize = 800;
const LARGE_REQUEST: usize = 32 * 1024;

/// A whole call of about 0.8 KB: a system message and a question.
pub(crate) fn small_call() -> String {
    let frame = call_body(&[("system", "You are a careful assistant."), ("user", "")], "");
    let question = filler(SMALL_REQUEST - frame.len());
    call_body(&[("system", "You are a careful assistant."), ("user", &question)], "")
}

/// A whole call of 32 KB: a long chat history.
pub(crate) fn large_call() -> String {
    let text = filler(700);
    let mut turns = Vec::new();
    while call_body(&turns, "").len() + 760 < LARGE_REQUEST {
        turns.push((if turns.len() % 2 == 0 { "user" } else { "assistant" }, text.as_str()));
    }
    let last = filler(LARGE_REQUEST - call_body(&turns, "").len() - r#",{"role":"user","content":""}"#.len());
    turns.push(("user", &last));
    call_body(&turns, "")
}

/// A streamed call.
pub(crate) fn stream_call(usage: bool, rest: bool) -> String {
    let options = if usage { r#","stream_options":{"include_usage":true}"# } else { "" };
    let user = if rest { format!(r#","user":"{REST}""#) } else { String::new() };
    let question = filler(SMALL_REQUEST - 200);
    call_body(&[("user", &question)], &format!(r#","stream":true{options}{user}"#))
}

fn call_body(turns: &[(&str, &str)], more: &str) -> String {
    let turns: Vec<_> =
        turns.iter().map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#)).collect();
    format!(r#"{{"model":"{ROUTE}","messages":[{}],"temperature":0.2{more}}}"#, turns.join(","))
}

/// Plain words, `length` bytes of them.
fn filler(length: usize) -> String {
    "the merchants of rival cities shared one gate, one warehouse and one court "
        .chars()
        .cycle()
        .take(length)
        .collect()
}

/// The request for a call in the upstream's wire, with its head.
pub(crate) fn request(host: &str, key: &str, body: &str) -> Vec<u8> {
    let headers = [("authorization", format!("Bearer {key}")), ("content-type", JSON.to_owned())];
    post(host, CHAT_PATH, &headers, body)
}

/// A request with its head.
pub(crate) fn post(host: &str, path: &str, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The upstream's whole answer: 1 KB of JSON with usage.
pub(crate) fn whole_answer() -> String {
    answer(&whole_text())
}

/// The text in [`whole_answer`].
pub(crate) fn whole_text() -> String {
    filler(WHOLE_BODY - answer("").len())
}

fn answer(text: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1790000000,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":170,"completion_tokens":140,"total_tokens":310,"prompt_tokens_details":{{"cached_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0}}}}}}"#
    )
}

/// The upstream's streamed answer, one text per event: the content chunks, the finish, the usage if it was asked
/// for, and the end mark.
pub(crate) fn stream_answer(usage: bool) -> Vec<String> {
    let null_usage = if usage { r#","usage":null"# } else { "" };
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
             \"model\":\"{MODEL}\",\"choices\":[{choices}]{usage}}}\n\n"
        )
    };
    let chunk = |delta: &str, finish: &str| {
        event(
            &format!(r#"{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{finish}}}"#),
            null_usage,
        )
    };
    let mut events: Vec<_> = (0..CHUNKS)
        .map(|number| {
            let role = if number == 0 { r#""role":"assistant","# } else { "" };
            chunk(&format!(r#"{role}"content":"{}""#, chunk_text(number)), "null")
        })
        .collect();
    events.push(chunk("", r#""stop""#));
    if usage {
        let counts = r#","usage":{"prompt_tokens":170,"completion_tokens":100,"total_tokens":270,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;
        events.push(event("", counts));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn chunk_text(number: usize) -> String {
    format!(" word {number:03}")
}

/// Tells whether a streamed answer is the one the upstream gave. Byte equality is the usual case and the cheap
/// test; otherwise the meaning is compared, since a proxy may write the same events differently.
#[derive(Debug)]
pub(crate) struct StreamCheck {
    usage: bool,
    bytes: Vec<u8>,
}

impl StreamCheck {
    /// For answers to [`stream_call`] with or without usage.
    pub(crate) fn new(usage: bool) -> Self {
        Self { usage, bytes: stream_answer(usage).concat().into_bytes() }
    }

    /// Checks the whole payload of one stream.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<()> {
        if payload == self.bytes {
            Ok(())
        } else {
            self.compare(payload).context("a streamed answer is wrong")
        }
    }

    fn compare(&self, payload: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(payload).context("it is not UTF-8")?;
        let (mut content, mut finished, mut counted, mut done) = (String::new(), false, false, false);
        let mut chunks = 0;
        for data in text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
            ensure!(!done, "there is an event after [DONE]");
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let chunk: Chunk =
                serde_json::from_str(data).with_context(|| format!("a chunk cannot be read: {data}"))?;
            counted |= chunk.usage.as_ref().is_some_and(|usage| usage.completion_tokens == 100);
            ensure!(self.usage || (chunk.usage.is_none() && !chunk.choices.is_empty()), "usage came unasked");
            for choice in chunk.choices {
                finished |= choice.finish_reason.is_some();
                if let Some(piece) = choice.delta.content {
                    content.push_str(&piece);
                    chunks += 1;
                }
            }
        }
        let expected: String = (0..CHUNKS).map(chunk_text).collect();
        ensure!(chunks == CHUNKS, "it has {chunks} content chunks instead of {CHUNKS}");
        ensure!(content == expected, "its text differs from the upstream's");
        ensure!(finished && done, "it has no end: finish_reason {finished}, [DONE] {done}");
        ensure!(counted == self.usage, "usage was asked for: {}, and came: {counted}", self.usage);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    completion_tokens: u64,
}

/// Reads one HTTP/1.1 response from whatever pieces it arrives in. It does no IO.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// The status of the head; 0 before it is there.
    pub(crate) status: u16,
    /// The body so far, without its framing.
    pub(crate) body: Vec<u8>,
    headers: Vec<(String, String)>,
    unread: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Sized(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Done,
}

impl Reply {
    /// Whether the answer is there to its last byte.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// A header of the head, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Makes ready for the next answer on the same connection.
    pub(crate) fn reset(&mut self) {
        self.status = 0;
        self.body.clear();
        self.headers.clear();
        self.unread.clear();
        self.state = State::Head;
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        while let Some(after) = self.step(rest)? {
            rest = after;
        }
        ensure!(!self.is_done() || rest.is_empty(), "{} bytes follow the end of an answer", rest.len());
        self.unread = rest.to_vec();
        Ok(())
    }

    /// One step over what is there; `None` when it needs more.
    fn step<'a>(&mut self, rest: &'a [u8]) -> Result<Option<&'a [u8]>> {
        if rest.is_empty() {
            return Ok(None);
        }
        match self.state {
            State::Head => {
                let Some(end) = memmem::find(rest, b"\r\n\r\n") else { return Ok(None) };
                self.read_head(&rest[..end])?;
                Ok(Some(&rest[end + 4..]))
            }
            State::Sized(left) => {
                let taken = left.min(rest.len());
                self.body.extend_from_slice(&rest[..taken]);
                self.state = if taken == left { State::Done } else { State::Sized(left - taken) };
                Ok(Some(&rest[taken..]))
            }
            State::ChunkSize => {
                let Some((line, after)) = split_line(rest) else { return Ok(None) };
                let text = std::str::from_utf8(line).context("a chunk size is not text")?;
                let digits = text.split(';').next().unwrap_or(text).trim();
                let size = usize::from_str_radix(digits, 16)
                    .with_context(|| format!("`{digits}` is not a chunk size"))?;
                self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                Ok(Some(after))
            }
            State::Chunk(left) => {
                let taken = left.min(rest.len());
                self.body.extend_from_slice(&rest[..taken]);
                self.state = if taken == left { State::ChunkEnd } else { State::Chunk(left - taken) };
                Ok(Some(&rest[taken..]))
            }
            State::ChunkEnd => {
                let Some((line, after)) = split_line(rest) else { return Ok(None) };
                ensure!(line.is_empty(), "a chunk is longer than its size says");
                self.state = State::ChunkSize;
                Ok(Some(after))
            }
            State::Trailer => {
                let Some((line, after)) = split_line(rest) else { return Ok(None) };
                if line.is_empty() {
                    self.state = State::Done;
                }
                Ok(Some(after))
            }
            State::Done => Ok(None),
        }
    }

    fn read_head(&mut self, head: &[u8]) -> Result<()> {
        let head = std::str::from_utf8(head).context("the head of an answer is not text")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        self.status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .with_context(|| format!("`{first}` is not the first line of an HTTP/1.1 answer"))?;
        self.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let chunked =
            self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        self.state = match self.header("content-length") {
            _ if chunked => State::ChunkSize,
            Some(length) => match length.parse().context("content-length is not a number")? {
                0 => State::Done,
                length => State::Sized(length),
            },
            None if matches!(self.status, 204 | 304) => State::Done,
            None => bail!("an answer has neither content-length nor chunks, so its end cannot be told"),
        };
        Ok(())
    }
}

fn split_line(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memmem::find(rest, b"\r\n")?;
    Some((&rest[..end], &rest[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_sizes_they_are_named_for() {
        assert_eq!(small_call().len(), SMALL_REQUEST);
        assert_eq!(large_call().len(), LARGE_REQUEST);
        assert_eq!(whole_answer().len(), WHOLE_BODY);
        for body in [small_call(), large_call(), whole_answer(), stream_call(true, true)] {
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
        }
    }

    #[test]
    fn an_answer_is_read_from_any_pieces() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-a: b\r\n\r\nhello".as_slice();
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n";
        for whole in [sized, chunked] {
            for size in 1..=whole.len() {
                let mut reply = Reply::default();
                for piece in whole.chunks(size) {
                    assert!(!reply.is_done());
                    reply.push(piece).unwrap();
                }
                assert!(reply.is_done());
                assert_eq!((reply.status, reply.body.as_slice()), (200, b"hello".as_slice()));
            }
            let mut cut = Reply::default();
            cut.push(&whole[..whole.len() - 1]).unwrap();
            assert!(!cut.is_done());
            let mut long = Reply::default();
            assert!(long.push(&[whole, b"x"].concat()).is_err());
        }
    }

    #[test]
    fn a_wrong_stream_is_told_from_a_right_one() {
        for usage in [true, false] {
            let check = StreamCheck::new(usage);
            let events = stream_answer(usage);
            check.check(events.concat().as_bytes()).unwrap();
            let respaced = events.concat().replace("\"choices\":", "\"choices\": ");
            check.check(format!(": hello\n\n{respaced}").as_bytes()).unwrap();
            for lost in [0, 50, CHUNKS, events.len() - 1] {
                let mut events = events.clone();
                events.remove(lost);
                assert!(check.check(events.concat().as_bytes()).is_err(), "without event {lost}");
            }
            let other = StreamCheck::new(!usage);
            assert!(other.check(events.concat().as_bytes()).is_err());
        }
    }
}
