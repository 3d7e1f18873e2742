//! What the ledger reads of an answer that is only relayed, and of a vendor's error.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bedrock::error::plain_name;
use crate::bedrock::usage;
use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Mapped, string, utf8};
use crate::openai_chat::facts::text_bytes;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Sighting<'a> {
    #[serde(borrow)]
    output: Option<Mapped<Output<'a>>>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    performance_config: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    message: Option<Mapped<Message<'a>>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Vec<Option<Block<'a>>>>,
}

/// The blocks that hold a model's own words.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    citations_content: Option<Cited<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ToolUse<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cited<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Block<'_> {
    fn bytes(&self) -> u64 {
        let length = |raw: &RawValue| string(raw).map_or_else(|| raw.get().len(), |text| text.len()) as u64;
        let texts = |raw: &RawValue| text_bytes(raw.get().as_bytes()).0;
        let call = self.tool_use.as_ref();
        self.text.map_or(0, length)
            + call.and_then(|call| call.name).map_or(0, length)
            + call.and_then(|call| call.input).map_or(0, length)
            + self.reasoning_content.map_or(0, texts)
            + self.citations_content.as_ref().and_then(|cited| cited.content).map_or(0, texts)
    }
}

pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    let text = utf8(body)?;
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(text)
        .map_err(|error| Fault::invalid(&At::Root, format!("not an answer of Converse: {error}")))?;
    let Some(Mapped(output)) = &sighting.output else {
        return Err(no_output(body));
    };
    let content = output.message.as_ref().and_then(|message| message.0.content.as_ref());
    let Some(content) = content else {
        return Err(Fault::missing(&At::Root.field("output").field("message").field("content")).into());
    };
    let finish = sighting.stop_reason.and_then(string).map(|word| FinishReason::from_bedrock(&word));
    let intervened = finish == Some(FinishReason::Guardrail);
    Ok(ReplyFacts {
        usage: sighting.usage.and_then(|raw| usage::decode(raw.get(), intervened)),
        id: None,
        model: None,
        service_tier: tier(sighting.service_tier, sighting.performance_config),
        geo: None,
        content_bytes: content.iter().flatten().map(Block::bytes).sum(),
        finish: finish.into_iter().collect(),
    })
}

/// What an answer without output is: the vendor's error, or nothing that can be read.
pub(crate) fn no_output(body: &[u8]) -> WireError {
    match fault(body) {
        Some(fault) => WireError::Upstream(fault),
        None => Fault::missing(&At::Root.field("output")).into(),
    }
}

/// What the ledger calls the tier of a latency that is not the standard one, before AWS's word for it.
const LATENCY: &str = "latency_";

/// The tier that served a call. AWS has two words for it, `serviceTier` and the latency of `performanceConfig`, of which
/// each has its price; a latency beyond the standard is told, for it is what costs more.
pub(crate) fn tier(tier: Option<&RawValue>, performance: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Tier {
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct Performance {
        latency: String,
    }
    let performance = performance.and_then(|raw| serde_json::from_str::<Performance>(raw.get()).ok());
    let tier = tier.and_then(|raw| serde_json::from_str::<Tier>(raw.get()).ok());
    of_latency(performance.as_ref().map(|performance| &*performance.latency))
        .or_else(|| tier.map(|tier| tier.kind))
}

fn of_latency(word: Option<&str>) -> Option<String> {
    let word = word.filter(|word| *word != "standard" && is_word(word))?;
    Some(format!("{LATENCY}{word}"))
}

/// Whether it may be a word of AWS's.
fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// AWS's word for the latency that a tier of the ledger's stands for.
pub(crate) fn latency(tier: &str) -> Option<&str> {
    tier.strip_prefix(LATENCY)
}

/// The vendor's error in a body, or in the payload of an exception. Its name is in a header; only some services repeat
/// it in `__type`, perhaps after a namespace.
pub(crate) fn fault(body: &[u8]) -> Option<UpstreamFault> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Wire {
        #[serde(alias = "Message", alias = "errorMessage")]
        message: Option<String>,
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(rename = "originalMessage")]
        original: Option<String>,
        /// The envelope of AWS's older services.
        #[serde(rename = "Output")]
        output: Option<Enveloped>,
    }
    #[derive(Deserialize)]
    struct Enveloped {
        #[serde(rename = "__type")]
        kind: Option<String>,
    }
    let Mapped(wire) = serde_json::from_slice::<Mapped<Wire>>(body).ok()?;
    let kind = wire.kind.or_else(|| wire.output?.kind).map(|kind| plain_name(&kind));
    let message = wire.message.or(wire.original).filter(|message| !message.is_empty());
    if message.is_none() && kind.is_none() {
        return None;
    }
    Some(UpstreamFault { message: message.unwrap_or_default(), kind, code: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_any_form_that_aws_has() {
        let read = |body: &str| fault(body.as_bytes());
        let named = |message: &str, kind: Option<&str>| {
            Some(UpstreamFault { message: message.into(), kind: kind.map(Into::into), code: None })
        };
        assert_eq!(read(r#"{"message":"slow down"}"#), named("slow down", None));
        assert_eq!(
            read(r#"{"Message":"no","__type":"com.amazon.coral#AccessDeniedException:http://x"}"#),
            named("no", Some("AccessDeniedException"))
        );
        assert_eq!(
            read(r#"{"__type":"UnrecognizedClientException"}"#),
            named("", Some("UnrecognizedClientException"))
        );
        assert_eq!(read(r#"{"originalMessage":"deep","originalStatusCode":500}"#), named("deep", None));
        for none in ["", "{}", "[]", "<html>", r#"{"message":""}"#] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_latency_beyond_the_standard_is_a_tier_of_its_own() {
        let of = |more: &str| {
            let body = format!(r#"{{"output":{{"message":{{"content":[]}}}}{more}}}"#);
            of_reply(body.as_bytes()).unwrap().service_tier
        };
        let optimized = Some("latency_optimized".to_owned());
        assert_eq!(of(r#","performanceConfig":{"latency":"optimized"}"#), optimized);
        assert_eq!(
            of(r#","performanceConfig":{"latency":"optimized"},"serviceTier":{"type":"default"}"#),
            optimized
        );
        assert_eq!(
            of(r#","performanceConfig":{"latency":"standard"},"serviceTier":{"type":"flex"}"#).as_deref(),
            Some("flex")
        );
        for none in ["", r#","performanceConfig":{"latency":"standard"}"#, r#","performanceConfig":null"#] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(latency("latency_optimized"), Some("optimized"));
    }

    #[test]
    fn generated_text_is_counted_whatever_its_block() {
        let facts = |content: &str| {
            let body = format!(r#"{{"output":{{"message":{{"role":"assistant","content":[{content}]}}}}}}"#);
            of_reply(body.as_bytes()).unwrap().content_bytes
        };
        assert_eq!(facts(r#"{"text":"a\u00e4"}"#), 3);
        assert_eq!(facts(r#"{"toolUse":{"toolUseId":"t","name":"ab","input":{"city":"Bonn"}}}"#), 2 + 15);
        assert_eq!(facts(r#"{"reasoningContent":{"reasoningText":{"text":"abc","signature":"xxxx"}}}"#), 3);
        assert_eq!(facts(r#"{"reasoningContent":{"redactedContent":"AAAA"}}"#), 0);
        assert_eq!(
            facts(
                r#"{"citationsContent":{"content":[{"text":"ab"},{"text":"c"}],"citations":[{"sourceContent":[{"text":"long"}]}]}}"#
            ),
            3
        );
        assert_eq!(facts(r#"{"image":{"format":"png","source":{"bytes":"AAAA"}}},{"unheard":1}"#), 0);
    }
}
