//! The stand-in's answer, word by word.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use steelyard_dialect::chat::{ChatResponse, Choice, Logprobs, Part, ToolInput};
use steelyard_dialect::{Dialect, ReplyContext, StreamEncoder, StreamEvent};
use tokio::time::Sleep;

use crate::account::Passed;
use crate::feed::{End, Step};
use crate::relay::Queue;
use crate::translate::Meter;

/// Between two words: enough to look like a stream.
const PACE: Duration = Duration::from_millis(4);

/// A stream of the stand-in.
pub(crate) struct SandboxStream {
    events: VecDeque<StreamEvent>,
    encoder: StreamEncoder,
    pause: Pin<Box<Sleep>>,
    meter: Meter,
    begun: Instant,
}

impl SandboxStream {
    pub(super) fn new(dialect: Dialect, context: ReplyContext, response: ChatResponse) -> Self {
        Self {
            events: events(response),
            encoder: dialect.stream_encoder(context),
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            meter: Meter::default(),
            begun: Instant::now(),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        ready!(self.pause.as_mut().poll(cx));
        let mut bytes = BytesMut::new();
        let Some(event) = self.events.pop_front() else {
            let elapsed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.encoder.finish(elapsed, &mut bytes);
            return Poll::Ready(Step::Over(End::Complete(bytes.freeze())));
        };
        self.meter.note(&event);
        if matches!(event, StreamEvent::Text { .. } | StreamEvent::ToolCallArguments { .. }) {
            self.pause.as_mut().reset(tokio::time::Instant::now() + PACE);
        }
        self.encoder.push(&event, &mut bytes);
        if !bytes.is_empty() {
            out.push(bytes.freeze());
        }
        Poll::Ready(Step::More)
    }

    pub(crate) fn passed(&self) -> Passed {
        self.meter.passed(self.events.is_empty())
    }
}

fn events(response: ChatResponse) -> VecDeque<StreamEvent> {
    let mut events = VecDeque::from([StreamEvent::Start {
        id: response.id,
        model: Some(response.model),
        service_tier: response.service_tier,
        system_fingerprint: response.system_fingerprint,
    }]);
    for choice in response.choices {
        choice_events(choice, &mut events);
    }
    events.extend(response.usage.map(StreamEvent::Usage));
    events
}

fn choice_events(choice: Choice, events: &mut VecDeque<StreamEvent>) {
    let index = choice.index;
    let mut calls = 0;
    let mut certain = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default().into_iter();
    for part in choice.message.content {
        match part {
            Part::Text { text, .. } => {
                for word in text.split_inclusive(' ') {
                    events.push_back(StreamEvent::Text { choice: index, text: word.to_owned() });
                    events.extend(certain.next().map(|token| StreamEvent::Logprobs {
                        choice: index,
                        logprobs: Logprobs { content: Some(vec![token]), refusal: None },
                    }));
                }
            }
            Part::ToolCall(call) => {
                let (text, custom) = match call.input {
                    ToolInput::Arguments(text) => (text, false),
                    ToolInput::Text(text) => (text, true),
                };
                events.push_back(StreamEvent::ToolCallStart {
                    choice: index,
                    call: calls,
                    id: call.id,
                    name: call.name,
                    custom,
                });
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let (piece, tail) = rest.split_at(rest.floor_char_boundary(8));
                    events.push_back(StreamEvent::ToolCallArguments {
                        choice: index,
                        call: calls,
                        text: piece.to_owned(),
                    });
                    rest = tail;
                }
                calls += 1;
            }
            // The stand-in says nothing else.
            Part::Refusal { .. }
            | Part::Reasoning { .. }
            | Part::Image { .. }
            | Part::Audio { .. }
            | Part::AudioRef { .. }
            | Part::File { .. }
            | Part::RedactedReasoning { .. }
            | Part::SearchResult { .. }
            | Part::Json(_)
            | Part::CacheMark(_)
            | Part::Foreign { .. }
            | Part::ToolResult(_) => {}
        }
    }
    events.push_back(StreamEvent::Finish { choice: index, reason: choice.finish });
}
