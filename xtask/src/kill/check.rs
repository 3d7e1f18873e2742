//! Compares the three witnesses. Pure, so that it can be tested with histories that must be refused.
//!
//! What must hold (the money invariants of the design):
//! - a call whose last byte reached its client has exactly one entry, `ok`, with exactly the usage that the
//!   upstream reported, at exactly the configured price;
//! - a call whose head reached its client, or which the upstream saw, has an entry, however it ended;
//! - no call has two entries; no entry is without a call; no amount of a priced model is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Call, End, Entry, History, Tokens};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which rule is broken.
    pub(crate) rule: Rule,
    /// The request id, or the marker where the client got no id.
    pub(crate) id: String,
    /// What was found.
    pub(crate) detail: String,
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A call that must have an entry has none.
    Lost,
    /// A call has more than one entry.
    Doubled,
    /// An entry belongs to no call.
    Phantom,
    /// An entry tells another end than its client saw.
    WrongOutcome,
    /// An entry counts other tokens than were reported.
    WrongUsage,
    /// An entry charges another amount than its usage costs.
    WrongAmount,
    /// A client got an answer that it should not have got.
    WrongAnswer,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.rule, self.id, self.detail)
    }
}

/// Everything that is wrong with a history.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut check = Check { history, violations: Vec::new() };
    let entries = check.entries_by_request();
    let matched = check.match_calls(&entries);
    for (call, entry) in history.calls.iter().zip(&matched) {
        check.answer(call);
        match entry {
            Some(entry) => check.entry_of_call(call, entry),
            None => check.call_without_entry(call),
        }
    }
    let known: BTreeSet<_> = matched.iter().flatten().map(|entry| entry.request_id.as_str()).collect();
    for (id, entry) in &entries {
        check.amount(entry);
        if !known.contains(id) {
            let (route, outcome) = (&entry.route, &entry.outcome);
            check.wrong(
                Rule::Phantom,
                id,
                format!("an entry on route {route} with outcome {outcome} has no call"),
            );
        }
    }
    check.violations
}

/// The server's clock is the clients' own; this is for the moment between reading it and sending.
const CLOCK_SLACK: Duration = Duration::from_millis(5);

struct Check<'a> {
    history: &'a History,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn wrong(&mut self, rule: Rule, id: &str, detail: impl Into<String>) {
        self.violations.push(Violation { rule, id: id.to_owned(), detail: detail.into() });
    }

    /// The entries that are not corrections of others, by request id.
    fn entries_by_request(&mut self) -> BTreeMap<&'a str, &'a Entry> {
        let mut entries: BTreeMap<&str, &Entry> = BTreeMap::new();
        for (seq, entry) in self.history.entries.iter().filter(|(_, entry)| entry.adjusts.is_none()) {
            if let Some(first) = entries.insert(&entry.request_id, entry) {
                let outcomes = (&first.outcome, &entry.outcome);
                self.wrong(
                    Rule::Doubled,
                    &entry.request_id,
                    format!("again at seq {seq}; outcomes {outcomes:?}"),
                );
            }
        }
        entries
    }

    /// The entry of each call: by request id; else by the marker that the upstream sent as its own id; else, since a
    /// route has one client that makes one call at a time, by route, by what was asked for in which dialect, and by time.
    fn match_calls(&mut self, entries: &BTreeMap<&'a str, &'a Entry>) -> Vec<Option<&'a Entry>> {
        let calls = &self.history.calls;
        let mut matched: Vec<_> =
            calls.iter().map(|call| entries.get(call.request_id.as_deref()?).copied()).collect();
        let taken: BTreeSet<_> = matched.iter().flatten().map(|entry| entry.request_id.as_str()).collect();

        let without_id = || calls.iter().enumerate().filter(|(_, call)| call.request_id.is_none());
        let by_marker: BTreeMap<_, _> =
            without_id().map(|(index, call)| (call.marker.as_str(), index)).collect();
        let mut by_route: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, call) in without_id() {
            by_route.entry(&call.route).or_default().push(index);
        }

        let mut rest: Vec<_> =
            entries.values().filter(|entry| !taken.contains(entry.request_id.as_str())).collect();
        rest.retain(|entry| {
            let marker = entry.attempts.iter().find_map(|attempt| attempt.vendor_request_id.as_deref());
            let Some(index) = marker.and_then(|marker| by_marker.get(marker)) else { return true };
            let free = matched[*index].is_none();
            if free {
                matched[*index] = Some(entry);
            }
            !free
        });
        rest.sort_by_key(|entry| entry.time);
        for entry in rest {
            let candidates = by_route.get(entry.route.as_str()).into_iter().flatten();
            let best = candidates
                .filter(|index| matched[**index].is_none())
                .filter(|index| calls[**index].began <= entry.time.plus(CLOCK_SLACK))
                .max_by_key(|index| {
                    let call = &calls[**index];
                    (asks_alike(call, entry), self.was_seen(call), call.began)
                });
            if let Some(index) = best {
                matched[*index] = Some(entry);
            }
        }
        matched
    }

    fn was_seen(&self, call: &Call) -> bool {
        self.history.upstream.contains_key(&call.marker)
    }

    /// Of the answer itself, without the ledger.
    fn answer(&mut self, call: &Call) {
        let id = call.request_id.as_deref().unwrap_or(&call.marker);
        if let Some(status) = call.status {
            if status != 200 && !call.may_fail {
                self.wrong(Rule::WrongAnswer, id, format!("{} got status {status}", call.marker));
            }
            if call.request_id.is_none() {
                self.wrong(Rule::WrongAnswer, id, "the answer has no x-steelyard-request-id");
            }
        }
        let seen = self.history.upstream.get(&call.marker);
        let reported = seen.and_then(|seen| seen.reported);
        if seen.is_some() && reported.is_none() && (call.status, call.end) == (Some(200), End::Complete) {
            self.wrong(Rule::WrongAnswer, id, "it looks complete, but the upstream never ended its answer");
        }
        if let (Some(told), Some(reported)) = (call.told, reported)
            && told != call.dialect.tells(reported)
        {
            self.wrong(
                Rule::WrongAnswer,
                id,
                format!("the client was told {told:?}, the upstream said {reported:?}"),
            );
        }
        if call.end == End::Broken && !call.killed && !call.may_fail {
            self.wrong(
                Rule::WrongAnswer,
                id,
                format!("{} broke off though the server was not killed", call.marker),
            );
        }
    }

    fn call_without_entry(&mut self, call: &Call) {
        let seen = self.was_seen(call);
        let why = match (call.status, call.end) {
            (Some(200), End::Complete) => "it was answered in full",
            (Some(200), _) => "its answer had begun",
            _ if seen => "the upstream saw it",
            // Refused before dispatch, or it never arrived: there is nothing to write down.
            _ => return,
        };
        let id = call.request_id.as_deref().unwrap_or(&call.marker);
        self.wrong(Rule::Lost, id, format!("{why}, but it has no entry ({} on {})", call.marker, call.route));
    }

    fn entry_of_call(&mut self, call: &Call, entry: &Entry) {
        let id = &entry.request_id;
        if entry.route != call.route {
            let (found, called) = (&entry.route, &call.route);
            self.wrong(
                Rule::WrongOutcome,
                id,
                format!("the entry says route {found}, the client called {called}"),
            );
        }
        if !asks_alike(call, entry) {
            let (found, stream) = (&entry.dialect, entry.stream);
            let (spoken, asked) = (call.dialect.name(), call.stream);
            self.wrong(
                Rule::WrongOutcome,
                id,
                format!("the entry says {found}, stream {stream}; the client spoke {spoken}, stream {asked}"),
            );
        }
        if entry.outcome == "unsettled" && !call.killed {
            self.wrong(Rule::WrongOutcome, id, "unsettled though the server was not killed");
        }
        if entry.outcome == "ok" && call.status.is_some_and(|status| status != 200) {
            self.wrong(Rule::WrongOutcome, id, format!("ok though the client got status {:?}", call.status));
        }
        if call.status != Some(200) || call.end != End::Complete {
            return;
        }
        if entry.outcome != "ok" {
            self.wrong(
                Rule::WrongOutcome,
                id,
                format!("{} though the client got the last byte", entry.outcome),
            );
            return;
        }
        if entry.basis.as_deref() != Some("reported") {
            self.wrong(Rule::WrongUsage, id, format!("basis {:?} though usage was reported", entry.basis));
        }
        let (right, counted) = match self.history.upstream.get(&call.marker) {
            Some(seen) => (seen.reported, entry.tokens()),
            None => (call.told, entry.tokens().map(|tokens| call.dialect.tells(tokens))),
        };
        if right.is_some() && counted != right {
            self.wrong(Rule::WrongUsage, id, format!("{:?} instead of {right:?}", entry.usage));
        }
    }

    /// Of every entry: a charge by usage is usage × price; a charge by hold is there and is not negative.
    fn amount(&mut self, entry: &Entry) {
        let id = &entry.request_id;
        let Some(amount) = entry.amount_pusd.as_deref().and_then(|text| text.parse::<i128>().ok()) else {
            self.wrong(
                Rule::WrongAmount,
                id,
                format!("the amount of a priced model is {:?}", entry.amount_pusd),
            );
            return;
        };
        let price = entry.channel.as_ref().and_then(|channel| self.history.prices.get(channel));
        let expected = price.zip(entry.tokens()).map(|(price, tokens): (_, Tokens)| price.of(tokens));
        let right = match (entry.basis.as_deref(), expected) {
            (Some("hold"), _) => amount > 0,
            (_, Some(expected)) => amount == expected,
            (_, None) => false,
        };
        if !right {
            let basis = &entry.basis;
            let expected = expected.map_or_else(|| "unknown".to_owned(), |expected| expected.to_string());
            self.wrong(
                Rule::WrongAmount,
                id,
                format!("{amount} pico-USD by basis {basis:?}; its usage costs {expected}"),
            );
        }
    }
}

/// Whether the entry is of a call that is asked for in this way.
fn asks_alike(call: &Call, entry: &Entry) -> bool {
    (entry.dialect.as_str(), entry.stream) == (call.dialect.name(), call.stream)
}

#[cfg(test)]
mod tests;
