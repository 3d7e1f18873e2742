//! Made-up histories: each defect must be found, and nothing else.

use super::*;
use crate::kill::dialect::Dialect;
use crate::kill::history::{Attempt, Price, Seen};
use steelyard_core::Timestamp;

const TOKENS: Tokens = Tokens { input: 10, cache_read: 5, output: 20, reasoning: 3 };
const PRICE: Price = Price { input: 4, cache_read: 1, output: 16, reasoning: 20 };
const AMOUNT: &str = "425";

fn call(name: &str, end: End) -> Call {
    Call {
        marker: name.to_owned(),
        dialect: Dialect::Chat,
        stream: false,
        route: "up-0".to_owned(),
        began: Timestamp(1_000_000),
        status: Some(200),
        request_id: Some(format!("req_{name}")),
        end,
        told: None,
        may_fail: false,
        killed: true,
    }
}

fn entry(name: &str, outcome: &str) -> Entry {
    let basis = match outcome {
        "ok" => "reported",
        "client_gone" => "counted",
        _ => "hold",
    };
    let usage = if basis == "hold" {
        BTreeMap::new()
    } else {
        [("input", 10), ("cache_read", 5), ("output", 20), ("reasoning", 3)]
            .map(|(k, v)| (k.to_owned(), v))
            .into()
    };
    Entry {
        request_id: format!("req_{name}"),
        time: Timestamp(1_000_200),
        route: "up-0".to_owned(),
        dialect: "openai_chat".to_owned(),
        stream: false,
        channel: Some("up".to_owned()),
        outcome: outcome.to_owned(),
        usage,
        basis: Some(basis.to_owned()),
        attempts: vec![Attempt { vendor_request_id: None }],
        adjusts: None,
        amount_pusd: Some(AMOUNT.to_owned()),
    }
}

fn history(calls: Vec<Call>, entries: Vec<Entry>) -> History {
    let seen = |call: &Call| (call.marker.clone(), Seen { attempts: 1, reported: Some(TOKENS) });
    History {
        upstream: calls.iter().map(seen).collect(),
        calls,
        entries: (1..).zip(entries).collect(),
        prices: [("up".to_owned(), PRICE)].into(),
    }
}

/// The rules that a history breaks, with the ids.
#[track_caller]
fn broken(history: &History, expected: &[(Rule, &str)]) {
    let violations = check(history);
    let found: Vec<_> = violations.iter().map(|violation| (violation.rule, violation.id.as_str())).collect();
    assert_eq!(found, expected, "{violations:#?}");
}

#[test]
fn a_right_history_passes() {
    let without_id = |name| Call { status: None, request_id: None, ..call(name, End::Broken) };
    let mut unseen = history(
        vec![
            call("whole", End::Complete),
            call("cut", End::Broken),
            call("gone", End::HungUp),
            Call { told: Some(TOKENS), ..call("told", End::Complete) },
            without_id("orphan"),
            without_id("never-arrived"),
        ],
        vec![
            entry("whole", "ok"),
            entry("cut", "ok"),
            entry("gone", "client_gone"),
            entry("told", "ok"),
            entry("somewhere", "unsettled"),
        ],
    );
    unseen.upstream.remove("never-arrived");
    broken(&unseen, &[]);
}

#[test]
fn a_lost_call_is_found() {
    broken(&history(vec![call("a", End::Complete)], vec![]), &[(Rule::Lost, "req_a")]);
    broken(&history(vec![call("a", End::Broken)], vec![]), &[(Rule::Lost, "req_a")]);
    let seen = Call { status: None, request_id: None, ..call("a", End::HungUp) };
    broken(&history(vec![seen.clone()], vec![]), &[(Rule::Lost, "a")]);
    let mut unseen = history(vec![seen], vec![]);
    unseen.upstream.clear();
    broken(&unseen, &[]);
}

#[test]
fn a_doubled_entry_is_found_and_a_correction_is_none() {
    let twice = history(vec![call("a", End::Complete)], vec![entry("a", "ok"), entry("a", "ok")]);
    broken(&twice, &[(Rule::Doubled, "req_a")]);
    let correction = Entry { adjusts: Some("ent_1".to_owned()), ..entry("a", "ok") };
    broken(&history(vec![call("a", End::Complete)], vec![entry("a", "ok"), correction]), &[]);
}

#[test]
fn an_entry_without_a_call_is_found() {
    broken(&history(vec![], vec![entry("x", "unsettled")]), &[(Rule::Phantom, "req_x")]);
    // One call without an id explains one entry on its route, not two, and none from before it began.
    let waiting = Call { status: None, request_id: None, ..call("a", End::Broken) };
    let two = history(vec![waiting.clone()], vec![entry("x", "unsettled"), entry("y", "unsettled")]);
    broken(&two, &[(Rule::Phantom, "req_y")]);
    let earlier = Entry { time: Timestamp(900_000), ..entry("x", "unsettled") };
    broken(&history(vec![waiting.clone()], vec![earlier]), &[(Rule::Lost, "a"), (Rule::Phantom, "req_x")]);
    let elsewhere = Entry { route: "up-1".to_owned(), ..entry("x", "unsettled") };
    broken(&history(vec![waiting], vec![elsewhere]), &[(Rule::Lost, "a"), (Rule::Phantom, "req_x")]);
}

#[test]
fn the_upstreams_own_id_tells_calls_of_one_route_apart() {
    let waiting = |name, began| Call { status: None, request_id: None, began, ..call(name, End::Broken) };
    let mut both = history(
        vec![waiting("a", Timestamp(1_000_000)), waiting("b", Timestamp(1_000_100))],
        vec![Entry {
            attempts: vec![Attempt { vendor_request_id: Some("a".to_owned()) }],
            ..entry("x", "ok")
        }],
    );
    broken(&both, &[(Rule::Lost, "b")]);
    both.entries.insert(2, entry("y", "unsettled"));
    broken(&both, &[]);
}

#[test]
fn a_wrong_end_is_found() {
    for outcome in ["unsettled", "client_gone", "upstream_error"] {
        let told = history(vec![call("a", End::Complete)], vec![entry("a", outcome)]);
        broken(&told, &[(Rule::WrongOutcome, "req_a")]);
    }
    let calm = Call { killed: false, ..call("a", End::HungUp) };
    broken(&history(vec![calm], vec![entry("a", "unsettled")]), &[(Rule::WrongOutcome, "req_a")]);
    let refused = Call { status: Some(502), may_fail: true, ..call("a", End::Complete) };
    broken(&history(vec![refused], vec![entry("a", "ok")]), &[(Rule::WrongOutcome, "req_a")]);
}

#[test]
fn what_was_asked_for_tells_calls_of_one_route_apart() {
    let waiting = |name, stream| Call {
        status: None,
        request_id: None,
        began: Timestamp(1_000_000),
        stream,
        ..call(name, End::Broken)
    };
    let entries = |stream| Entry { stream, ..entry(if stream { "x" } else { "y" }, "unsettled") };
    for first in [true, false] {
        let calls = vec![waiting("a", first), waiting("b", !first)];
        broken(&history(calls, vec![entries(true), entries(false)]), &[]);
    }
}

#[test]
fn an_entry_of_another_dialect_is_found() {
    let spoken = |dialect, stream| Call { dialect, stream, ..call("a", End::Complete) };
    for call in [spoken(Dialect::Messages, false), spoken(Dialect::Chat, true)] {
        broken(&history(vec![call], vec![entry("a", "ok")]), &[(Rule::WrongOutcome, "req_a")]);
    }
}

#[test]
fn a_client_is_held_to_what_its_dialect_can_tell() {
    let entry = Entry { dialect: "bedrock_converse".to_owned(), ..entry("a", "ok") };
    let call = |told| Call { dialect: Dialect::Converse, told: Some(told), ..call("a", End::Complete) };
    let folded = Tokens { output: 23, reasoning: 0, ..TOKENS };
    let mut right = history(vec![call(folded)], vec![entry.clone()]);
    broken(&right, &[]);
    right.upstream.clear();
    broken(&right, &[]);
    broken(&history(vec![call(TOKENS)], vec![entry]), &[(Rule::WrongAnswer, "req_a")]);
}

#[test]
fn wrong_usage_is_found_even_when_the_amount_fits_it() {
    let mut less = entry("a", "ok");
    less.usage.insert("output".to_owned(), 19);
    less.amount_pusd = Some("409".to_owned());
    broken(&history(vec![call("a", End::Complete)], vec![less]), &[(Rule::WrongUsage, "req_a")]);
    let counted = Entry { basis: Some("counted".to_owned()), ..entry("a", "ok") };
    broken(&history(vec![call("a", End::Complete)], vec![counted]), &[(Rule::WrongUsage, "req_a")]);
    // A call that never went to the upstream is held to what its client was told.
    let told = Tokens { input: 11, ..TOKENS };
    let mut inside =
        history(vec![Call { told: Some(told), ..call("a", End::Complete) }], vec![entry("a", "ok")]);
    inside.upstream.clear();
    broken(&inside, &[(Rule::WrongUsage, "req_a")]);
}

#[test]
fn a_wrong_amount_is_found() {
    for (outcome, amount) in
        [("ok", Some("424")), ("ok", None), ("unsettled", None), ("unsettled", Some("0"))]
    {
        let wrong = Entry { amount_pusd: amount.map(str::to_owned), ..entry("a", outcome) };
        let end = if outcome == "ok" { End::Complete } else { End::Broken };
        broken(&history(vec![call("a", end)], vec![wrong]), &[(Rule::WrongAmount, "req_a")]);
    }
}

#[test]
fn a_wrong_answer_is_found() {
    let failed = Call { status: Some(500), ..call("a", End::Complete) };
    broken(&history(vec![failed.clone()], vec![entry("a", "unsettled")]), &[(Rule::WrongAnswer, "req_a")]);
    broken(&history(vec![Call { may_fail: true, ..failed }], vec![entry("a", "unsettled")]), &[]);
    let told = Call { told: Some(Tokens::default()), ..call("a", End::Complete) };
    broken(&history(vec![told], vec![entry("a", "ok")]), &[(Rule::WrongAnswer, "req_a")]);
    let broke = Call { killed: false, ..call("a", End::Broken) };
    broken(&history(vec![broke], vec![entry("a", "ok")]), &[(Rule::WrongAnswer, "req_a")]);
    let mut cut = history(vec![call("a", End::Complete)], vec![entry("a", "ok")]);
    cut.upstream.insert("a".to_owned(), Seen { attempts: 1, reported: None });
    broken(&cut, &[(Rule::WrongAnswer, "req_a")]);
}
