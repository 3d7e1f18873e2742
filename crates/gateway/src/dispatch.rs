//! Attempts: one after the other over the plan's offers, until one answers, or none is left, or a byte of an answer
//! could have gone to the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use opentelemetry::trace::TraceId;
use steelyard_core::port::LedgerError;
use steelyard_core::record::{AttemptStatus, Outcome};
use steelyard_core::{ApiError, ErrorCode, Usage};
use steelyard_dialect::{ChatRequest, Dialect, ReplyContext, ReplyFacts, Target, embeddings_usage};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::account::{Account, Passed};
use crate::answer::{callers_headers, causes, collect, vendor_request_id};
use crate::call::{Endpoint, Facts, Gateway, Refusal, Reply};
use crate::feed::{End, Feed, RelayFeed, Step};
use crate::miss::Miss;
use crate::offer::Offer;
use crate::plan::Plan;
use crate::provider::{Failure, Outgoing, sandbox};
use crate::relay::{Clocks, Ends, Queue, ReplyBody, StreamBody};
use crate::spec::TimeoutSpec;
use crate::trace::CallTrace;
use crate::translate::{self, TranslateFeed};

/// A whole answer larger than this is taken for a defect of the vendor's.
const MAX_REPLY: usize = 256 << 20;
/// Of an error's body, so much is read.
const MAX_ERROR: usize = 1 << 20;
/// A vendor's wish to wait is waited out only up to here; beyond it the caller is told.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Attempts of one call, over all rounds.
const MAX_ATTEMPTS: u16 = 8;

/// A call on its way.
pub(crate) struct Dispatch<'a> {
    gateway: &'a Gateway,
    plan: Plan,
    /// The request in the canonical model, once a target needs it.
    request: Option<ChatRequest>,
    account: Option<Account>,
    /// Until the account is open; from then on it is the account's.
    trace: CallTrace,
    trace_id: Option<TraceId>,
    attempts: u16,
    /// Time spent waiting for vendors.
    upstream: Duration,
    /// Set when the client has left and the answer is only read for the bill.
    left: Arc<AtomicBool>,
    _in_flight: TaskTrackerToken,
}

/// What an attempt brought.
enum Answer {
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
enum Ready {
    /// Nothing more: this process has the answer.
    Answered(Box<Answer>),
    /// It is sent to a vendor.
    ToSend(Box<Sending>),
}

/// A request for a vendor.
struct Sending {
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
enum Unfit {
    /// The call is wrong, whichever the target.
    Call(ApiError),
    /// This target cannot express it.
    Target(ApiError),
}

impl<'a> Dispatch<'a> {
    pub(crate) fn new(gateway: &'a Gateway, plan: Plan) -> Self {
        let in_flight = gateway.tasks.token();
        Self {
            gateway,
            plan,
            request: None,
            account: None,
            trace: CallTrace::default(),
            trace_id: None,
            attempts: 0,
            upstream: Duration::ZERO,
            left: Arc::default(),
            _in_flight: in_flight,
        }
    }

    /// The call goes on when its client leaves; `left` says that it has.
    pub(crate) fn watching(mut self, left: Arc<AtomicBool>) -> Self {
        self.left = left;
        self
    }

    /// The call is seen in this trace.
    pub(crate) fn traced(mut self, trace: CallTrace) -> Self {
        self.trace_id = trace.id();
        self.trace = trace;
        self
    }

    pub(crate) async fn run(mut self) -> Result<Reply, Box<Refusal>> {
        let offers = std::mem::take(&mut self.plan.offers);
        let mut spent = vec![false; offers.len()];
        let mut last: Option<(Arc<Offer>, Miss)> = None;
        let mut unfit: Option<(Arc<Offer>, Miss)> = None;
        for round in 0..=self.plan.route.retries {
            if round > 0 && !wait_before(round, last.as_ref().map(|(_, miss)| miss)).await {
                break;
            }
            for (index, offer) in offers.iter().enumerate() {
                if spent[index]
                    || self.attempts == MAX_ATTEMPTS
                    || !offer.health.claim(self.gateway.clock.now())
                {
                    continue;
                }
                // What cannot be asked of this target is refused before anything is recorded.
                let ready = match self.ready(offer) {
                    Ok(ready) => ready,
                    Err(Unfit::Call(error)) => {
                        return Err(self.refuse(Some((Arc::clone(offer), Miss::Refused(error)))).await);
                    }
                    Err(Unfit::Target(error)) => {
                        // Another target may have a word for it.
                        spent[index] = true;
                        unfit.get_or_insert((Arc::clone(offer), Miss::Refused(error)));
                        continue;
                    }
                };
                if let Err(error) = self.open(offer).await {
                    return Err(self.unrecorded(offer, error).await);
                }
                let answered = match ready {
                    Ready::Answered(answer) => Ok(*answer),
                    Ready::ToSend(sending) => self.attempt(offer, *sending).await,
                };
                match answered {
                    Ok(answer) => return self.deliver(offer, answer).await,
                    Err(miss) => {
                        spent[index] = self.book(offer, &miss);
                        let over = miss.is_the_callers();
                        last = Some((Arc::clone(offer), miss));
                        if over {
                            return Err(self.refuse(last).await);
                        }
                    }
                }
            }
            if spent.iter().all(|spent| *spent) {
                break;
            }
        }
        Err(self.refuse(last.or(unfit)).await)
    }

    /// What is to be sent to a target, or what this process answers itself.
    fn ready(&mut self, offer: &Offer) -> Result<Ready, Unfit> {
        let provider = &offer.channel.provider;
        if !provider.serves(self.plan.endpoint) && self.plan.endpoint == Endpoint::CountTokens {
            // The vendor has no such question, so the answer is an estimate; that it is one is said as a loss.
            let answer = sandbox::count_tokens_here(&self.plan).map_err(Unfit::Call)?;
            return Ok(Ready::Answered(Box::new(here(answer, vec!["input_tokens".to_owned()], offer))));
        }
        if !provider.serves(self.plan.endpoint) {
            let text = format!(
                "`{}` does not serve {}: call a model that does",
                offer.full_name(),
                self.plan.endpoint.name()
            );
            return Err(Unfit::Target(
                ApiError::new(ErrorCode::UnsupportedEndpoint, text).with_param("model"),
            ));
        }
        let Some(wire) = provider.wire() else {
            return self.answer_here(offer).map(|answer| Ready::Answered(Box::new(answer)));
        };
        if self.plan.endpoint != Endpoint::Chat || wire == self.plan.dialect {
            let body = self.plan.relay_body(&offer.upstream_model);
            let headers = self.plan.address.headers.clone();
            return Ok(Ready::ToSend(Box::new(Sending {
                wire,
                body,
                losses: Vec::new(),
                headers,
                translated: None,
            })));
        }
        let request = match &self.request {
            Some(request) => request,
            None => self.request.insert(self.plan.decode().map_err(Unfit::Call)?),
        };
        let target = Target {
            model: &offer.upstream_model,
            max_output: offer.max_output,
            compatible: provider.is_compatible(),
        };
        let (body, losses) = wire.encode_request(request, &target);
        let losses = translate::accept(&losses, self.plan.strict).map_err(Unfit::Target)?;
        let translated = Some(self.plan.reply_context(request.include_usage));
        let headers = wire.request_headers(request);
        Ok(Ready::ToSend(Box::new(Sending { wire, body, losses, headers, translated })))
    }

    /// Makes the next attempt durable.
    async fn open(&mut self, offer: &Arc<Offer>) -> Result<(), LedgerError> {
        let attempt = self.plan.attempt(offer, self.attempts + 1, self.gateway.clock.now());
        if let Some(account) = &mut self.account {
            account.next(offer, attempt).await?;
        } else {
            let gateway = self.gateway;
            let mut account =
                Account::open(gateway.ledger.as_ref(), &self.plan, offer, attempt, &gateway.clock).await?;
            account.traced(std::mem::take(&mut self.trace));
            self.account = Some(account);
        }
        self.attempts += 1;
        Ok(())
    }

    fn account(&mut self) -> &mut Account {
        self.account.as_mut().expect("an attempt is made on an open account")
    }

    async fn attempt(&mut self, offer: &Arc<Offer>, mut sending: Sending) -> Result<Answer, Miss> {
        let provider = &offer.channel.provider;
        let sent = Instant::now();
        let outgoing = Outgoing {
            endpoint: self.plan.endpoint,
            model: &offer.upstream_model,
            stream: self.plan.stream,
            headers: &sending.headers,
            body: std::mem::take(&mut sending.body),
        };
        let prepared = provider.prepare(outgoing, self.gateway.clock.now()).await;
        let (mut request, client) = prepared.map_err(Miss::NoCredentials)?;
        self.account().trace().sending(&mut request);
        let limits = *offer.channel.timeouts();
        let waiting = tokio::time::timeout(limits.first_byte.0, client.request(request));
        let response = match waiting.await {
            Err(_) => Err(Miss::Timeout("first_byte", limits.first_byte.0)),
            Ok(Err(error)) if error.is_connect() => Err(Miss::Unreachable(causes(&error))),
            Ok(Err(error)) => {
                let why = causes(&error);
                Err(Miss::Broken { code: ErrorCode::UpstreamCut, why, passed: Box::default() })
            }
            Ok(Ok(response)) => Ok(response),
        };
        let result = match response {
            Ok(response) => self.read(offer, response, sent, sending).await,
            Err(miss) => Err(miss),
        };
        self.upstream += sent.elapsed();
        result
    }

    /// Reads an upstream's answer: all of it, or until its first bytes when it is a stream.
    async fn read(
        &mut self,
        offer: &Offer,
        response: http::Response<Incoming>,
        sent: Instant,
        sending: Sending,
    ) -> Result<Answer, Miss> {
        let (head, body) = response.into_parts();
        let attempt = self.account().attempt();
        attempt.http_status = Some(head.status.as_u16());
        attempt.vendor_request_id = vendor_request_id(&head.headers);
        let limits = *offer.channel.timeouts();
        if !head.status.is_success() {
            // A vendor's error counts as one even if its body does not come through.
            let body = collect(body, MAX_ERROR, sent, &limits).await.unwrap_or_default();
            let failure = offer.channel.provider.classify(head.status, &head.headers, &body);
            let fault = sending.wire.vendor_fault(&head.headers, &body);
            return Err(Miss::Status { failure, status: head.status, fault, body, wire: sending.wire });
        }
        metrics::histogram!("steelyard_upstream_first_byte_seconds").record(sent.elapsed().as_secs_f64());
        if self.plan.stream {
            return self.read_stream_head(head, body, sent, &limits, sending).await;
        }
        let body = collect(body, MAX_REPLY, sent, &limits).await?;
        let garbage = |why: String| Miss::Broken {
            code: ErrorCode::UpstreamGarbage,
            why,
            passed: Box::new(Passed { content_bytes: body.len() as u64, ..Passed::default() }),
        };
        let Sending { wire, losses, translated, .. } = sending;
        let Some(mut context) = translated else {
            let facts = match self.plan.endpoint {
                Endpoint::Chat => wire.usage_of_reply(&body),
                Endpoint::Embeddings => embeddings_usage(&body),
                Endpoint::CountTokens => Ok(ReplyFacts { usage: Some(Usage::ZERO), ..ReplyFacts::default() }),
            };
            let facts = facts.map_err(|error| garbage(error.to_string()))?;
            let passed = Passed {
                usage: facts.usage,
                tier: facts.service_tier,
                model: facts.model,
                content_bytes: facts.content_bytes,
                ..Passed::default()
            };
            return Ok(Answer::Whole { headers: callers_headers(&head.headers), body, passed, losses });
        };
        let response = wire.decode_response(&body).map_err(|error| garbage(error.to_string()))?;
        context.elapsed_ms = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        let passed = translate::passed(&response);
        let body = self.plan.dialect.encode_response(&response, &context);
        Ok(Answer::Whole { headers: HeaderMap::new(), body, passed, losses })
    }

    /// Waits for the first bytes of a stream: until they have gone out, another target can still take over.
    async fn read_stream_head(
        &mut self,
        head: http::response::Parts,
        body: Incoming,
        sent: Instant,
        limits: &TimeoutSpec,
        sending: Sending,
    ) -> Result<Answer, Miss> {
        let Sending { wire, losses, translated, .. } = sending;
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
                let tap = wire.tap(self.plan.hides_usage());
                (Feed::Relay(Box::new(RelayFeed::new(body, tap))), callers_headers(&head.headers))
            }
            Some(context) => {
                let feed = TranslateFeed::new(body, wire, self.plan.dialect, context, sent);
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

    /// The stand-in model answers in this process.
    fn answer_here(&self, offer: &Offer) -> Result<Answer, Unfit> {
        let (answer, losses) = sandbox::answer(&self.plan).map_err(Unfit::Call)?;
        let losses = translate::accept(&losses, self.plan.strict).map_err(Unfit::Target)?;
        Ok(here(answer, losses, offer))
    }

    /// Notes a failed attempt in the account and in the offer's health. Whether the target is out for this call: it
    /// may have done the work, and another try could be charged twice.
    fn book(&mut self, offer: &Offer, miss: &Miss) -> bool {
        let now = self.gateway.clock.now();
        let account = self.account();
        match miss {
            Miss::Unreachable(_) => {
                account.attempt_free(AttemptStatus::ConnectError);
                offer.health.failed(now);
                false
            }
            // Rest does not mend it, so it does not open the circuit.
            Miss::NoCredentials(_) => {
                account.attempt_free(AttemptStatus::ConnectError);
                true
            }
            Miss::Status { failure, .. } => {
                account.attempt_free(AttemptStatus::HttpError);
                match failure {
                    Failure::Passing(wait) => {
                        offer.health.failed(now);
                        wait.inspect(|wait| offer.health.cool(now, *wait));
                        false
                    }
                    Failure::RateLimited(wait) => {
                        offer.health.cool(now, wait.unwrap_or(Duration::from_secs(1)));
                        false
                    }
                    // Rest mends none of these, so they do not open the circuit.
                    Failure::Credentials | Failure::Redirect | Failure::NoModel | Failure::Caller => true,
                }
            }
            Miss::Timeout(..) => {
                account.attempt_charged(AttemptStatus::Timeout, &Passed::default());
                offer.health.failed(now);
                true
            }
            Miss::Broken { passed, .. } => {
                account.attempt_charged(AttemptStatus::Cut, passed);
                offer.health.failed(now);
                true
            }
            Miss::Refused(_) => {
                account.attempt_free(AttemptStatus::HttpError);
                true
            }
        }
    }

    /// Hands an answer on: a whole one when its settlement is durable, a stream at once, its end withheld.
    async fn deliver(mut self, offer: &Arc<Offer>, answer: Answer) -> Result<Reply, Box<Refusal>> {
        offer.health.succeeded();
        let mut facts = self.facts(Some(offer));
        let mut account = self.account.take().expect("an attempt is made on an open account");
        match answer {
            Answer::Whole { headers, passed, .. } if self.left.load(Ordering::Relaxed) => {
                account.abandon(&passed);
                Ok(Reply { facts, headers, body: ReplyBody::whole(Bytes::new()) })
            }
            Answer::Whole { mut headers, body, passed, losses } => {
                account.attempt_charged(AttemptStatus::Ok, &passed);
                account.lose(&losses);
                facts.losses = losses;
                let (cost, settled) = account.settle(Outcome::Ok);
                if let Err(error) = settled.await {
                    let text = "the vendor has answered, but the ledger entry is not durable yet, so the answer is withheld; \
                                it is charged, and asking again calls the vendor again";
                    let error = ApiError::new(ErrorCode::LedgerUnavailable, text).with_source(error);
                    return Err(Box::new(Refusal { error, facts, vendor: None }));
                }
                facts.cost = cost;
                let elapsed = u64::try_from(self.upstream.as_millis()).unwrap_or(u64::MAX);
                headers.extend(self.plan.dialect.reply_headers(&passed.usage.unwrap_or_default(), elapsed));
                self.note_overhead();
                Ok(Reply { facts, headers, body: ReplyBody::whole(body) })
            }
            Answer::Stream { headers, losses, feed, first, end, clocks } => {
                account.lose(&losses);
                facts.losses = losses;
                let ends = Ends {
                    dialect: self.plan.dialect,
                    request_id: self.plan.call.request_id,
                    trace_id: self.trace_id,
                    on_disconnect: self.plan.route.on_disconnect,
                    tasks: self.gateway.tasks.clone(),
                };
                let mut body = StreamBody::new(feed, first, account, clocks, ends);
                if let Some(end) = end {
                    body = body.ended(end);
                }
                self.note_overhead();
                Ok(Reply { facts, headers, body: ReplyBody::Stream(Box::new(body)) })
            }
        }
    }

    fn note_overhead(&self) {
        let own = self.plan.started.elapsed().saturating_sub(self.upstream);
        metrics::histogram!("steelyard_overhead_seconds").record(own.as_secs_f64());
    }

    fn facts(&self, offer: Option<&Arc<Offer>>) -> Facts {
        Facts {
            route: Some(Arc::clone(&self.plan.route.name)),
            channel: offer.map(|offer| Arc::clone(&offer.channel.name)),
            model: offer.map(|offer| Arc::clone(&offer.model_name)),
            attempts: self.attempts,
            losses: Vec::new(),
            cost: None,
        }
    }

    /// All attempts failed: the entry is written, then the caller is told.
    async fn refuse(mut self, last: Option<(Arc<Offer>, Miss)>) -> Box<Refusal> {
        let facts = self.facts(last.as_ref().map(|(offer, _)| offer));
        let Some((offer, miss)) = last else {
            let text =
                format!("every target of `{}` is left alone for a moment; try again", self.plan.route.name);
            let error = ApiError::new(ErrorCode::CircuitOpen, text);
            self.trace.refused(&error);
            return Box::new(Refusal { error, facts, vendor: None });
        };
        let outcome =
            if matches!(miss, Miss::Timeout(..)) { Outcome::Timeout } else { Outcome::UpstreamError };
        if let Some(account) = self.account.take() {
            let (_, settled) = account.settle(outcome);
            if let Err(error) = settled.await {
                return Box::new(Refusal { error: unrecorded(error), facts, vendor: None });
            }
        }
        self.note_overhead();
        let vendor = miss.vendor(self.plan.dialect);
        let error = miss.into_error(&offer);
        // Only where no account was opened.
        self.trace.refused(&error);
        tracing::warn!(request.id = %self.plan.call.request_id,
            trace_id = self.trace_id.map(tracing::field::display), route = %self.plan.route.name,
            channel = %offer.channel.name, model = %offer.model_name, attempts = self.attempts,
            error.code = error.code.code(), error = %error.public,
            error.source = error.source.as_ref().map(tracing::field::display), "call failed");
        Box::new(Refusal { error, facts, vendor })
    }

    /// The ledger could not take the intent, so nothing was sent.
    async fn unrecorded(mut self, offer: &Arc<Offer>, error: LedgerError) -> Box<Refusal> {
        let facts = self.facts(Some(offer));
        if let Some(account) = self.account.take() {
            // Earlier attempts of this call are on record; the call ends here.
            let _ = account.settle(Outcome::UpstreamError).1.await;
        }
        // The spool says once that it fails; a line for each call would help to fill the disk.
        tracing::debug!(request.id = %self.plan.call.request_id, error = %error, "the ledger takes no intent");
        let error = unrecorded(error);
        self.trace.refused(&error);
        Box::new(Refusal { error, facts, vendor: None })
    }
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

fn unrecorded(error: LedgerError) -> ApiError {
    let text = match &error {
        LedgerError::Full { .. } => {
            "the ledger has no room for another call until waiting records are moved; try again"
        }
        LedgerError::Failed(_) | LedgerError::Closed => {
            "the ledger cannot record the call, so it is not served; try again"
        }
    };
    ApiError::new(ErrorCode::LedgerUnavailable, text)
        .with_retry_after(Some(Duration::from_secs(1)))
        .with_source(error)
}

/// Waits before going through the targets again. Whether it is worth while: a vendor that wants to be left alone for
/// longer is left alone, and the caller told.
async fn wait_before(round: u8, last: Option<&Miss>) -> bool {
    let backoff = Duration::from_millis(100) * 2_u32.saturating_pow(u32::from(round) - 1);
    let wait = match last.and_then(Miss::wish) {
        Some(wish) if wish > MAX_WAIT => return false,
        Some(wish) => wish.max(backoff),
        None => backoff,
    };
    tokio::time::sleep(wait).await;
    true
}
