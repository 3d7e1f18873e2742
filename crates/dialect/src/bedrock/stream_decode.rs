//! Bedrock's stream into canonical events.
//!
//! Texts and reasoning have no start of their own (the service sends `contentBlockStart` for tool calls only); a stream
//! that ends after `messageStop`, and not in the middle of a frame, is complete, also where `metadata` never came; the
//! padding `p` is not looked at.

use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;

use crate::bedrock::content::decode_citation;
use crate::bedrock::reply::{finish_reason, stop_sequence};
use crate::bedrock::{Sort, facts, usage};
use crate::chat::{Citation, FinishReason, Json};
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::event_stream::{Frame, Frames};
use crate::json::{At, Extra, Fault, or_default};
use crate::media::BASE64;
use crate::sse::relay::is_object;

/// The only choice of this wire.
const CHOICE: u32 = 0;

/// A picture of more bytes than a frame can have is none.
const MAX_PICTURE: usize = 24 << 20;

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Frames,
    state: State,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        self.frames.push(bytes, |frame| state.take(&frame, out))
    }

    /// The figures are the last that comes; where they come too early, it is the end.
    pub(crate) fn is_done(&self) -> bool {
        self.state.counted && self.state.stopped.is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.stopped.is_some()
    }

    pub(crate) fn finish(&mut self, _out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let whole = self.state.stopped.is_some() && (self.is_done() || !self.frames.is_mid_frame());
        if whole { Ok(()) } else { Err(WireError::Cut) }
    }
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    /// Blocks that are open, by their number.
    blocks: BTreeMap<u64, Open>,
    /// Sources of the text of a block, told when it is over.
    citations: BTreeMap<u64, Vec<Citation>>,
    pictures: BTreeMap<u64, Picture>,
    calls: u32,
    stopped: Option<FinishReason>,
    /// `metadata` has come.
    counted: bool,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    /// Text or reasoning.
    Said,
    /// A tool call, by its number; whether anything of its input has come.
    Call { call: u32, given: bool },
    /// What the canonical stream has no event for.
    Other,
    /// A picture, which is told when it is whole.
    Picture,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    #[serde(default, deserialize_with = "or_default")]
    content_block_index: u64,
    #[serde(default, deserialize_with = "or_default")]
    start: Start,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Start {
    tool_use: Option<CallStart>,
    image: Option<Json>,
}

/// A picture as it grows.
#[derive(Debug)]
struct Picture {
    format: String,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallStart {
    tool_use_id: String,
    name: String,
    /// There if the vendor runs the tool itself.
    #[serde(default, rename = "type")]
    kind: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    #[serde(default, deserialize_with = "or_default")]
    content_block_index: u64,
    #[serde(default, deserialize_with = "or_default")]
    delta: Delta,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Delta {
    text: Option<String>,
    tool_use: Option<CallDelta>,
    reasoning_content: Option<ReasoningDelta>,
    citation: Option<Json>,
    image: Option<Json>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default, deserialize_with = "or_default")]
    input: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ReasoningDelta {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    #[serde(default, deserialize_with = "or_default")]
    content_block_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    additional_model_response_fields: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    usage: Option<Json>,
    #[serde(default)]
    service_tier: Option<Json>,
    #[serde(default)]
    performance_config: Option<Json>,
}

fn read<'a, T: Deserialize<'a>>(kind: &str, payload: &'a [u8]) -> Result<T, WireError> {
    is_object(payload)?;
    serde_json::from_slice(payload).map_err(|error| {
        Fault::invalid(&At::Root, format!("an event `{kind}` cannot be read: {error}")).into()
    })
}

impl Open {
    /// A call without any input is one of an empty object.
    fn complete(self, out: &mut Vec<StreamEvent>) {
        if let Self::Call { call, given: false } = self {
            out.push(StreamEvent::ToolCallArguments { choice: CHOICE, call, text: "{}".into() });
        }
    }
}

impl State {
    fn take(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let kind = match Sort::of(frame) {
            Sort::Event(kind) => kind,
            Sort::Fault(fault) => return Err(WireError::Upstream(fault)),
            Sort::Unknown => return Ok(()),
        };
        match kind {
            "messageStart" => self.start(out),
            "contentBlockStart" => self.block_start(read(kind, frame.payload)?, out),
            "contentBlockDelta" => self.delta(read(kind, frame.payload)?, out)?,
            "contentBlockStop" => {
                let stop: BlockStop = read(kind, frame.payload)?;
                if let Some(open) = self.blocks.remove(&stop.content_block_index) {
                    open.complete(out);
                    self.show(stop.content_block_index, out);
                    cite(self.citations.remove(&stop.content_block_index).unwrap_or_default(), out);
                    if !matches!(open, Open::Other) {
                        out.push(StreamEvent::PartEnd { choice: CHOICE });
                    }
                }
            }
            "messageStop" => self.stop(read(kind, frame.payload)?, out),
            "metadata" => {
                let metadata: Metadata = read(kind, frame.payload)?;
                let intervened = self.stopped == Some(FinishReason::Guardrail);
                let usage = metadata.usage.and_then(|json| usage::decode(json.get(), intervened));
                out.extend(usage.map(StreamEvent::Usage));
                let performance = metadata.performance_config.as_ref().map(Json::raw);
                let tier = facts::tier(metadata.service_tier.as_ref().map(Json::raw), performance);
                out.extend(tier.map(StreamEvent::ServiceTier));
                self.counted = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, out: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(StreamEvent::Start {
                id: None,
                model: None,
                service_tier: None,
                system_fingerprint: None,
            });
        }
    }

    fn block_start(&mut self, event: BlockStart, out: &mut Vec<StreamEvent>) {
        self.start(out);
        let open = match (event.start.tool_use, event.start.image) {
            (Some(CallStart { tool_use_id: id, name, kind: None }), _) => {
                let call = self.calls;
                self.calls += 1;
                out.push(StreamEvent::ToolCallStart { choice: CHOICE, call, id, name, custom: false });
                Open::Call { call, given: false }
            }
            (None, Some(image)) => {
                let format = member(&image, "format");
                let picture = format.map(|format| Picture { format, bytes: Vec::new() });
                self.pictures.extend(picture.map(|picture| (event.content_block_index, picture)));
                Open::Picture
            }
            (Some(_), _) | (None, None) => Open::Other,
        };
        self.blocks.insert(event.content_block_index, open);
    }

    fn delta(&mut self, event: BlockDelta, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        self.start(out);
        let choice = CHOICE;
        let before = out.len();
        let open = self.blocks.get_mut(&event.content_block_index);
        if let (Some(piece), Some(Open::Call { call, given })) = (&event.delta.tool_use, open) {
            if !piece.input.is_empty() {
                *given = true;
                out.push(StreamEvent::ToolCallArguments { choice, call: *call, text: piece.input.clone() });
            }
            return Ok(());
        }
        if let (Some(piece), Some(picture)) =
            (&event.delta.image, self.pictures.get_mut(&event.content_block_index))
        {
            // Each piece is base64 of its own.
            let bytes =
                piece.read::<Extra>().ok().and_then(|members| member(members.get("source")?, "bytes"));
            picture.bytes.extend(bytes.and_then(|bytes| BASE64.decode(bytes).ok()).unwrap_or_default());
            let too_long = picture.bytes.len() > MAX_PICTURE;
            return if too_long { Err(WireError::TooLong { limit: MAX_PICTURE }) } else { Ok(()) };
        }
        let text = event.delta.text.filter(|text| !text.is_empty());
        out.extend(text.map(|text| StreamEvent::Text { choice, text }));
        if let Some(piece) = event.delta.reasoning_content {
            let text = piece.text.filter(|text| !text.is_empty());
            out.extend(text.map(|text| StreamEvent::Reasoning { choice, text }));
            let signature = piece.signature.filter(|signature| !signature.is_empty());
            out.extend(signature.map(|signature| StreamEvent::ReasoningSignature { choice, signature }));
            let data = piece.redacted_content.filter(|data| !data.is_empty());
            out.extend(data.map(|data| StreamEvent::RedactedReasoning { choice, data }));
        }
        let citation = event.delta.citation.and_then(|json| decode_citation(json.raw(), &At::Root));
        let cites = citation.is_some();
        self.citations.entry(event.content_block_index).or_default().extend(citation);
        if out.len() > before || cites {
            self.blocks.insert(event.content_block_index, Open::Said);
        }
        Ok(())
    }

    /// A picture whose block is over. One without bytes failed, or lies in S3, and has no event.
    fn show(&mut self, index: u64, out: &mut Vec<StreamEvent>) {
        let Some(Picture { format, bytes }) = self.pictures.remove(&index) else { return };
        if !bytes.is_empty() {
            let (media_type, data) = (format!("image/{format}"), BASE64.encode(bytes));
            out.push(StreamEvent::Image { choice: CHOICE, media_type, data });
        }
    }

    fn stop(&mut self, event: MessageStop, out: &mut Vec<StreamEvent>) {
        self.start(out);
        for (index, open) in std::mem::take(&mut self.blocks) {
            open.complete(out);
            self.show(index, out);
        }
        cite(std::mem::take(&mut self.citations).into_values().flatten().collect(), out);
        let sequence = event.additional_model_response_fields.and_then(|json| stop_sequence(json.raw()));
        let reason =
            finish_reason(event.stop_reason.as_deref().unwrap_or("end_turn"), sequence, self.calls > 0);
        if self.stopped.is_none() {
            out.push(StreamEvent::Finish { choice: CHOICE, reason: reason.clone() });
            self.stopped = Some(reason);
        }
    }
}

/// A text in an object.
fn member(object: &Json, name: &str) -> Option<String> {
    object.read::<Extra>().ok()?.get(name)?.as_string()
}

fn cite(citations: Vec<Citation>, out: &mut Vec<StreamEvent>) {
    out.extend(citations.into_iter().map(|citation| StreamEvent::Citation { choice: CHOICE, citation }));
}
