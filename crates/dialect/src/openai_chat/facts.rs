//! What the ledger reads of an answer that is only relayed, whole or event by event.
//!
//! Generated text is counted in bytes of UTF-8 wherever it stands in a message or a delta, by the key it stands
//! under; nothing is decoded.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Mapped, string, utf8};
use crate::openai_chat::usage;

/// An answer or a chunk, by its spans.
#[derive(Debug, Deserialize)]
pub(crate) struct Sighting<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'a RawValue>,
    /// None if there is no such member.
    #[serde(borrow, default)]
    choices: Option<Vec<Option<Mapped<SightedChoice<'a>>>>>,
    /// The members of an error that has no envelope.
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SightedChoice<'a> {
    #[serde(default)]
    pub(crate) index: Option<u32>,
    #[serde(borrow, default)]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

impl SightedChoice<'_> {
    pub(crate) fn finish(&self) -> Option<FinishReason> {
        text(self.finish_reason).map(|word| FinishReason::from_openai(&word))
    }
}

impl Sighting<'_> {
    pub(crate) fn id(&self) -> Option<String> {
        text(self.id)
    }

    pub(crate) fn model(&self) -> Option<String> {
        text(self.model)
    }

    pub(crate) fn service_tier(&self) -> Option<String> {
        text(self.service_tier)
    }

    pub(crate) fn usage(&self) -> Option<steelyard_core::Usage> {
        usage::decode(self.usage?.get())
    }

    /// None if there is no list of them.
    pub(crate) fn choices(&self) -> Option<impl Iterator<Item = &SightedChoice<'_>>> {
        self.choices.as_ref().map(|choices| choices.iter().flatten().map(|choice| &choice.0))
    }

    /// Moonshot writes the usage of a stream into its last choice.
    pub(crate) fn usage_in_choice(&self) -> Option<steelyard_core::Usage> {
        self.choices().into_iter().flatten().filter_map(|choice| usage::decode(choice.usage?.get())).last()
    }

    /// The vendor's error. Null, false and the empty object are none. vLLM writes one without an envelope:
    /// `{"object":"error","message":…,"type":…,"code":…}`.
    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        self.error.and_then(fault).or_else(|| self.bare_fault())
    }

    fn bare_fault(&self) -> Option<UpstreamFault> {
        (self.object.and_then(string)? == "error").then(|| UpstreamFault {
            message: self.message.map(shown).unwrap_or_default(),
            kind: self.kind.map(shown),
            code: self.code.map(shown),
        })
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(string).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
}

pub(crate) fn fault(raw: &RawValue) -> Option<UpstreamFault> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Wire<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        code: Option<&'a RawValue>,
        #[serde(borrow)]
        status: Option<&'a RawValue>,
    }
    match raw.get() {
        "null" | "false" | "\"\"" | "{}" => None,
        object if object.starts_with('{') => {
            let wire: Wire<'_> = serde_json::from_str(object).unwrap_or_default();
            Some(UpstreamFault {
                message: wire.message.map_or_else(|| object.to_owned(), shown),
                kind: wire.kind.map(shown),
                code: wire.code.or(wire.status).map(shown),
            })
        }
        _ => Some(UpstreamFault { message: shown(raw), ..UpstreamFault::default() }),
    }
}

/// A string's text, else the value as it is written.
fn shown(raw: &RawValue) -> String {
    string(raw).map_or_else(|| raw.get().to_owned(), std::borrow::Cow::into_owned)
}

/// The error of a body that is a refusal.
pub(crate) fn fault_of_body(body: &[u8]) -> Option<UpstreamFault> {
    serde_json::from_slice::<Mapped<Sighting<'_>>>(body).ok()?.0.fault()
}

pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(utf8(body)?)
        .map_err(|error| Fault::invalid(&At::Root, format!("not a completion: {error}")))?;
    if let Some(fault) = sighting.fault() {
        return Err(WireError::Upstream(fault));
    }
    let Some(choices) = sighting.choices() else {
        return Err(Fault::missing(&At::Root.field("choices")).into());
    };
    let (mut content_bytes, mut finish) = (0, Vec::new());
    for choice in choices {
        content_bytes += choice.message.map_or(0, |raw| text_bytes(raw.get().as_bytes()).0);
        finish.extend(choice.finish());
    }
    Ok(ReplyFacts {
        usage: sighting.usage(),
        id: sighting.id(),
        model: sighting.model(),
        service_tier: sighting.service_tier(),
        geo: None,
        content_bytes,
        finish,
    })
}

/// Keys under which a model's own words stand.
fn is_generated(key: &[u8]) -> bool {
    matches!(
        key,
        b"content"
            | b"text"
            | b"reasoning_content"
            | b"reasoning"
            | b"thinking"
            | b"refusal"
            | b"name"
            | b"arguments"
            | b"partial_json"
            | b"input"
            | b"transcript"
    )
}

/// Bytes of generated text in the JSON value at the start of `json`, and where that value ends.
pub(crate) fn text_bytes(json: &[u8]) -> (u64, usize) {
    let mut total = 0;
    let mut depth = 0_usize;
    let mut counts = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (length, end) = string_bytes(&json[at..]);
                let word = &json[at..(at + end).saturating_sub(1).max(at)];
                at += end;
                let after = json[at..].trim_ascii_start();
                if after.starts_with(b":") {
                    counts = is_generated(word);
                    continue;
                }
                if counts {
                    total += length;
                }
            }
            _ => continue,
        }
        if depth == 0 {
            break;
        }
    }
    (total, at)
}

/// The length in UTF-8 of the JSON string whose opening quote stands before `json`, and where it ends, its
/// closing quote included.
fn string_bytes(json: &[u8]) -> (u64, usize) {
    let mut length = 0;
    let mut at = 0;
    while let Some(run) = memchr::memchr2(b'"', b'\\', &json[at..]) {
        length += run;
        at += run;
        if json[at] == b'"' {
            return (length as u64, at + 1);
        }
        let (value, written) = escape_bytes(&json[at..]);
        length += value;
        at = (at + written).min(json.len());
    }
    ((length + json.len() - at) as u64, json.len())
}

/// The UTF-8 length of one escape, and its length as written. A surrogate counts two: a pair makes four bytes.
fn escape_bytes(escape: &[u8]) -> (usize, usize) {
    match escape {
        [_, b'u', b'0', b'0', b'0'..=b'7', _, ..] => (1, 6),
        [_, b'u', b'0', b'0'..=b'7', ..]
        | [_, b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => (2, 6),
        [_, b'u', ..] => (3, 6),
        _ => (1, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_counted_in_utf8_wherever_it_stands() {
        for (json, bytes) in [
            ("{}", 0),
            (r#"{"role":"assistant","content":""}"#, 0),
            (r#"{"content":"abc"},"finish_reason":"stop""#, 3),
            (r#"{"content":"\n\"\u00e4\u79e4\ud83e\uddc2\u0001"}"#, 2 + 2 + 3 + 4 + 1),
            (r#"{"content":"ä秤🧂"}"#, 9),
            (r#"{"content":null,"reasoning_content":"12","refusal":"345"}"#, 5),
            (
                r#"{"tool_calls":[{"index":0,"id":"call","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
                3,
            ),
            (
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"ab"}]},{"type":"text","text":"c"}]}"#,
                3,
            ),
            (r#"{"audio":{"id":"a","data":"AAAA","transcript":"hey"}}"#, 3),
            (r#"{"content":"unclosed"#, 8),
            (r#"{"content":"cut\"#, 4),
        ] {
            assert_eq!(text_bytes(json.as_bytes()).0, bytes, "{json}");
        }
        assert_eq!(text_bytes(br#"{"a":{"b":[]}},"c":1"#).1, 14);
    }

    #[test]
    fn a_vendors_error_is_read_in_any_form() {
        let read = |json: &str| fault(serde_json::from_str(json).unwrap());
        assert_eq!(read("null"), None);
        assert_eq!(read("{}"), None);
        let full = read(r#"{"message":"slow down","type":"requests","code":429}"#).unwrap();
        assert_eq!(
            (full.message.as_str(), full.kind.as_deref(), full.code.as_deref()),
            ("slow down", Some("requests"), Some("429"))
        );
        assert_eq!(read(r#""overloaded""#).unwrap().message, "overloaded");
        assert_eq!(read(r#"{"detail":1}"#).unwrap().message, r#"{"detail":1}"#);
    }
}
