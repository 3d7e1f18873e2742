//! The account of one call: opened before the first byte goes upstream, settled exactly once.
//!
//! Constraints: every path out of a call ends in [`Account::settle`], or in `Drop`, which settles as `client_gone`
//! with what is known to have passed. Usage that the vendor reports is charged as reported; otherwise what passed
//! is counted; a class without a price is never free.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use steelyard_core::port::{BoxFuture, Ledger, LedgerError, Slot};
use steelyard_core::record::{Attempt, AttemptStatus, Basis, Entry, Intent, Outcome};
use steelyard_core::{Clock, Money, Usage, UsageClass};
use steelyard_dialect::chat::FinishReason;
use steelyard_dialect::{ReplyFacts, StreamFacts, count_tokens};

use crate::answer::MAX_VENDOR_ID;
use crate::client::{Departure, Payload};
use crate::offer::Offer;
use crate::plan::Plan;
use crate::trace::CallTrace;

/// What is known of an answer, whole or in part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
    /// The vendor's own figures.
    pub(crate) usage: Option<Usage>,
    /// The answer went on behind the figures.
    pub(crate) outran: bool,
    /// The answer did not come to its end, nor told why it ended.
    pub(crate) broke_off: bool,
    /// The service tier the vendor says it used.
    pub(crate) tier: Option<String>,
    /// Where the vendor says it was served.
    pub(crate) geo: Option<String>,
    /// The vendor's id of the answer.
    pub(crate) id: Option<String>,
    /// Why it ended, for each choice.
    pub(crate) finish: Vec<FinishReason>,
    /// The model the vendor says answered.
    pub(crate) model: Option<String>,
    /// Bytes of generated content that passed.
    pub(crate) content_bytes: u64,
    /// Pieces of generated content that passed.
    pub(crate) content_events: u64,
}

impl From<ReplyFacts> for Passed {
    fn from(facts: ReplyFacts) -> Self {
        Self {
            usage: facts.usage,
            tier: facts.service_tier,
            geo: facts.geo,
            id: facts.id,
            finish: facts.finish,
            model: facts.model,
            content_bytes: facts.content_bytes,
            ..Self::default()
        }
    }
}

impl From<StreamFacts> for Passed {
    fn from(facts: StreamFacts) -> Self {
        Self {
            usage: facts.usage,
            outran: facts.told_events < facts.content_events,
            broke_off: !(facts.finished || facts.terminated),
            tier: facts.service_tier,
            geo: facts.geo,
            id: facts.id,
            finish: facts.finish,
            model: facts.model,
            content_bytes: facts.content_bytes,
            content_events: facts.content_events,
        }
    }
}

impl Passed {
    /// What is charged, and told to a client whose wire is not the vendor's. Where the vendor reported nothing, the rule
    /// is [`count_tokens`]'s for the answer, and the plan's count of the prompt. Figures that cannot count all of the answer
    /// stand for the prompt; of the answer the larger count holds, for they may know of reasoning that nobody saw.
    pub(crate) fn figures(&self, counted_prompt: u64) -> (Usage, Basis) {
        let output = count_tokens(self.content_bytes, self.content_events);
        let Some(mut usage) = self.usage else {
            let counted = [(UsageClass::Input, counted_prompt), (UsageClass::Output, output)];
            return (counted.into_iter().collect(), Basis::Counted);
        };
        let told = [UsageClass::Output, UsageClass::Reasoning, UsageClass::AudioOut, UsageClass::ImageOut]
            .into_iter()
            .fold(0_u64, |sum, class| sum.saturating_add(usage[class]));
        if self.broke_off || (told < output && (self.outran || told == 0)) {
            usage[UsageClass::Output] = usage[UsageClass::Output].saturating_add(output.saturating_sub(told));
            return (usage, Basis::Counted);
        }
        (usage, Basis::Reported)
    }
}

/// An open account.
pub(crate) struct Account {
    /// None once settled.
    open: Option<Open>,
}

struct Open {
    slot: Box<dyn Slot>,
    intent: Intent,
    offer: Arc<Offer>,
    losses: Vec<String>,
    counted_prompt: u64,
    /// Whether the last attempt's request has left this process. None: it was not handed to the HTTP client.
    departure: Option<Departure>,
    clock: Clock,
    trace: CallTrace,
}

impl Account {
    /// Makes the intent durable; nothing may be sent before this returns.
    pub(crate) async fn open(
        ledger: &dyn Ledger,
        plan: &Plan,
        offer: &Arc<Offer>,
        attempt: Attempt,
        clock: &Clock,
    ) -> Result<Self, LedgerError> {
        let intent = Intent { call: plan.call.clone(), attempts: vec![attempt] };
        let slot = ledger.open(&intent).await?;
        Ok(Self {
            open: Some(Open {
                slot,
                intent,
                offer: Arc::clone(offer),
                losses: Vec::new(),
                counted_prompt: plan.counted_prompt,
                departure: None,
                clock: clock.clone(),
                trace: CallTrace::default(),
            }),
        })
    }

    /// The call is seen in `trace` from its first attempt on.
    pub(crate) fn traced(&mut self, trace: CallTrace) {
        if let Some(open) = &mut self.open {
            open.trace = trace;
            open.trace_attempt();
        }
    }

    /// The request of the attempt in flight, as it is handed to the HTTP client.
    pub(crate) fn sending(&mut self, mut request: Request<Full<Bytes>>) -> Request<Payload> {
        let open = self.open.as_mut().expect("an account is used until it is settled");
        open.trace.sending(&mut request);
        request.map(|body| {
            let (payload, departure) = Payload::new(body);
            open.departure = Some(departure);
            payload
        })
    }

    /// Sees to it that the request of the attempt in flight is not sent. Whether that is possible: nothing of it has
    /// left, as no connection stood yet.
    pub(crate) fn withdraw(&mut self) -> bool {
        self.open.as_mut().is_none_or(Open::withdraw)
    }

    /// Makes a further attempt durable; the one before is over.
    pub(crate) async fn next(&mut self, offer: &Arc<Offer>, attempt: Attempt) -> Result<(), LedgerError> {
        let open = self.open.as_mut().expect("an account is used until it is settled");
        open.intent.attempts.push(attempt);
        open.departure = None;
        let extended = open.slot.extend(&open.intent).await;
        match extended {
            Ok(()) => {
                open.offer = Arc::clone(offer);
                open.trace_attempt();
            }
            Err(_) => {
                // It was not sent, so it is not an attempt.
                open.intent.attempts.pop();
            }
        }
        extended
    }

    /// The attempt in flight.
    pub(crate) fn attempt(&mut self) -> &mut Attempt {
        let open = self.open.as_mut().expect("an account is used until it is settled");
        open.intent.attempts.last_mut().expect("an account is opened with an attempt")
    }

    /// Names what the target could not express.
    pub(crate) fn lose(&mut self, losses: &[String]) {
        if let Some(open) = &mut self.open {
            open.losses = losses.to_vec();
        }
    }

    /// Ends the attempt in flight without ending the call: nothing was sent, or the vendor refused. Costs nothing.
    pub(crate) fn attempt_free(&mut self, status: AttemptStatus) {
        if let Some(open) = &mut self.open {
            let now = open.clock.now();
            if let Some(attempt) = open.intent.attempts.last_mut() {
                attempt.settle_free(now, status);
            }
        }
    }

    /// Ends the attempt in flight after it was sent: charged by what passed.
    pub(crate) fn attempt_charged(&mut self, status: AttemptStatus, passed: &Passed) {
        if let Some(open) = &mut self.open {
            open.charge(status, passed);
        }
    }

    /// Ends the attempt in flight before anything of an answer came, on our side: the vendor may have the work, if it has
    /// the request.
    pub(crate) fn attempt_left(&mut self, status: AttemptStatus) {
        if let Some(open) = &mut self.open {
            open.left(status);
        }
    }

    /// Settles. The record is handed over before this returns; the future says when it is durable. With what the
    /// whole call cost.
    pub(crate) fn settle(
        mut self,
        outcome: Outcome,
    ) -> (Option<Money>, BoxFuture<'static, Result<(), LedgerError>>) {
        let open = self.open.take().expect("an account is settled once");
        open.settle(outcome)
    }

    /// Settles because the client left, with what passed until then.
    pub(crate) fn abandon(self, passed: &Passed) {
        self.leave(AttemptStatus::ClientGone, Outcome::ClientGone, passed);
    }

    /// Settles because the server shuts down, with what passed until then.
    pub(crate) fn cut(self, passed: &Passed) {
        self.leave(AttemptStatus::Cut, Outcome::Shutdown, passed);
    }

    /// Settles while nobody waits for it.
    fn leave(mut self, status: AttemptStatus, outcome: Outcome, passed: &Passed) {
        if let Some(mut open) = self.open.take() {
            open.charge(status, passed);
            drop(open.settle(outcome));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.intent.attempts.last().is_some_and(|attempt| attempt.status == AttemptStatus::Open) {
            open.left(AttemptStatus::ClientGone);
        }
        drop(open.settle(Outcome::ClientGone));
    }
}

impl Open {
    fn trace_attempt(&mut self) {
        if let Some(attempt) = self.intent.attempts.last() {
            self.trace.attempt(&self.intent.call, &self.offer, attempt);
        }
    }

    fn withdraw(&mut self) -> bool {
        self.departure.as_ref().is_none_or(Departure::withdraw)
    }

    fn left(&mut self, status: AttemptStatus) {
        let refused = |attempt: &&mut Attempt| attempt.http_status.is_some_and(|status| status >= 400);
        if let Some(refused) = self.intent.attempts.last_mut().filter(refused) {
            // The vendor had said so already, and only its reasons were still to come.
            refused.settle_free(self.clock.now(), AttemptStatus::HttpError);
        } else if !self.withdraw() {
            self.charge(status, &Passed::default());
        } else if let Some(unsent) = self.intent.attempts.last_mut() {
            unsent.settle_free(self.clock.now(), status);
        }
    }

    fn charge(&mut self, status: AttemptStatus, passed: &Passed) {
        let now = self.clock.now();
        self.trace.answered(passed);
        let Some(attempt) = self.intent.attempts.last_mut() else { return };
        attempt.ended = Some(now);
        attempt.status = status;
        let (usage, basis) = passed.figures(self.counted_prompt);
        (attempt.usage, attempt.basis) = (usage, Some(basis));
        // Google's support asks for the id of the answer; no head of its answers has another.
        if attempt.http_status.is_some() && attempt.vendor_request_id.is_none() {
            attempt.vendor_request_id = passed.id.clone().filter(|id| id.len() <= MAX_VENDOR_ID);
        }
        // `default` and `auto` are the vendor's words for what the ledger calls `standard`.
        if let Some(tier) = passed.tier.as_deref().filter(|tier| !matches!(*tier, "default" | "auto")) {
            attempt.tier = tier.into();
        }
        if let Some(geo) = passed.geo.as_deref() {
            attempt.geo = geo.into();
        }
        // The price of the moment of dispatch, whatever has changed since.
        let Some(price) = self.offer.prices.at(attempt.started) else { return };
        let charge = price.rate(&attempt.usage, &attempt.tier, &attempt.geo);
        attempt.amount = charge.amount;
        attempt.flags.extend(charge.flags.iter().map(ToString::to_string));
        if let (Some(amount), Some(hold)) = (attempt.amount, attempt.hold)
            && amount > hold.amount()
        {
            attempt.flags.push("overrun".to_owned());
        }
    }

    fn settle(self, outcome: Outcome) -> (Option<Money>, BoxFuture<'static, Result<(), LedgerError>>) {
        let entry = Entry::new(self.intent.call, outcome, self.intent.attempts, self.losses);
        count_metrics(&entry);
        self.trace.finish(&entry);
        (entry.amount(), self.slot.settle(entry))
    }
}

fn count_metrics(entry: &Entry) {
    let Some(last) = entry.final_attempt() else { return };
    let (channel, model) = (last.channel.to_string(), last.model.to_string());
    for (class, count) in last.usage.counted() {
        metrics::counter!(
            "steelyard_tokens_total",
            "channel" => channel.clone(), "model" => model.clone(), "class" => class.name()
        )
        .increment(count);
    }
    metrics::counter!(
        "steelyard_calls_total",
        "endpoint" => entry.call.endpoint.to_string(), "channel" => channel, "model" => model,
        "outcome" => entry.outcome.name()
    )
    .increment(1);
}
