//! What the ledger reads of an answer that is only relayed, whole or event by event.

use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::Usage;

use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::facts::ReplyFacts;
use crate::gemini::usage;
use crate::json::{At, Fault, Mapped, string, utf8};

/// An answer or a piece of one, by its spans.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sighting<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<Mapped<SightedCandidate<'a>>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SightedCandidate<'a> {
    #[serde(default)]
    pub(crate) index: Option<u32>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

impl<'a> Sighting<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Mapped<Self>>(text).map(|Mapped(seen)| seen)
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        usage::decode(self.usage_metadata?.get())
    }

    pub(crate) fn tier(&self) -> Option<String> {
        usage::tier(self.usage_metadata?.get())
    }

    pub(crate) fn model(&self) -> Option<String> {
        word(self.model_version)
    }

    pub(crate) fn id(&self) -> Option<String> {
        word(self.response_id)
    }

    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        fault(self.error?)
    }

    /// The answers so far.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &SightedCandidate<'a>> {
        self.candidates.iter().flatten().map(|candidate| &candidate.0)
    }

    /// Whether the prompt was judged.
    fn has_feedback(&self) -> bool {
        self.prompt_feedback.is_some_and(|raw| raw.get().starts_with('{'))
    }

    /// Whether the prompt was blocked, so that there will be no answer.
    pub(crate) fn is_blocked(&self) -> bool {
        self.prompt_feedback.is_some_and(|raw| block_reason(raw).is_some())
    }
}

impl SightedCandidate<'_> {
    /// Why it ended, if it has.
    pub(crate) fn finish(&self) -> Option<FinishReason> {
        word(self.finish_reason).map(|word| FinishReason::from_gemini(&word))
    }

    /// Bytes of generated text: words, thoughts, and the names and arguments of calls.
    pub(crate) fn generated_bytes(&self) -> u64 {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow, default)]
            parts: Option<Vec<&'a RawValue>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Part<'a> {
            #[serde(borrow)]
            text: Option<&'a RawValue>,
            #[serde(borrow)]
            function_call: Option<Call<'a>>,
            #[serde(borrow)]
            executable_code: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Call<'a> {
            #[serde(borrow)]
            name: Option<&'a RawValue>,
            #[serde(borrow)]
            args: Option<&'a RawValue>,
        }
        let content = self.content.and_then(|raw| serde_json::from_str::<Content<'_>>(raw.get()).ok());
        let length = |raw: Option<&RawValue>| raw.and_then(string).map_or(0, |text| text.len());
        let bytes = content.and_then(|content| content.parts).into_iter().flatten().map(|raw| {
            let part: Part<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
            let call = part.function_call.unwrap_or_default();
            let args = call.args.map(RawValue::get).filter(|args| *args != "{}").map_or(0, str::len);
            length(part.text)
                + length(call.name)
                + args
                + part.executable_code.map_or(0, |code| code.get().len())
        });
        bytes.sum::<usize>() as u64
    }
}

/// A string member that is not empty.
pub(crate) fn word(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(string).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
}

/// Why a prompt was blocked.
pub(crate) fn block_reason(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Feedback<'a> {
        #[serde(borrow, default)]
        block_reason: Option<&'a RawValue>,
    }
    word(serde_json::from_str::<Feedback<'_>>(raw.get()).ok()?.block_reason)
}

/// The vendor's error. Null and the empty object are none.
pub(crate) fn fault(raw: &RawValue) -> Option<UpstreamFault> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Wire<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        #[serde(borrow)]
        status: Option<&'a RawValue>,
        #[serde(borrow)]
        code: Option<&'a RawValue>,
    }
    let shown =
        |raw: &RawValue| string(raw).map_or_else(|| raw.get().to_owned(), std::borrow::Cow::into_owned);
    match raw.get() {
        "null" | "{}" => None,
        object if object.starts_with('{') => {
            let wire: Wire<'_> = serde_json::from_str(object).unwrap_or_default();
            Some(UpstreamFault {
                message: wire.message.map_or_else(|| object.to_owned(), shown),
                kind: wire.status.map(shown),
                code: wire.code.map(shown),
            })
        }
        _ => Some(UpstreamFault { message: shown(raw), ..UpstreamFault::default() }),
    }
}

/// The error of a body that is a refusal. Where a stream was asked for, it may stand in an array.
pub(crate) fn fault_of_body(body: &[u8]) -> Option<UpstreamFault> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    if body.trim_ascii_start().starts_with(b"[") {
        let list: Vec<Envelope<'_>> = serde_json::from_slice(body).ok()?;
        return fault(list.first()?.error);
    }
    fault(serde_json::from_slice::<Envelope<'_>>(body).ok()?.error)
}

/// What is no answer: neither somebody who speaks nor the reason why nobody does.
pub(crate) fn no_answer() -> WireError {
    Fault::missing(&At::Root.field("candidates")).into()
}

pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    let sighting = Sighting::of(utf8(body)?.as_bytes())
        .map_err(|error| Fault::invalid(&At::Root, format!("not an answer: {error}")))?;
    if let Some(fault) = sighting.fault() {
        return Err(WireError::Upstream(fault));
    }
    if sighting.candidates.is_none() && !sighting.has_feedback() {
        return Err(no_answer());
    }
    Ok(ReplyFacts {
        usage: sighting.usage(),
        id: sighting.id(),
        model: sighting.model(),
        service_tier: sighting.tier(),
        geo: None,
        content_bytes: sighting.candidates().map(SightedCandidate::generated_bytes).sum(),
        finish: sighting.candidates().filter_map(SightedCandidate::finish).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_counted_by_the_kind_of_its_part() {
        for (part, bytes) in [
            (r#"{"text":"ä\n"}"#, 3),
            (r#"{"text":"abc","thought":true,"thoughtSignature":"xxxxxxxx"}"#, 3),
            (r#"{"functionCall":{"id":"c","name":"f","args":{}}}"#, 1),
            (r#"{"functionCall":{"name":"f","args":{"a":1}}}"#, 8),
            (r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#, 0),
            ("7", 0),
        ] {
            let candidate = format!(r#"{{"content":{{"parts":[{part}]}}}}"#);
            let candidate: SightedCandidate<'_> = serde_json::from_str(&candidate).unwrap();
            assert_eq!(candidate.generated_bytes(), bytes, "{part}");
        }
    }

    #[test]
    fn a_refusal_is_read_alone_or_in_an_array() {
        let body = r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED"}}"#;
        for body in [body.to_owned(), format!("[{body}]")] {
            let fault = fault_of_body(body.as_bytes()).unwrap();
            assert_eq!(
                (fault.message.as_str(), fault.kind.as_deref(), fault.code.as_deref()),
                ("Quota exceeded.", Some("RESOURCE_EXHAUSTED"), Some("429"))
            );
        }
        for body in ["<html>", "{}", "[]", r#"{"error":null}"#] {
            assert_eq!(fault_of_body(body.as_bytes()), None, "{body}");
        }
    }
}
