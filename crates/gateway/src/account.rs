//! The account of one call: opened before the first byte goes upstream, settled exactly once.
//!
//! Constraints: every path out of a call ends in [`Account::settle`], or in `Drop`, which settles as `client_gone`
//! with what is known to have passed. Usage that the vendor reports is charged as reported; otherwise what passed
//! is counted; a class without a price is never free.

use std::sync::Arc;

use steelyard_core::port::{BoxFuture, Ledger, LedgerError, Slot};
use steelyard_core::record::{Attempt, AttemptStatus, Basis, Entry, Intent, Outcome};
use steelyard_core::{Clock, Money, Usage, UsageClass};
use steelyard_dialect::count_tokens;

use crate::offer::Offer;
use crate::plan::Plan;
use crate::trace::CallTrace;

/// What is known of an answer, whole or in part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
    /// The vendor's own figures.
    pub(crate) usage: Option<Usage>,
    /// The figures are those of the beginning: the prompt is counted, the answer is not yet.
    pub(crate) usage_is_early: bool,
    /// The service tier the vendor says it used.
    pub(crate) tier: Option<String>,
    /// Where the vendor says it was served.
    pub(crate) geo: Option<String>,
    /// The model the vendor says answered.
    pub(crate) model: Option<String>,
    /// Bytes of generated content that passed.
    pub(crate) content_bytes: u64,
    /// Pieces of generated content that passed.
    pub(crate) content_events: u64,
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
    request_bytes: u64,
    /// Whether the last attempt may have been sent: its intent is durable.
    sent: bool,
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
                request_bytes: plan.body.len() as u64,
                sent: true,
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

    /// The trace of the call.
    pub(crate) fn trace(&mut self) -> &mut CallTrace {
        &mut self.open.as_mut().expect("an account is used until it is settled").trace
    }

    /// Makes a further attempt durable; the one before is over.
    pub(crate) async fn next(&mut self, offer: &Arc<Offer>, attempt: Attempt) -> Result<(), LedgerError> {
        let open = self.open.as_mut().expect("an account is used until it is settled");
        open.intent.attempts.push(attempt);
        open.sent = false;
        let extended = open.slot.extend(&open.intent).await;
        match extended {
            Ok(()) => {
                open.offer = Arc::clone(offer);
                open.sent = true;
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
    pub(crate) fn abandon(mut self, passed: &Passed) {
        if let Some(mut open) = self.open.take() {
            open.charge(AttemptStatus::ClientGone, passed);
            drop(open.settle(Outcome::ClientGone));
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        match open.intent.attempts.last_mut().filter(|attempt| attempt.status == AttemptStatus::Open) {
            Some(_) if open.sent => open.charge(AttemptStatus::ClientGone, &Passed::default()),
            Some(unsent) => unsent.settle_free(open.clock.now(), AttemptStatus::ClientGone),
            None => {}
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

    fn charge(&mut self, status: AttemptStatus, passed: &Passed) {
        let now = self.clock.now();
        self.trace.answered_by(passed.model.as_deref());
        let Some(attempt) = self.intent.attempts.last_mut() else { return };
        attempt.ended = Some(now);
        attempt.status = status;
        (attempt.usage, attempt.basis) = match passed.usage {
            Some(usage) if !passed.usage_is_early => (usage, Some(Basis::Reported)),
            // The vendor has counted the prompt; what came of the answer is counted here.
            Some(mut usage) => {
                let output = count_tokens(passed.content_bytes, passed.content_events);
                let told = usage[UsageClass::Output].saturating_add(usage[UsageClass::Reasoning]);
                usage[UsageClass::Output] =
                    usage[UsageClass::Output].saturating_add(output.saturating_sub(told));
                (usage, Some(Basis::Counted))
            }
            None => (counted(self.request_bytes, passed), Some(Basis::Counted)),
        };
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
            && amount > hold
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

/// What is charged when the vendor reported nothing: the rule is [`count_tokens`]'s for the answer, and a token for
/// each four bytes of the request.
fn counted(request_bytes: u64, passed: &Passed) -> Usage {
    let output = count_tokens(passed.content_bytes, passed.content_events);
    [(UsageClass::Input, count_tokens(request_bytes, 0)), (UsageClass::Output, output)].into_iter().collect()
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
