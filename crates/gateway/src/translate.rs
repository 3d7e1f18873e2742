//! Calls whose client and vendor speak different wires: the request is decoded once and written anew for each
//! target, the answer is decoded and written anew for the client.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::BytesMut;
use steelyard_core::ErrorCode;
use steelyard_core::record::Basis;
use steelyard_dialect::chat::{Part, ToolInput};
use steelyard_dialect::{
    ChatResponse, Dialect, ReplyContext, StreamDecoder, StreamEncoder, StreamEvent, ToolNames, UpstreamFault,
    WireError,
};

use crate::account::Passed;
use crate::answer::Upstream;
use crate::feed::{End, Step};
use crate::mask::Mask;
use crate::relay::Queue;

/// What the account needs of a whole answer.
pub(crate) fn passed(response: &ChatResponse) -> Passed {
    let parts = response.choices.iter().flat_map(|choice| &choice.message.content);
    Passed {
        usage: response.usage,
        tier: response.service_tier.clone(),
        geo: response.geo.clone(),
        id: response.id.clone(),
        finish: response.choices.iter().map(|choice| choice.finish.clone()).collect(),
        model: Some(response.model.clone()).filter(|model| !model.is_empty()),
        content_bytes: parts.map(part_bytes).sum(),
        ..Passed::default()
    }
}

/// Bytes of generated text.
fn part_bytes(part: &Part) -> u64 {
    let bytes = match part {
        Part::Text { text, .. } | Part::Refusal { text } | Part::Reasoning { text, .. } => text.len(),
        Part::ToolCall(call) => {
            let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
            call.name.len() + input.len()
        }
        Part::RedactedReasoning { data } => data.len(),
        Part::Json(json) | Part::Foreign { block: json, .. } => json.get().len(),
        Part::Image { .. }
        | Part::Audio { .. }
        | Part::AudioRef { .. }
        | Part::File { .. }
        | Part::SearchResult { .. }
        | Part::ToolResult(_)
        | Part::CacheMark(_) => 0,
    };
    bytes as u64
}

/// What has passed of a stream, read from its events.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    passed: Passed,
    /// Pieces that had passed when the last figures came.
    told_events: u64,
}

impl Meter {
    pub(crate) fn note(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Start { id, service_tier, model, .. } => {
                self.passed.id.clone_from(id);
                self.passed.tier.clone_from(service_tier);
                self.passed.model.clone_from(model);
            }
            StreamEvent::Usage(usage) => {
                self.passed.usage = Some(*usage);
                self.told_events = self.passed.content_events;
            }
            StreamEvent::ServiceTier(tier) => self.passed.tier = Some(tier.clone()),
            StreamEvent::Geo(geo) => self.passed.geo = Some(geo.clone()),
            StreamEvent::Text { text, .. }
            | StreamEvent::Reasoning { text, .. }
            | StreamEvent::Refusal { text, .. }
            | StreamEvent::RedactedReasoning { data: text, .. }
            | StreamEvent::ToolCallStart { name: text, .. }
            | StreamEvent::ToolCallArguments { text, .. } => {
                self.passed.content_bytes += text.len() as u64;
                self.passed.content_events += u64::from(!text.is_empty());
            }
            StreamEvent::Finish { reason, .. } => self.passed.finish.push(reason.clone()),
            StreamEvent::ReasoningSignature { .. }
            | StreamEvent::Citation { .. }
            | StreamEvent::PartEnd { .. }
            | StreamEvent::Image { .. }
            | StreamEvent::Foreign { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Annotations { .. } => {}
        }
    }

    /// What has passed; `over`: the answer told why it ended.
    pub(crate) fn passed(&self, over: bool) -> Passed {
        let outran = self.told_events < self.passed.content_events;
        Passed { outran, broke_off: !over, ..self.passed.clone() }
    }
}

/// A vendor's stream, event by event in the client's wire.
pub(crate) struct TranslateFeed {
    upstream: Upstream,
    decoder: StreamDecoder,
    encoder: StreamEncoder,
    meter: Meter,
    events: Vec<StreamEvent>,
    sent: Instant,
    begun: bool,
    fault: Option<UpstreamFault>,
    vendor: Dialect,
    /// The count of the prompt, for figures that the vendor does not tell.
    counted_prompt: u64,
    /// What an error of the vendor's must not quote.
    secrets: Mask,
    /// The tools that the vendor knows under other names.
    names: ToolNames,
    at_end: bool,
}

impl TranslateFeed {
    pub(crate) fn new(
        upstream: Upstream,
        vendor: Dialect,
        client: Dialect,
        context: ReplyContext,
        counted_prompt: u64,
        sent: Instant,
        secrets: Mask,
    ) -> Self {
        Self {
            upstream,
            decoder: vendor.stream_decoder(),
            encoder: client.stream_encoder(context),
            meter: Meter::default(),
            events: Vec::new(),
            sent,
            begun: false,
            fault: None,
            vendor,
            counted_prompt,
            secrets,
            names: ToolNames::default(),
            at_end: false,
        }
    }

    /// The same, whose tools get their names back.
    pub(crate) fn restoring(self, names: ToolNames) -> Self {
        Self { names, ..self }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        let step = match ready!(self.upstream.poll_data(cx)) {
            Some(Ok(data)) => self.take(&data, out),
            Some(Err(error)) => Step::Over(End::Cut(error.to_string())),
            None => {
                self.at_end = true;
                self.end(out)
            }
        };
        Poll::Ready(step)
    }

    fn take(&mut self, data: &[u8], out: &mut Queue) -> Step {
        let taken = self.decoder.push(data, &mut self.events);
        self.write(out);
        match taken {
            Err(error) => Step::Over(self.failed(error)),
            Ok(()) if self.decoder.is_done() => self.end(out),
            Ok(()) => Step::More,
        }
    }

    /// The vendor is done, or closed the stream.
    fn end(&mut self, out: &mut Queue) -> Step {
        let ended = self.decoder.finish(&mut self.events);
        self.write(out);
        if let Err(error) = ended {
            return Step::Over(self.failed(error));
        }
        let mut last = BytesMut::new();
        let (usage, basis) = self.passed().figures(self.counted_prompt);
        if basis == Basis::Counted {
            // What the client is told is what is charged, also where the vendor told nothing.
            self.encoder.push(&StreamEvent::Usage(usage), &mut last);
        }
        let elapsed = self.elapsed_ms();
        self.encoder.finish(elapsed, &mut last);
        Step::Over(End::Complete(last.freeze()))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.sent.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn write(&mut self, out: &mut Queue) {
        if !self.begun && !self.events.is_empty() {
            self.begun = true;
            self.encoder.began(self.elapsed_ms());
        }
        let mut bytes = BytesMut::new();
        for mut event in self.events.drain(..) {
            self.names.restore_event(&mut event);
            self.meter.note(&event);
            self.encoder.push(&event, &mut bytes);
        }
        if !bytes.is_empty() {
            out.push(bytes.freeze());
        }
    }

    fn failed(&mut self, error: WireError) -> End {
        match error {
            WireError::Upstream(fault) => {
                let fault = self.secrets.fault(fault);
                self.fault = Some(fault.clone());
                let code = match self.vendor.refusal(&fault).0.as_u16() {
                    429 => ErrorCode::UpstreamRateLimited,
                    408 | 504 => ErrorCode::UpstreamTimeout,
                    503 | 529 => ErrorCode::UpstreamOverloaded,
                    _ => ErrorCode::UpstreamFailed,
                };
                End::Upstream(code, fault)
            }
            WireError::Cut => End::Cut("the vendor closed the stream before its end".to_owned()),
            WireError::Garbage(_) | WireError::TooLong { .. } => {
                End::Garbage(self.secrets.text(error.to_string()))
            }
        }
    }

    /// Reads what follows the end, so that the connection can be used again.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.at_end {
            ready!(self.upstream.poll_away(cx));
            self.at_end = true;
        }
        Poll::Ready(())
    }

    pub(crate) fn passed(&self) -> Passed {
        self.meter.passed(self.decoder.is_over())
    }

    /// The vendor's own error, if one has come.
    pub(crate) fn vendor_error(&self) -> Option<&UpstreamFault> {
        self.fault.as_ref()
    }

    /// Whether the vendor has said anything of its answer.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }
}
