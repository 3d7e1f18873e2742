//! Canonical events into a client's stream.
//!
//! What clients rely on (OpenAI's API reference and SDKs): one id, time and model on all chunks; the role in the
//! first chunk of each choice; id, type and name only in a call's first delta; usage only when asked for, in a
//! chunk of its own without choices, and null on all others.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use steelyard_core::Usage;

use crate::chat::CitationPlace;
use crate::dialect::ReplyContext;
use crate::event::{Said, StreamEvent};
use crate::json::Object;
use crate::openai_chat::details::Before;
use crate::openai_chat::reply::annotation;
use crate::openai_chat::{details, usage};

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    service_tier: Option<String>,
    system_fingerprint: Option<String>,
    /// Choices whose role has been sent.
    begun: BTreeSet<u32>,
    /// Calls, by choice and number, whose input is free text.
    custom: BTreeSet<(u32, u32)>,
    /// What each choice thinks.
    thoughts: BTreeMap<u32, Thought>,
    /// Where the texts of each choice stand, in characters.
    said: BTreeMap<u32, Said>,
    /// How many calls each choice has made.
    calls: BTreeMap<u32, usize>,
    /// The last figures.
    usage: Option<Usage>,
    frame: Vec<u8>,
}

/// A piece of reasoning as it grows.
#[derive(Debug, Default)]
struct Thought {
    text: String,
    index: usize,
}

impl Encoder {
    pub(crate) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            service_tier: None,
            system_fingerprint: None,
            begun: BTreeSet::new(),
            custom: BTreeSet::new(),
            thoughts: BTreeMap::new(),
            said: BTreeMap::new(),
            calls: BTreeMap::new(),
            usage: None,
            frame: Vec::with_capacity(512),
        }
    }

    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        if event.ends_text()
            && let Some(choice) = event.choice()
        {
            self.said.entry(choice).or_default().end_part();
        }
        match event {
            StreamEvent::Start { service_tier, system_fingerprint, .. } => {
                self.service_tier.clone_from(service_tier);
                self.system_fingerprint.clone_from(system_fingerprint);
            }
            StreamEvent::ServiceTier(tier) => self.service_tier = Some(tier.clone()),
            StreamEvent::Text { choice, text } => {
                self.said.entry(*choice).or_default().text(text.chars().count());
                self.delta(*choice, out, |delta| delta.field("content", text));
            }
            StreamEvent::Reasoning { choice, text } => {
                self.thoughts.entry(*choice).or_default().text.push_str(text);
                self.delta(*choice, out, |delta| delta.field("reasoning_content", text));
            }
            StreamEvent::ReasoningSignature { choice, signature } => {
                // Whole, so that a client that only collects the details can send them back.
                let (text, stood) = self.next_thought(*choice);
                self.delta(*choice, out, |delta| {
                    delta.objects("reasoning_details", [&text], |detail, text| {
                        details::write_text(detail, stood, text, Some(signature));
                    });
                });
            }
            StreamEvent::RedactedReasoning { choice, data } => {
                let (_, stood) = self.next_thought(*choice);
                self.delta(*choice, out, |delta| {
                    delta.objects("reasoning_details", [data], |detail, data| {
                        details::write_encrypted(detail, stood, data);
                    });
                });
            }
            StreamEvent::Citation { choice, citation } => {
                if matches!(citation.place, CitationPlace::Web { .. }) {
                    let (start, end) = self.said.get(choice).copied().unwrap_or_default().last_part();
                    self.delta(*choice, out, |delta| {
                        delta.objects("annotations", [citation], |object, citation| {
                            annotation(object, start, end, citation);
                        });
                    });
                }
            }
            // A thought that ends without a proof is no part of the next one, whose proof is of its own text alone.
            StreamEvent::PartEnd { choice } => {
                if let Some(thought) = self.thoughts.get_mut(choice) {
                    thought.text.clear();
                }
            }
            StreamEvent::Image { .. } | StreamEvent::Foreign { .. } | StreamEvent::Geo(_) => {}
            StreamEvent::Refusal { choice, text } => {
                self.delta(*choice, out, |delta| delta.field("refusal", text));
            }
            StreamEvent::Annotations { choice, annotations } => {
                self.delta(*choice, out, |delta| delta.field("annotations", annotations));
            }
            StreamEvent::ToolCallStart { choice, call, id, name, custom } => {
                *self.calls.entry(*choice).or_default() += 1;
                if *custom {
                    self.custom.insert((*choice, *call));
                }
                let (kind, member) = if *custom { ("custom", "input") } else { ("function", "arguments") };
                self.begin(*choice, None, out);
                self.send(*choice, out, |delta| {
                    delta.objects("tool_calls", [call], |object, call| {
                        object.field("index", call);
                        object.field("id", id);
                        object.field("type", kind);
                        object.object(kind, |inner| {
                            inner.field("name", name);
                            inner.field(member, "");
                        });
                    });
                });
            }
            StreamEvent::ToolCallArguments { choice, call, text } => {
                let custom = self.custom.contains(&(*choice, *call));
                let (kind, member) = if custom { ("custom", "input") } else { ("function", "arguments") };
                self.delta(*choice, out, |delta| {
                    delta.objects("tool_calls", [call], |object, call| {
                        object.field("index", call);
                        object.object(kind, |inner| inner.field(member, text));
                    });
                });
            }
            StreamEvent::Logprobs { choice, logprobs } => {
                self.begin(*choice, Some(""), out);
                self.chunk(out, |chunk| {
                    chunk.objects("choices", [choice], |object, choice| {
                        object.field("index", choice);
                        object.object("delta", |_| {});
                        object.field("logprobs", logprobs);
                        object.null("finish_reason");
                    });
                });
            }
            StreamEvent::Finish { choice, reason } => {
                self.begin(*choice, Some(""), out);
                self.chunk(out, |chunk| {
                    chunk.objects("choices", [choice], |object, choice| {
                        object.field("index", choice);
                        object.object("delta", |_| {});
                        object.null("logprobs");
                        object.field("finish_reason", reason.to_openai());
                    });
                });
            }
            StreamEvent::Usage(used) => self.usage = Some(*used),
        }
    }

    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        if let Some(used) = self.usage.take().filter(|_| self.context.include_usage) {
            self.frame(out, |chunk| {
                chunk.objects("choices", std::iter::empty::<()>(), |_, ()| {});
                chunk.object("usage", |object| usage::encode(&used, object));
            });
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// What was thought since the last detail; the number of the next one, and what came before it.
    fn next_thought(&mut self, choice: u32) -> (String, (usize, Before)) {
        let thought = self.thoughts.entry(choice).or_default();
        let said = self.said.get(&choice).map_or(0, |said| said.total());
        let before = Before { said, calls: self.calls.get(&choice).copied().unwrap_or_default() };
        let next = (std::mem::take(&mut thought.text), (thought.index, before));
        thought.index += 1;
        next
    }

    /// Sends the role, once for each choice. `content` is null where the choice begins with a tool call.
    fn begin(&mut self, choice: u32, content: Option<&str>, out: &mut BytesMut) {
        if self.begun.insert(choice) {
            self.send(choice, out, |delta| {
                delta.field("role", "assistant");
                delta.field("content", &content);
                delta.null("refusal");
            });
        }
    }

    fn delta(&mut self, choice: u32, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.begin(choice, Some(""), out);
        self.send(choice, out, fill);
    }

    fn send(&mut self, choice: u32, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let mut fill = Some(fill);
        self.chunk(out, |chunk| {
            chunk.objects("choices", [choice], |object, choice| {
                object.field("index", &choice);
                object.object("delta", |delta| {
                    if let Some(fill) = fill.take() {
                        fill(delta);
                    }
                });
                object.null("logprobs");
                object.null("finish_reason");
            });
        });
    }

    /// A chunk that is not the usage chunk.
    fn chunk(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let include_usage = self.context.include_usage;
        self.frame(out, |chunk| {
            fill(chunk);
            if include_usage {
                chunk.null("usage");
            }
        });
    }

    fn frame(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.frame.clear();
        self.frame.extend_from_slice(b"data: ");
        Object::write(&mut self.frame, |chunk| {
            chunk.field("id", &self.context.id);
            chunk.field("object", "chat.completion.chunk");
            chunk.field("created", &self.context.created);
            chunk.field("model", &self.context.model);
            chunk.opt("service_tier", self.service_tier.as_ref());
            chunk.opt("system_fingerprint", self.system_fingerprint.as_ref());
            fill(chunk);
        });
        self.frame.extend_from_slice(b"\n\n");
        out.extend_from_slice(&self.frame);
    }
}
