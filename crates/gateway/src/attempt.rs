//! One attempt at one target: what is sent to it, and what it brings.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use steelyard_core::{ApiError, ErrorCode, Timestamp};
use steelyard_dialect::{
    ChatRequest, Dialect, ReplyContext, Target, ToolNames, UpstreamFault, WireError, accept, anthropic,
    embeddings_usage,
};

use crate::account::{Account, Passed};
use crate::answer::{Upstream, callers_headers, causes, collect, vendor_request_id};
use crate::call::Endpoint;
use crate::client::HttpClient;
use crate::feed::{End, Feed, RelayFeed, Step};
use crate::mask::Mask;
use crate::miss::Miss;
use crate::offer::Offer;
use crate::plan::Plan;
use crate::provider::{Outgoing, sandbox};
use crate::relay::{Clocks, Queue, size};
use crate::spec::TimeoutSpec;
use crate::translate::{self, TranslateFeed};

/// A vendor that only says that it is alive keeps the client waiting for so long: another target may still take over.
/// The client then gets what has come, as it would get a sign of life from here.
const HOLD: Duration = Duration::from_secs(15);
/// So many bytes of signs of life are held back.
const MAX_HELD: usize = 64 << 10;
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
    ToSend(Box<Draft>),
}

/// A request for a vendor, but for what lets it in.
pub(crate) struct Draft {
    /// The vendor's wire.
    wire: Dialect,
    body: Bytes,
    losses: Vec<String>,
    /// The client's own headers of the wire, or those that its request came to.
    headers: HeaderMap,
    /// For an answer that is written anew in the client's wire; none where it is relayed.
    translated: Option<Translated>,
}

/// A request that a vendor lets in.
pub(crate) struct Sending<'o> {
    /// The vendor's wire.
    wire: Dialect,
    losses: Vec<String>,
    /// For an answer that is written anew in the client's wire; none where it is relayed.
    translated: Option<Translated>,
    /// The channel's own secrets, which a vendor may quote.
    secrets: Mask,
    request: http::Request<Full<Bytes>>,
    client: &'o HttpClient,
}

/// What an answer that is written anew needs of its request.
struct Translated {
    context: ReplyContext,
    /// The tools that the vendor was told of under other names.
    names: ToolNames,
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
    let own = provider.wire(plan.dialect).is_none_or(|wire| plan.dialect.is_relayed_over(wire));
    if plan.endpoint == Endpoint::CountTokens && !(own && provider.serves(plan.endpoint)) {
        // The vendor has no such question, or it is asked in another wire, so the answer is an estimate; that it is one is
        // said as a loss. What a strict call could not say to the model is not counted as if it could.
        let request = decode(plan, decoded)?;
        if let Some(wire) = provider.wire(plan.dialect).filter(|_| plan.strict) {
            let (_, losses) = wire.encode_request(request, &target(offer));
            accept(&plan.named(losses), true).map_err(Unfit::Target)?;
        }
        let answer = sandbox::estimate(plan, request);
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
    let Some(wire) = provider.wire(plan.dialect) else {
        return answer_here(plan, offer).map(|answer| Ready::Answered(Box::new(answer)));
    };
    if plan.endpoint != Endpoint::Chat || plan.dialect.is_relayed_over(wire) {
        let body = plan.relay_body(&offer.upstream_model);
        let (body, losses) = plan.dialect.relayable(body, plan.kept.as_ref(), &offer.model_name);
        let losses = accept(&losses, plan.strict).map_err(Unfit::Target)?;
        let headers = plan.address.headers.clone();
        return Ok(Ready::ToSend(Box::new(Draft { wire, body, losses, headers, translated: None })));
    }
    let request = decode(plan, decoded)?;
    let (body, losses) = wire.encode_request(request, &target(offer));
    let losses = accept(&plan.named(losses), plan.strict).map_err(Unfit::Target)?;
    let context = plan.reply_context(request.include_usage);
    let translated = Some(Translated { context, names: ToolNames::of(wire, request) });
    let headers = wire.request_headers(request);
    Ok(Ready::ToSend(Box::new(Draft { wire, body, losses, headers, translated })))
}

/// The request in the canonical model, read once.
fn decode<'d>(plan: &Plan, decoded: &'d mut Option<ChatRequest>) -> Result<&'d ChatRequest, Unfit> {
    Ok(match decoded {
        Some(request) => request,
        None => decoded.insert(plan.decode().map_err(Unfit::Call)?),
    })
}

/// What a request must fit to go to an offer.
fn target(offer: &Offer) -> Target<'_> {
    Target {
        model: &offer.upstream_model,
        max_output: offer.max_output,
        compatible: offer.channel.provider.is_compatible(),
    }
}

impl Draft {
    /// The request, with what lets the channel in: its key, a signature, a token. That may have to be fetched first, and
    /// the wait for it is no part of an attempt: nothing can have been sent.
    pub(crate) async fn let_in<'o>(
        self: Box<Self>,
        plan: &Plan,
        offer: &'o Offer,
        now: Timestamp,
    ) -> Result<Box<Sending<'o>>, Miss> {
        let Self { wire, body, losses, headers, translated } = *self;
        let outgoing = Outgoing {
            endpoint: plan.endpoint,
            wire,
            model: &offer.upstream_model,
            stream: plan.stream,
            headers: &headers,
            body,
        };
        let prepared = offer.channel.provider.prepare(outgoing, now).await;
        let (request, client) = prepared.map_err(Miss::NoCredentials)?;
        let secrets = Mask::of(request.headers());
        Ok(Box::new(Sending { wire, losses, translated, secrets, request, client }))
    }
}

impl Sending<'_> {
    /// Sends it, and reads the answer: all of it, or until its first bytes when it is a stream.
    pub(crate) async fn send(
        mut self: Box<Self>,
        plan: &Plan,
        offer: &Offer,
        account: &mut Account,
    ) -> Result<Answer, Miss> {
        let sent = Instant::now();
        let request = account.sending(std::mem::take(&mut self.request));
        let limits = *offer.channel.timeouts();
        let waiting = tokio::time::timeout(limits.first_byte.0, self.client.request(request));
        let response = match waiting.await {
            Err(_) if account.withdraw() => {
                let limit = limits.first_byte.0;
                return Err(Miss::Unreachable(format!(
                    "no connection within {limit:?} (the first_byte limit)"
                )));
            }
            Err(_) => return Err(Miss::Timeout("first_byte", limits.first_byte.0, Box::default())),
            Ok(Err(error)) if error.is_connect() || account.withdraw() => {
                return Err(Miss::Unreachable(causes(&error)));
            }
            Ok(Err(error)) => {
                let why = causes(&error);
                return Err(Miss::Broken { code: ErrorCode::UpstreamCut, why, passed: Box::default() });
            }
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let body = Upstream::new(body);
        let attempt = account.attempt();
        attempt.http_status = Some(head.status.as_u16());
        attempt.vendor_request_id = vendor_request_id(&head.headers);
        if !head.status.is_success() {
            // A vendor's error counts as one even if its body does not come through.
            let body = collect(body, self.wire, MAX_ERROR, sent, &limits).await.unwrap_or_default();
            let body = self.secrets.bytes(body);
            let failure = offer.channel.provider.classify(head.status, &head.headers, &body);
            let fault = self.wire.vendor_fault(&head.headers, &body).map(Box::new);
            return Err(Miss::Status { failure, status: head.status, fault, body, wire: self.wire });
        }
        metrics::histogram!("steelyard_upstream_first_byte_seconds").record(sent.elapsed().as_secs_f64());
        if let Some(fault) = self.wire.vendor_fault(&head.headers, b"") {
            // The head alone names an error, whatever the status.
            let body = collect(body, self.wire, MAX_ERROR, sent, &limits).await.unwrap_or_default();
            return Err(self.refused(offer, &head.headers, &fault, Some(body)));
        }
        if plan.stream {
            return self.stream(plan, offer, head, body, sent, &limits).await;
        }
        let body = collect(body, self.wire, most(offer), sent, &limits).await?;
        self.whole(plan, offer, &head.headers, body, sent)
    }

    /// A vendor's error within an answer of status 200, before anything of the answer: the same as one in its place.
    fn refused(&self, offer: &Offer, head: &HeaderMap, fault: &UpstreamFault, body: Option<Bytes>) -> Miss {
        // The head may name it better than the body does.
        let read = body.as_ref().and_then(|body| self.wire.vendor_fault(head, body));
        let fault = read.as_ref().unwrap_or(fault);
        let (status, named, written) = self.wire.refusal(fault);
        let mut headers = head.clone();
        headers.extend(named);
        let body = self.secrets.bytes(body.unwrap_or(written));
        let failure = offer.channel.provider.classify(status, &headers, &body);
        let fault =
            self.wire.vendor_fault(&headers, &body).unwrap_or_else(|| self.secrets.fault(fault.clone()));
        Miss::Status { failure, status, fault: Some(Box::new(fault)), body, wire: self.wire }
    }

    /// Reads a whole answer.
    fn whole(
        mut self,
        plan: &Plan,
        offer: &Offer,
        headers: &HeaderMap,
        body: Bytes,
        sent: Instant,
    ) -> Result<Answer, Miss> {
        let (wire, losses) = (self.wire, std::mem::take(&mut self.losses));
        let translated = self.translated.take();
        let unusable = |error: WireError| match error {
            WireError::Upstream(fault) => self.refused(offer, headers, &fault, Some(body.clone())),
            WireError::Garbage(_) | WireError::Cut | WireError::TooLong { .. } => {
                if let Some(fault) = told_in_events(self.wire, &body) {
                    return self.refused(offer, headers, &fault, None);
                }
                let why = self.secrets.text(error.to_string());
                let passed = Box::new(made_out(self.wire, &body));
                Miss::Broken { code: ErrorCode::UpstreamGarbage, why, passed }
            }
        };
        let Some(Translated { mut context, names }) = translated else {
            let facts = match plan.endpoint {
                Endpoint::Chat => wire.usage_of_reply(&body),
                Endpoint::Embeddings => embeddings_usage(&body),
                Endpoint::CountTokens => anthropic::count_tokens::usage(&body),
            };
            let facts = facts.map_err(unusable)?;
            let passed = Passed::from(facts);
            return Ok(Answer::Whole { headers: callers_headers(headers), body, passed, losses });
        };
        let mut response = wire.decode_response(&body).map_err(unusable)?;
        names.restore(&mut response);
        context.elapsed_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        let passed = translate::passed(&response);
        // The client is told what is charged.
        response.usage = Some(passed.figures(plan.counted_prompt).0);
        let body = plan.dialect.encode_response(&response, &context);
        Ok(Answer::Whole { headers: HeaderMap::new(), body, passed, losses })
    }

    /// Waits until a stream has begun: until bytes have gone out, another target can still take over. Signs of life alone
    /// are held back for a while.
    async fn stream(
        mut self: Box<Self>,
        plan: &Plan,
        offer: &Offer,
        head: http::response::Parts,
        mut body: Upstream,
        sent: Instant,
        limits: &TimeoutSpec,
    ) -> Result<Answer, Miss> {
        let (wire, losses) = (self.wire, std::mem::take(&mut self.losses));
        let is_events = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.trim_start().starts_with(wire.stream_type()));
        let limit = tokio::time::Instant::from_std(sent) + limits.first_byte.0;
        let Ok(first) = tokio::time::timeout_at(limit, body.first()).await else {
            return Err(Miss::Timeout("first_byte", limits.first_byte.0, Box::default()));
        };
        // Some servers write an error as it is where events are announced; no event begins like that.
        if !is_events || first.trim_ascii_start().starts_with(b"{") {
            let body = collect(body, wire, most(offer), sent, limits).await?;
            if let Err(WireError::Upstream(fault)) = wire.usage_of_reply(&body) {
                return Err(self.refused(offer, &head.headers, &fault, Some(body)));
            }
            if let Some(fault) = told_in_events(wire, &body) {
                return Err(self.refused(offer, &head.headers, &fault, None));
            }
            let why =
                format!("a stream was asked for, but the vendor's answer is not {}", wire.stream_type());
            let passed = Box::new(made_out(wire, &body));
            return Err(Miss::Broken { code: ErrorCode::UpstreamGarbage, why, passed });
        }
        let (mut feed, headers) = match self.translated.take() {
            None => {
                // The client's own tap: it may frame the vendor's stream in another way.
                let tap = plan.dialect.tap(plan.hides_usage());
                (
                    Feed::Relay(Box::new(RelayFeed::new(body, tap, self.secrets.clone()))),
                    callers_headers(&head.headers),
                )
            }
            Some(Translated { context, names }) => {
                let secrets = self.secrets.clone();
                let (from, to) = (wire, plan.dialect);
                let feed = TranslateFeed::new(body, from, to, context, plan.counted_prompt, sent, secrets);
                (Feed::Translate(Box::new(feed.restoring(names))), HeaderMap::new())
            }
        };
        let mut first = Queue::new();
        // Until when, and which limit that is; none: the client then gets what there is.
        let mut until = (limit, Some(("first_byte", limits.first_byte.0)));
        let mut held = None;
        let end = loop {
            let step = std::future::poll_fn(|cx| feed.poll(cx, &mut first));
            match tokio::time::timeout_at(until.0, step).await {
                Err(_) => match until.1 {
                    Some((name, after)) => return Err(Miss::Timeout(name, after, Box::new(feed.passed()))),
                    None => break None,
                },
                Ok(Step::Over(end)) => break Some(end),
                Ok(Step::More) if first.is_empty() => {}
                Ok(Step::More) if feed.begun() || size(&first) > MAX_HELD => break None,
                Ok(Step::More) => {
                    let now = tokio::time::Instant::now();
                    let held = *held.get_or_insert(now + HOLD);
                    let total = tokio::time::Instant::from_std(sent) + limits.total.0;
                    until = (held, None);
                    for (at, name, after) in
                        [(now + limits.idle.0, "idle", limits.idle.0), (total, "total", limits.total.0)]
                    {
                        if at < until.0 {
                            until = (at, Some((name, after)));
                        }
                    }
                }
            }
        };
        let broken = |code, why: String| Miss::Broken { code, why, passed: Box::new(feed.passed()) };
        if let Some(fault) = feed.vendor_error() {
            return Err(if feed.begun() {
                broken(ErrorCode::UpstreamFailed, self.secrets.text(fault.to_string()))
            } else {
                self.refused(offer, &head.headers, fault, None)
            });
        }
        match end {
            Some(End::Cut(why)) => Err(broken(ErrorCode::UpstreamCut, why)),
            Some(End::Garbage(why)) => Err(broken(ErrorCode::UpstreamGarbage, why)),
            end => {
                let clocks = Clocks::new(sent, limits);
                Ok(Answer::Stream { headers, losses, feed, first, end, clocks })
            }
        }
    }
}

/// The most bytes of a whole answer.
fn most(offer: &Offer) -> usize {
    usize::try_from(offer.channel.spec.max_answer.0).unwrap_or(usize::MAX)
}

/// The vendor's error that stands in the place of one answer, in the form of a stream's: an event, before any of an answer.
fn told_in_events(wire: Dialect, body: &Bytes) -> Option<UpstreamFault> {
    let (mut tap, mut unread) = (wire.tap(false), Vec::new());
    // What stood before something that cannot be read counts.
    let _ = tap.push(body.clone(), &mut unread);
    tap.finish(&mut unread);
    tap.fault().filter(|_| !tap.begun()).cloned()
}

/// What can be made out of an answer that cannot be given to the caller. The vendor has generated it and will charge it, so
/// it is charged as if it had passed: one answer where a stream was asked for, a stream where one answer was, or what is
/// neither, by its figures or else the text in it.
pub(crate) fn made_out(wire: Dialect, body: &Bytes) -> Passed {
    if let Ok(facts) = wire.usage_of_reply(body) {
        return facts.into();
    }
    let (mut tap, mut unread) = (wire.tap(false), Vec::new());
    // What stood before something that cannot be read counts.
    let _ = tap.push(body.clone(), &mut unread);
    tap.finish(&mut unread);
    if tap.begun() { tap.facts().into() } else { wire.remains_of_reply(body).into() }
}

/// The stand-in model answers in this process.
fn answer_here(plan: &Plan, offer: &Offer) -> Result<Answer, Unfit> {
    let (answer, losses) = sandbox::answer(plan).map_err(Unfit::Call)?;
    let losses = accept(&plan.named(losses), plan.strict).map_err(Unfit::Target)?;
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
