//! One attempt at one target: what is sent to it, and what it brings.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use steelyard_core::{ApiError, ErrorCode, Timestamp, Usage};
use steelyard_dialect::{ChatRequest, Dialect, ReplyContext, ReplyFacts, Target, accept, embeddings_usage};

use crate::account::{Account, Passed};
use crate::answer::{callers_headers, causes, collect, vendor_request_id};
use crate::call::Endpoint;
use crate::feed::{End, Feed, RelayFeed, Step};
use crate::miss::Miss;
use crate::offer::Offer;
use crate::plan::Plan;
use crate::provider::{Outgoing, sandbox};
use crate::relay::{Clocks, Queue};
use crate::spec::TimeoutSpec;
use crate::translate::{self, TranslateFeed};

/// A whole answer larger than this is taken for a defect of the vendor's.
const MAX_REPLY: usize = 256 << 20;
/// Of an error's body, so much is read.
const MAX_ERROR: usize = 1 << 20;

/// What an attempt brought.
pub(crate) enum Answer {
    Whole {
        headers: HeaderMap,
        body: Bytes,
        passed: Passed,
        losses: Vec<String>,
    },
    Stream {
        headers: HeaderMap,
        losses: Vec<String>,
        feed: Feed,
        first: Queue,
        end: Option<End>,
        clocks: Clocks,
    },
}

/// What is to be done for an attempt.
pub(crate) enum Ready {
    /// Nothing more: this process has the answer.
    Answered(Box<Answer>),
    /// It is sent to a vendor.
    ToSend(Box<Sending>),
}

/// A request for a vendor.
pub(crate) struct Sending {
    /// The vendor's wire.
    wire: Dialect,
    body: Bytes,
    losses: Vec<String>,
    /// The client's own headers of the wire, or those that its request came to.
    headers: HeaderMap,
    /// For an answer that is written anew in the client's wire; none where it is relayed.
    translated: Option<ReplyContext>,
}

/// Why nothing is sent to a target.
pub(crate) enum Unfit {
    /// The call is wrong, whichever the target.
    Call(ApiError),
    /// This target cannot express it.
    Target(ApiError),
}

/// What is to be sent to a target, or what this process answers itself.
///
/// `decoded` is the request in the canonical model, once a target needed it.
pub(crate) fn prepare(plan: &Plan, decoded: &mut Option<ChatRequest>, offer: &Offer) -> Result<Ready, Unfit> {
    let provider = &offer.channel.provider;
    if !provider.serves(plan.endpoint) && plan.endpoint == Endpoint::CountTokens {
        // The vendor has no such question, so the answer is an estimate; that it is one is said as a loss.
        let answer = sandbox::count_tokens_here(plan).map_err(Unfit::Call)?;
        return Ok(Ready::Answered(Box::new(here(answer, vec!["input_tokens".to_owned()], offer))));
    }
    if !provider.serves(plan.endpoint) {
        let text = format!(
            "`{}` does not serve {}: call a model that does",
            offer.full_name(),
            plan.endpoint.name()
        );
        return Err(Unfit::Target(ApiError::new(ErrorCode::UnsupportedEndpoint, text).with_param("model")));
    }
    let Some(wire) = provider.wire() else {
        return answer_here(plan, offer).map(|answer| Ready::Answered(Box::new(answer)));
    };
    if plan.endpoint != Endpoint::Chat || wire == plan.dialect {
        let body = plan.relay_body(&offer.upstream_model);
        let headers = plan.address.headers.clone();
        return Ok(Ready::ToSend(Box::new(Sending {
            wire,
            body,
            losses: Vec::new(),
            headers,
            translated: None,
        })));
    }
    let request = match decoded {
        Some(request) => request,
        None => decoded.insert(plan.decode().map_err(Unfit::Call)?),
    };
    let target = Target {
        model: &offer.upstream_model,
        max_output: offer.max_output,
        compatible: provider.is_compatible(),
    };
    let (body, losses) = wire.encode_request(request, &target);
    let losses = accept(&losses, plan.strict).map_err(Unfit::Target)?;
    let translated = Some(plan.reply_context(request.include_usage));
    let headers = wire.request_headers(request);
    Ok(Ready::ToSend(Box::new(Sending { wire, body, losses, headers, translated })))
}

impl Sending {
    /// Sends it, and reads the answer: all of it, or until its first bytes when it is a stream.
    pub(crate) async fn send(
        mut self,
        plan: &Plan,
        offer: &Offer,
        account: &mut Account,
        now: Timestamp,
    ) -> Result<Answer, Miss> {
        let sent = Instant::now();
        let outgoing = Outgoing {
            endpoint: plan.endpoint,
            model: &offer.upstream_model,
            stream: plan.stream,
            headers: &self.headers,
            body: std::mem::take(&mut self.body),
        };
        let prepared = offer.channel.provider.prepare(outgoing, now).await;
        let (mut request, client) = prepared.map_err(Miss::NoCredentials)?;
        account.trace().sending(&mut request);
        let limits = *offer.channel.timeouts();
        let waiting = tokio::time::timeout(limits.first_byte.0, client.request(request));
        let response = match waiting.await {
            Err(_) => return Err(Miss::Timeout("first_byte", limits.first_byte.0)),
            Ok(Err(error)) if error.is_connect() => return Err(Miss::Unreachable(causes(&error))),
            Ok(Err(error)) => {
                let why = causes(&error);
                return Err(Miss::Broken { code: ErrorCode::UpstreamCut, why, passed: Box::default() });
            }
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let attempt = account.attempt();
        attempt.http_status = Some(head.status.as_u16());
        attempt.vendor_request_id = vendor_request_id(&head.headers);
        if !head.status.is_success() {
            // A vendor's error counts as one even if its body does not come through.
            let body = collect(body, MAX_ERROR, sent, &limits).await.unwrap_or_default();
            let failure = offer.channel.provider.classify(head.status, &head.headers, &body);
            let fault = self.wire.vendor_fault(&head.headers, &body).map(Box::new);
            return Err(Miss::Status { failure, status: head.status, fault, body, wire: self.wire });
        }
        metrics::histogram!("steelyard_upstream_first_byte_seconds").record(sent.elapsed().as_secs_f64());
        if plan.stream {
            return self.stream(plan, head, body, sent, &limits).await;
        }
        let body = collect(body, MAX_REPLY, sent, &limits).await?;
        self.whole(plan, &head.headers, body, sent)
    }

    /// Reads a whole answer.
    fn whole(self, plan: &Plan, headers: &HeaderMap, body: Bytes, sent: Instant) -> Result<Answer, Miss> {
        let garbage = |why: String| Miss::Broken {
            code: ErrorCode::UpstreamGarbage,
            why,
            passed: Box::new(Passed { content_bytes: body.len() as u64, ..Passed::default() }),
        };
        let Self { wire, losses, translated, .. } = self;
        let Some(mut context) = translated else {
            let facts = match plan.endpoint {
                Endpoint::Chat => wire.usage_of_reply(&body),
                Endpoint::Embeddings => embeddings_usage(&body),
                Endpoint::CountTokens => Ok(ReplyFacts { usage: Some(Usage::ZERO), ..ReplyFacts::default() }),
            };
            let facts = facts.map_err(|error| garbage(error.to_string()))?;
            let passed = Passed {
                usage: facts.usage,
                tier: facts.service_tier,
                geo: facts.geo,
                model: facts.model,
                content_bytes: facts.content_bytes,
                ..Passed::default()
            };
            return Ok(Answer::Whole { headers: callers_headers(headers), body, passed, losses });
        };
        let response = wire.decode_response(&body).map_err(|error| garbage(error.to_string()))?;
        context.elapsed_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        let passed = translate::passed(&response);
        let body = plan.dialect.encode_response(&response, &context);
        Ok(Answer::Whole { headers: HeaderMap::new(), body, passed, losses })
    }

    /// Waits for the first bytes of a stream: until they have gone out, another target can still take over.
    async fn stream(
        self,
        plan: &Plan,
        head: http::response::Parts,
        body: Incoming,
        sent: Instant,
        limits: &TimeoutSpec,
    ) -> Result<Answer, Miss> {
        let Self { wire, losses, translated, .. } = self;
        let is_events = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.trim_start().starts_with(wire.stream_type()));
        if !is_events {
            let why =
                format!("a stream was asked for, but the vendor's answer is not {}", wire.stream_type());
            return Err(Miss::Broken { code: ErrorCode::UpstreamGarbage, why, passed: Box::default() });
        }
        let (mut feed, headers) = match translated {
            None => {
                let tap = wire.tap(plan.hides_usage());
                (Feed::Relay(Box::new(RelayFeed::new(body, tap))), callers_headers(&head.headers))
            }
            Some(context) => {
                let feed = TranslateFeed::new(body, wire, plan.dialect, context, sent);
                (Feed::Translate(Box::new(feed)), HeaderMap::new())
            }
        };
        let mut first = Queue::new();
        let step = tokio::time::timeout(limits.first_byte.0.saturating_sub(sent.elapsed()), async {
            loop {
                match std::future::poll_fn(|cx| feed.poll(cx, &mut first)).await {
                    Step::More if first.is_empty() => {}
                    step => return step,
                }
            }
        });
        let end = match step.await {
            Err(_) => return Err(Miss::Timeout("first_byte", limits.first_byte.0)),
            Ok(Step::More) => None,
            Ok(Step::Over(end)) => Some(end),
        };
        let broken = |code, why: String| Miss::Broken { code, why, passed: Box::new(feed.passed()) };
        if let Some(why) = feed.vendor_error() {
            return Err(broken(ErrorCode::UpstreamFailed, why));
        }
        match end {
            Some(End::Cut(why)) if first.is_empty() => Err(broken(ErrorCode::UpstreamCut, why)),
            Some(End::Garbage(error)) => Err(broken(ErrorCode::UpstreamGarbage, error.to_string())),
            end => {
                let clocks = Clocks::new(sent, limits);
                Ok(Answer::Stream { headers, losses, feed, first, end, clocks })
            }
        }
    }
}

/// The stand-in model answers in this process.
fn answer_here(plan: &Plan, offer: &Offer) -> Result<Answer, Unfit> {
    let (answer, losses) = sandbox::answer(plan).map_err(Unfit::Call)?;
    let losses = accept(&losses, plan.strict).map_err(Unfit::Target)?;
    Ok(here(answer, losses, offer))
}

/// An answer of this process.
fn here(answer: sandbox::Answer, losses: Vec<String>, offer: &Offer) -> Answer {
    match answer {
        sandbox::Answer::Whole { body, passed } => {
            Answer::Whole { headers: HeaderMap::new(), body, passed, losses }
        }
        sandbox::Answer::Stream(stream) => Answer::Stream {
            headers: HeaderMap::new(),
            losses,
            feed: Feed::Sandbox(Box::new(stream)),
            first: Queue::new(),
            end: None,
            clocks: Clocks::new(Instant::now(), offer.channel.timeouts()),
        },
    }
}
