//! What the ledger reads of an answer that is only relayed, whole or event by event.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::usage;
use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Json, Mapped, string, utf8};
use crate::openai_chat::facts::fault;

/// An answer, by its spans.
#[derive(Debug, Deserialize)]
struct Sighting<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A block, by its spans.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SightedBlock<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A string member that is not empty.
pub(crate) fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(string).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
}

/// What was written by an [`Object`](crate::json::Object).
pub(crate) fn json(written: Vec<u8>) -> Option<Json> {
    Json::parse(String::from_utf8(written).ok()?).ok()
}

/// The error of a body that is a refusal.
pub(crate) fn fault_of_body(body: &[u8]) -> Option<UpstreamFault> {
    fault(serde_json::from_slice::<Mapped<Sighting<'_>>>(body).ok()?.0.error?)
}

pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(utf8(body)?)
        .map_err(|error| Fault::invalid(&At::Root, format!("not a message: {error}")))?;
    if let Some(fault) = sighting.error.and_then(fault) {
        return Err(WireError::Upstream(fault));
    }
    let Some(content) = &sighting.content else {
        return Err(Fault::missing(&At::Root.field("content")).into());
    };
    if let Some(block) = content.iter().find(|block| !block.get().starts_with('{')) {
        return Err(Fault::mistyped(&At::Root.field("content"), "an array of objects", block).into());
    }
    let served = sighting.usage.map(|raw| usage::served(raw.get())).unwrap_or_default();
    Ok(ReplyFacts {
        usage: sighting.usage.and_then(|raw| usage::decode(raw.get())),
        id: text(sighting.id),
        model: text(sighting.model),
        service_tier: served.tier,
        geo: served.geo,
        content_bytes: content.iter().map(|block| generated_bytes(block)).sum(),
        finish: text(sighting.stop_reason)
            .map(|word| FinishReason::from_anthropic(&word, None))
            .into_iter()
            .collect(),
    })
}

/// Bytes of generated text in a block: its text or thought, or the name and the input of its call. What a vendor's
/// own tool found was not generated.
pub(crate) fn generated_bytes(block: &RawValue) -> u64 {
    let block: SightedBlock<'_> = serde_json::from_str(block.get()).unwrap_or_default();
    let bytes = |raw: Option<&RawValue>| raw.and_then(string).map_or(0, |text| text.len());
    let count = match block.kind.and_then(string).as_deref() {
        Some("text") => bytes(block.text),
        Some("thinking") => bytes(block.thinking),
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
            let input = block.input.map(RawValue::get).filter(|input| *input != "{}");
            bytes(block.name) + input.map_or(0, str::len)
        }
        _ => 0,
    };
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_text_is_counted_by_the_kind_of_its_block() {
        for (block, bytes) in [
            (r#"{"type":"text","text":"ä\n"}"#, 3),
            (r#"{"type":"thinking","thinking":"abc","signature":"xxxxxxxx"}"#, 3),
            (r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#, 1),
            (r#"{"type":"tool_use","id":"t","name":"f","input":{"a":1}}"#, 8),
            (r#"{"type":"web_search_tool_result","content":[{"title":"x"}]}"#, 0),
            (r#"{"type":"redacted_thinking","data":"AAAA"}"#, 0),
            ("7", 0),
        ] {
            assert_eq!(generated_bytes(serde_json::from_str(block).unwrap()), bytes, "{block}");
        }
    }

    #[test]
    fn a_refusal_is_read() {
        let read =
            fault_of_body(br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
        let fault = read.unwrap();
        assert_eq!((fault.message.as_str(), fault.kind.as_deref()), ("Overloaded", Some("overloaded_error")));
        assert_eq!(fault_of_body(b"<html>"), None);
    }
}
