//! What is written down about a call: an [`Intent`] before each attempt's first byte goes upstream, and one
//! [`Entry`] when it is over.
//!
//! Constraints (ARCHITECTURE.md, "The walk of a record"): one entry per call; an intent holds everything needed to make
//! the entry without the process that wrote it; attempts that are over are settled inside the next intent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{EntryId, KeyId, Money, RequestId, Timestamp, Usage};

/// Facts of a call that are frozen when it is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The request.
    pub request_id: RequestId,
    /// When it arrived.
    pub time: Timestamp,
    /// Project name.
    pub project: Arc<str>,
    /// Key id; none for the admin key.
    pub key: Option<KeyId>,
    /// Who called, by name.
    pub principal: Arc<str>,
    /// The name the client called, after resolution: a route's name, or `channel/model`.
    pub route: Arc<str>,
    /// The client's dialect.
    pub dialect: Arc<str>,
    /// The endpoint, `chat` or `embeddings`.
    pub endpoint: Arc<str>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Tags, frozen here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// How an attempt ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Dispatched, not over.
    Open,
    /// Answered in full.
    Ok,
    /// No connection; nothing was sent.
    ConnectError,
    /// The vendor answered with an error status.
    HttpError,
    /// The vendor went silent.
    Timeout,
    /// The reply broke off, could not be read, or was cut by a shutdown.
    Cut,
    /// The client went away.
    ClientGone,
    /// The process died before the end was known.
    Unsettled,
}

/// Where a charge's figures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The vendor's own figures.
    Reported,
    /// We counted what passed.
    Counted,
    /// The worst case that was held.
    Hold,
}

/// The most that an attempt may cost, held before it is sent. In JSON a member of the attempt, named by how certain
/// it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Prompt and answer have bounds, and nothing within them costs more.
    #[serde(rename = "hold")]
    Known(Money),
    /// Something about the call has no bound, and one was assumed for it: it may cost more.
    #[serde(rename = "hold_assumed")]
    Assumed(Money),
}

impl Hold {
    /// What is held.
    pub const fn amount(self) -> Money {
        match self {
            Self::Known(amount) | Self::Assumed(amount) => amount,
        }
    }
}

/// The flag of an attempt that was charged at a hold with an assumed bound.
const HOLD_ASSUMED: &str = "hold_assumed";

/// One upstream try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u16,
    /// The channel's name.
    pub channel: Arc<str>,
    /// The model's catalog id where it has one (`openai/gpt-6-sol`), else the upstream's own name.
    pub model: Arc<str>,
    /// The model name sent upstream.
    pub upstream_model: Arc<str>,
    /// The price version the charge is made from; none: no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_version: Option<Arc<str>>,
    /// Service tier, `standard` unless the vendor reported another.
    pub tier: Arc<str>,
    /// Geography of the offer.
    pub geo: Arc<str>,
    /// When it was dispatched.
    pub started: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub status: AttemptStatus,
    /// The vendor's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The vendor's request id; of a vendor that names requests nowhere in an answer's head, its id of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_request_id: Option<String>,
    /// The worst case that was held for it; none: no price is known.
    #[serde(flatten)]
    pub hold: Option<Hold>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// Where the figures come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// What it cost; none: no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// Notes about the charge, such as a class priced by a dearer one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl Attempt {
    /// Ends it without a charge: nothing was sent, or the vendor refused.
    pub fn settle_free(&mut self, at: Timestamp, status: AttemptStatus) {
        self.ended = Some(at);
        self.status = status;
        self.usage = Usage::ZERO;
        self.basis = Some(Basis::Reported);
        self.amount = Some(Money::ZERO);
    }

    /// Ends it at its worst case, because what it used cannot be known.
    pub fn settle_at_hold(&mut self, at: Timestamp, status: AttemptStatus) {
        self.ended = Some(at);
        self.status = status;
        self.basis = Some(Basis::Hold);
        self.amount = self.hold.map(Hold::amount);
        if let Some(Hold::Assumed(_)) = self.hold {
            self.flags.push(HOLD_ASSUMED.to_owned());
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller got the whole answer.
    Ok,
    /// The vendor failed.
    UpstreamError,
    /// The client went away.
    ClientGone,
    /// The vendor did not answer in time.
    Timeout,
    /// The process died before the end was known.
    Unsettled,
    /// Steelyard shut down and cut it.
    Shutdown,
}

impl Outcome {
    /// The name on every wire and in every table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UpstreamError => "upstream_error",
            Self::ClientGone => "client_gone",
            Self::Timeout => "timeout",
            Self::Unsettled => "unsettled",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Written before the first byte of an attempt goes upstream. The last attempt is the one to be sent; those
/// before it are over and settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The call.
    #[serde(flatten)]
    pub call: CallFacts,
    /// The attempts so far.
    pub attempts: Vec<Attempt>,
}

impl Intent {
    /// The entry of a call whose process died: charged at its hold.
    pub fn orphaned(mut self, now: Timestamp) -> Entry {
        if let Some(last) = self.attempts.last_mut() {
            last.settle_at_hold(now, AttemptStatus::Unsettled);
        }
        Entry::new(self.call, Outcome::Unsettled, self.attempts, Vec::new())
    }
}

/// One ledger record: a call that is over. Never edited; a correction is another entry that `adjusts` it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry.
    pub id: EntryId,
    /// The call.
    #[serde(flatten)]
    pub call: CallFacts,
    /// How it ended.
    pub outcome: Outcome,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// Request fields the target could not express.
    #[serde(default)]
    pub losses: Vec<String>,
    /// The entry this one corrects.
    #[serde(default)]
    pub adjusts: Option<EntryId>,
}

impl Entry {
    /// The entry of a call that is over.
    pub fn new(call: CallFacts, outcome: Outcome, attempts: Vec<Attempt>, losses: Vec<String>) -> Self {
        Self { id: EntryId::new(), call, outcome, attempts, losses, adjusts: None }
    }

    /// The attempt that answered, or the last one that failed.
    pub fn final_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// What all attempts used.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::ZERO;
        for attempt in &self.attempts {
            usage += attempt.usage;
        }
        usage
    }

    /// What all attempts cost; none if one of them has no known price.
    pub fn amount(&self) -> Option<Money> {
        self.attempts.iter().map(|attempt| attempt.amount).sum()
    }

    /// The weakest basis among the attempts.
    pub fn basis(&self) -> Option<Basis> {
        self.attempts.iter().filter_map(|attempt| attempt.basis).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UsageClass;

    fn known(pico: i128) -> Hold {
        Hold::Known(Money::from_pico(pico))
    }

    fn attempt(number: u16, hold: Option<Hold>) -> Attempt {
        Attempt {
            number,
            channel: "openai".into(),
            model: "openai/gpt-6-sol".into(),
            upstream_model: "gpt-6-sol".into(),
            price_version: Some("v1".into()),
            tier: "standard".into(),
            geo: "global".into(),
            started: Timestamp(1),
            ended: None,
            status: AttemptStatus::Open,
            http_status: None,
            vendor_request_id: None,
            hold,
            usage: Usage::ZERO,
            basis: None,
            amount: None,
            flags: Vec::new(),
        }
    }

    fn call() -> CallFacts {
        CallFacts {
            request_id: RequestId::new(),
            time: Timestamp(0),
            project: "default".into(),
            key: Some(KeyId::new()),
            principal: "app".into(),
            route: "smart".into(),
            dialect: "openai_chat".into(),
            endpoint: "chat".into(),
            stream: true,
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn an_orphan_is_charged_at_the_hold_of_its_last_attempt_only() {
        let mut first = attempt(1, Some(known(70)));
        first.settle_free(Timestamp(2), AttemptStatus::ConnectError);
        let intent = Intent { call: call(), attempts: vec![first, attempt(2, Some(known(90)))] };
        let entry = intent.orphaned(Timestamp(9));
        assert_eq!(entry.outcome, Outcome::Unsettled);
        assert_eq!(entry.amount(), Some(Money::from_pico(90)));
        assert_eq!(entry.basis(), Some(Basis::Hold));
        assert_eq!(entry.attempts[1].status, AttemptStatus::Unsettled);
    }

    #[test]
    fn who_is_charged_at_an_assumed_hold_is_told_so() {
        let assumed = Some(Hold::Assumed(Money::from_pico(90)));
        let entry = Intent { call: call(), attempts: vec![attempt(1, assumed)] }.orphaned(Timestamp(9));
        assert_eq!((entry.amount(), entry.basis()), (Some(Money::from_pico(90)), Some(Basis::Hold)));
        assert_eq!(entry.attempts[0].flags, ["hold_assumed"]);
        let entry =
            Intent { call: call(), attempts: vec![attempt(1, Some(known(90)))] }.orphaned(Timestamp(9));
        assert!(entry.attempts[0].flags.is_empty());
    }

    #[test]
    fn a_hold_is_shown_by_how_certain_it_is() {
        let shown = |hold| serde_json::to_value(attempt(1, hold)).unwrap();
        let (sure, assumed) = (shown(Some(known(70))), shown(Some(Hold::Assumed(Money::from_pico(70)))));
        assert_eq!((sure["hold"].as_str(), sure.get("hold_assumed")), (Some("70"), None));
        assert_eq!((assumed.get("hold"), assumed["hold_assumed"].as_str()), (None, Some("70")));
        assert_eq!((shown(None).get("hold"), shown(None).get("hold_assumed")), (None, None));
        for json in [sure, assumed, shown(None)] {
            let read: Attempt = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), json);
        }
    }

    #[test]
    fn an_unpriced_attempt_makes_the_amount_unknown_and_never_zero() {
        let entry = Intent { call: call(), attempts: vec![attempt(1, None)] }.orphaned(Timestamp(9));
        assert_eq!(entry.amount(), None);
    }

    #[test]
    fn records_round_trip_through_json() {
        let mut intent = Intent { call: call(), attempts: vec![attempt(1, Some(known(-3)))] };
        intent.attempts[0].usage[UsageClass::Input] = 7;
        let json = serde_json::to_vec(&intent).unwrap();
        assert_eq!(serde_json::from_slice::<Intent>(&json).unwrap(), intent);
        let entry = intent.orphaned(Timestamp(3));
        let json = serde_json::to_vec(&entry).unwrap();
        assert_eq!(serde_json::from_slice::<Entry>(&json).unwrap(), entry);
    }
}
