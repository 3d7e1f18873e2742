//! What the ledger reads of an answer that is only relayed, whole or at the end of a stream.

use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::Usage;

use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Mapped, string, utf8};
use crate::openai_chat::facts::{fault, text_bytes};
use crate::openai_responses::usage;

/// An answer, by its spans.
#[derive(Debug, Deserialize)]
pub(crate) struct Sighting<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    incomplete_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

impl Sighting<'_> {
    pub(crate) fn id(&self) -> Option<String> {
        text(self.id)
    }

    pub(crate) fn model(&self) -> Option<String> {
        text(self.model)
    }

    /// The tier that served it. Before the end it is what was asked for, and `auto` is none.
    pub(crate) fn service_tier(&self) -> Option<String> {
        text(self.service_tier).filter(|tier| tier != "auto")
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        usage::decode(self.usage, self.output)
    }

    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        fault(self.error?)
    }

    /// Why it ended: an answer with calls waits for them.
    pub(crate) fn finish(&self) -> FinishReason {
        #[derive(Deserialize)]
        struct Details<'a> {
            #[serde(borrow, default)]
            reason: Option<&'a RawValue>,
        }
        let details = self.incomplete_details.map(|raw| serde_json::from_str::<Details<'_>>(raw.get()));
        let reason = details.and_then(Result::ok).and_then(|details| text(details.reason));
        let status = text(self.status);
        match (reason, status.as_deref()) {
            (Some(reason), Some("incomplete")) => FinishReason::from_responses(&reason),
            (_, Some(status @ ("failed" | "cancelled" | "incomplete"))) => {
                FinishReason::Other(status.to_owned())
            }
            _ if self.calls() => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        }
    }

    fn calls(&self) -> bool {
        #[derive(Deserialize)]
        struct Item<'a> {
            #[serde(borrow, rename = "type", default)]
            kind: Option<&'a RawValue>,
        }
        let items = self.output.and_then(|raw| serde_json::from_str::<Vec<Item<'_>>>(raw.get()).ok());
        let is_call = |item: &Item<'_>| {
            matches!(item.kind.map(RawValue::get), Some("\"function_call\"" | "\"custom_tool_call\""))
        };
        items.is_some_and(|items| items.iter().any(is_call))
    }

    /// Bytes of generated text.
    pub(crate) fn bytes(&self) -> u64 {
        self.output.map_or(0, |output| text_bytes(output.get().as_bytes()).0)
    }
}

pub(crate) fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(string).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
}

pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(utf8(body)?)
        .map_err(|error| Fault::invalid(&At::Root, format!("not a response: {error}")))?;
    if let Some(fault) = sighting.fault() {
        return Err(WireError::Upstream(fault));
    }
    if sighting.output.is_none_or(|output| !output.get().starts_with('[')) {
        return Err(Fault::missing(&At::Root.field("output")).into());
    }
    Ok(ReplyFacts {
        usage: sighting.usage(),
        id: sighting.id(),
        model: sighting.model(),
        service_tier: sighting.service_tier(),
        geo: None,
        content_bytes: sighting.bytes(),
        finish: vec![sighting.finish()],
    })
}
