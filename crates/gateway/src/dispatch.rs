//! Attempts: one after the other over the plan's offers, until one answers, or none is left, or a byte of an answer
//! could have gone to the client.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry::trace::TraceId;
use steelyard_core::port::LedgerError;
use steelyard_core::record::{AttemptStatus, Outcome};
use steelyard_core::{ApiError, ErrorCode, ErrorKind};
use steelyard_dialect::ChatRequest;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::account::Account;
use crate::attempt::{self, Answer, Ready, Sending, Unfit};
use crate::call::{Facts, Gateway, Refusal, Reply};
use crate::miss::Miss;
use crate::offer::Offer;
use crate::plan::Plan;
use crate::provider::Failure;
use crate::relay::{Ends, ReplyBody, StreamBody};
use crate::trace::CallTrace;

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

/// What became of an attempt.
enum Tried {
    /// The call is over, well or not.
    Over(Result<Reply, Box<Refusal>>),
    /// This target cannot be asked for it.
    Unfit(Miss),
    /// It brought nothing.
    Missed(Miss),
    /// It brought nothing because the vendor refused what let it in, which can be had anew: the same target is asked once
    /// more, whatever the route's `retries`, since nothing else is wrong with it.
    LetInAnew(Miss),
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
            if round > 0 {
                let waiting = pin!(wait_before(round, last.as_ref().map(|(_, miss)| miss)));
                if !self.gateway.tasks.until_cut(waiting).await.unwrap_or(false) {
                    break;
                }
            }
            for (index, offer) in offers.iter().enumerate() {
                if spent[index]
                    || self.attempts == MAX_ATTEMPTS
                    || !offer.health.claim(self.gateway.clock.now())
                {
                    continue;
                }
                let mut tried = self.attempt(offer).await;
                if let Tried::LetInAnew(miss) = &tried
                    && self.attempts < MAX_ATTEMPTS
                {
                    self.book(offer, miss);
                    tried = self.attempt(offer).await;
                }
                match tried {
                    Tried::Over(reply) => return reply,
                    Tried::Unfit(miss) => {
                        // Another target may have a word for it.
                        spent[index] = true;
                        unfit.get_or_insert_with(|| (Arc::clone(offer), miss));
                    }
                    Tried::Missed(miss) | Tried::LetInAnew(miss) => {
                        spent[index] = self.book(offer, &miss);
                        let over = miss.ends_the_call();
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

    /// One attempt.
    async fn attempt(&mut self, offer: &Arc<Offer>) -> Tried {
        // What cannot be asked of this target is refused before anything is recorded.
        let draft = match attempt::prepare(&self.plan, &mut self.request, offer) {
            Ok(Ready::ToSend(draft)) => draft,
            Ok(Ready::Answered(answer)) => {
                return Tried::Over(match self.open(offer).await {
                    Ok(()) => self.deliver(offer, *answer).await,
                    Err(error) => Err(self.unrecorded(offer, error).await),
                });
            }
            Err(Unfit::Call(error)) => {
                return Tried::Over(Err(self.refuse(Some((Arc::clone(offer), Miss::Refused(error)))).await));
            }
            Err(Unfit::Target(error)) => return Tried::Unfit(Miss::Refused(error)),
        };
        // A call that dies while it waits for what lets it in has sent nothing, so that comes before the intent.
        let asked = Instant::now();
        let let_in = {
            let letting_in = pin!(draft.let_in(&self.plan, offer, self.gateway.clock.now()));
            self.gateway.tasks.until_cut(letting_in).await.unwrap_or(Err(Miss::Shutdown))
        };
        self.upstream += asked.elapsed();
        if matches!(let_in, Err(Miss::Shutdown)) {
            return Tried::Over(Err(self.refuse(Some((Arc::clone(offer), Miss::Shutdown))).await));
        }
        if let Err(error) = self.open(offer).await {
            return Tried::Over(Err(self.unrecorded(offer, error).await));
        }
        let sent = Instant::now();
        let answered = match let_in {
            Ok(sending) => self.send(offer, sending).await,
            Err(miss) => Err(miss),
        };
        let miss = match answered {
            Ok(answer) => return Tried::Over(self.deliver(offer, answer).await),
            Err(miss) => miss,
        };
        let refused = miss.refuses_credentials();
        if refused && offer.channel.provider.renew(sent).await {
            Tried::LetInAnew(miss)
        } else {
            Tried::Missed(miss)
        }
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

    async fn send(&mut self, offer: &Offer, sending: Box<Sending<'_>>) -> Result<Answer, Miss> {
        let sent = Instant::now();
        let account = self.account.as_mut().expect("an attempt is made on an open account");
        let sending = pin!(sending.send(&self.plan, offer, account));
        let answered = self.gateway.tasks.until_cut(sending).await.unwrap_or(Err(Miss::Shutdown));
        self.upstream += sent.elapsed();
        answered
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
            Miss::Status { failure, .. } => {
                account.attempt_free(AttemptStatus::HttpError);
                match failure {
                    Failure::Passing(wait) | Failure::Overloaded(wait) | Failure::TimedOut(wait) => {
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
            Miss::Timeout(_, _, passed) => {
                account.attempt_charged(AttemptStatus::Timeout, passed);
                offer.health.failed(now);
                true
            }
            Miss::Broken { passed, .. } => {
                account.attempt_charged(AttemptStatus::Cut, passed);
                offer.health.failed(now);
                true
            }
            Miss::Shutdown => {
                account.attempt_left(AttemptStatus::Cut);
                true
            }
            Miss::Refused(_) => {
                account.attempt_free(AttemptStatus::HttpError);
                true
            }
            // As where a vendor refuses them: rest does not mend it.
            Miss::NoCredentials(_) => {
                account.attempt_free(AttemptStatus::ConnectError);
                true
            }
        }
    }

    /// Hands an answer on: a whole one when its settlement is durable, a stream at once, its end withheld.
    async fn deliver(&mut self, offer: &Arc<Offer>, answer: Answer) -> Result<Reply, Box<Refusal>> {
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
                    let error =
                        ApiError::new(ErrorCode::LedgerUnavailable, text).with_source(error).but_charged();
                    return Err(Box::new(Refusal { error, facts, vendor: None }));
                }
                facts.cost = cost;
                let elapsed = u64::try_from(self.upstream.as_millis()).unwrap_or(u64::MAX);
                let (usage, _) = passed.figures(self.plan.counted_prompt);
                headers.extend(self.plan.dialect.reply_headers(&usage, elapsed));
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
                    offer: Arc::clone(offer),
                    route: Arc::clone(&self.plan.route.name),
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
    async fn refuse(&mut self, last: Option<(Arc<Offer>, Miss)>) -> Box<Refusal> {
        let facts = self.facts(last.as_ref().map(|(offer, _)| offer));
        let Some((offer, miss)) = last else {
            let text =
                format!("every target of `{}` is left alone for a moment; try again", self.plan.route.name);
            let error = ApiError::new(ErrorCode::CircuitOpen, text);
            std::mem::take(&mut self.trace).refused(&error);
            return Box::new(Refusal { error, facts, vendor: None });
        };
        let outcome = match miss {
            Miss::Timeout(..) => Outcome::Timeout,
            Miss::Shutdown if self.left.load(Ordering::Relaxed) => Outcome::ClientGone,
            Miss::Shutdown => Outcome::Shutdown,
            _ => Outcome::UpstreamError,
        };
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
        std::mem::take(&mut self.trace).refused(&error);
        // What its caller can mend is no failure of the house.
        if error.kind() == ErrorKind::InvalidRequest {
            tracing::debug!(request.id = %self.plan.call.request_id, route = %self.plan.route.name,
                error.code = error.code.code(), error = %error.public, "call refused");
        } else {
            tracing::warn!(request.id = %self.plan.call.request_id,
                trace_id = self.trace_id.map(tracing::field::display), route = %self.plan.route.name,
                channel = %offer.channel.name, model = %offer.model_name, attempts = self.attempts,
                error.code = error.code.code(), error = %error.public,
                error.source = error.source.as_ref().map(tracing::field::display), "call failed");
        }
        Box::new(Refusal { error, facts, vendor })
    }

    /// The ledger could not take the intent, so nothing was sent.
    async fn unrecorded(&mut self, offer: &Arc<Offer>, error: LedgerError) -> Box<Refusal> {
        let facts = self.facts(Some(offer));
        if let Some(account) = self.account.take() {
            // Earlier attempts of this call are on record; the call ends here.
            let _ = account.settle(Outcome::UpstreamError).1.await;
        }
        // The spool says once that it fails; a line for each call would help to fill the disk.
        tracing::debug!(request.id = %self.plan.call.request_id, error = %error, "the ledger takes no intent");
        let error = unrecorded(error);
        std::mem::take(&mut self.trace).refused(&error);
        Box::new(Refusal { error, facts, vendor: None })
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
