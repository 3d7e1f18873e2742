//! Going to the next target: on every failure that may pass, and never once a byte has gone to the client.

use std::time::{Duration, Instant};

use serde_json::json;
use steelyard_testkit::{Config, End, Reply, Steelyard, Upstream, chat, fault, sse, status};

use crate::app::{Account, ask, ask_stream, broke_off, refused, serve};

struct Pair {
    server: Steelyard,
    one: Upstream,
    two: Upstream,
}

/// Route `r` over `one/a` and `two/b`, without retries; the second answers `from two`.
async fn pair() -> Pair {
    pair_with("retries = 0").await
}

async fn pair_with(more: &str) -> Pair {
    pair_within([PATIENT, PATIENT], more).await
}

/// For vendors that answer, however busy the machine is.
const PATIENT: &str = r#"timeouts = { connect = "20s", first_byte = "20s", idle = "20s", total = "30s" }"#;

/// For vendors that hang.
const HASTY: &str = r#"timeouts = { connect = "20s", first_byte = "500ms", idle = "500ms", total = "30s" }"#;

/// The limits for a vendor whose failure is booked like this.
fn limits(booked: &str) -> &'static str {
    if booked == "timeout" { HASTY } else { PATIENT }
}

async fn pair_within(limits: [&str; 2], more: &str) -> Pair {
    pair_of(Account::COMPATIBLE, limits, more).await
}

async fn pair_of(account: Account, [first, second]: [&str; 2], more: &str) -> Pair {
    let (one, two) = (Upstream::speaking(account.wire).await, Upstream::start().await);
    two.otherwise(chat().text("from two").usage(10, 5));
    let config = (account.declare)(Config::new(), "one", &one, first)
        .channel("two", &two, second)
        .price("one", "a", "3.00", "5.00", "")
        .price("two", "b", "1.00", "2.00", "")
        .route("r", &["one/a", "two/b"], more);
    Pair { server: serve(&config).await, one, two }
}

/// Faults after which another target is asked, with the status that the first attempt is booked with and whether
/// it costs nothing for certain.
fn passing() -> Vec<(&'static str, Reply, &'static str, bool)> {
    let mut faults: Vec<(&'static str, Reply, &'static str, bool)> = vec![
        ("closes before the head", fault::close_before_head(), "cut", false),
        ("resets before the head", fault::reset_before_head(), "cut", false),
        ("closes in the head", fault::close_in_head(), "cut", false),
        ("hangs before the head", fault::hang_before_head(), "timeout", false),
        ("garbage", fault::garbage(), "cut", false),
    ];
    for code in [401, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529] {
        faults.push(("status", status(code).into(), "http_error", true));
    }
    faults
}

/// Faults of whole answers alone.
fn passing_whole() -> Vec<(&'static str, Reply, &'static str, bool)> {
    vec![
        ("closes in the body", fault::close_in_body(), "cut", false),
        ("unterminated", fault::unterminated(r#"{"id":"x","choices":[]}"#), "cut", false),
        ("hangs in the body", fault::hang_in_body(), "timeout", false),
        ("a web page", fault::html(), "cut", false),
        ("cut JSON", fault::invalid_json(), "cut", false),
    ]
}

/// Faults of streams before their first event.
fn passing_stream() -> Vec<(&'static str, Reply, &'static str, bool)> {
    vec![
        ("no event, closed", sse().end(End::Close).into(), "cut", false),
        ("no event, in order", sse().into(), "cut", false),
        ("no event, hangs", sse().end(End::Hang).into(), "timeout", false),
        (
            "an error first",
            sse()
                .data(r#"{"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}"#)
                .into(),
            "http_error",
            true,
        ),
        (
            "JSON instead of events",
            status(200).body("application/json", r#"{"id":"x","choices":[]}"#).into(),
            "cut",
            false,
        ),
        ("a web page", fault::html(), "cut", false),
    ]
}

async fn check(cases: Vec<(&'static str, Reply, &'static str, bool)>, body: &serde_json::Value) {
    check_of(Account::COMPATIBLE, cases, body).await;
}

async fn check_of(
    account: Account,
    cases: Vec<(&'static str, Reply, &'static str, bool)>,
    body: &serde_json::Value,
) {
    for (name, reply, booked, free) in cases {
        let pair = pair_of(account, [limits(booked), PATIENT], "retries = 0").await;
        pair.one.next(reply.clone());
        let answer = pair.server.admin().chat(body).await;
        assert_eq!(
            (answer.status, answer.content().as_str()),
            (200, "from two"),
            "{name} {reply:?}: {answer:?}"
        );
        assert_eq!((pair.one.count(), pair.two.count()), (1, 1), "{name} {reply:?}");
        assert_eq!(answer.header("x-steelyard-channel"), Some("two"));
        let entry = pair.server.only_entry().await;
        assert_eq!(entry.outcome, "ok", "{name} {reply:?}: {entry:#?}");
        assert_eq!(entry.statuses(), [booked, "ok"], "{name} {reply:?}");
        assert_eq!(entry.channels(), ["one", "two"]);
        assert_eq!(entry.attempts[1].amount.as_deref(), Some("20000000"));
        let first: i128 =
            entry.attempts[0].amount.as_deref().expect("a priced attempt has an amount").parse().unwrap();
        if free {
            assert_eq!(first, 0, "{name} {reply:?}: a refusal costs nothing: {entry:#?}");
        }
        assert_eq!(
            entry.pico(),
            Some(first + 20_000_000),
            "{name} {reply:?}: all attempts count: {entry:#?}"
        );
        pair.one.is_idle(1).await;
        pair.two.is_idle(1).await;
    }
}

#[tokio::test]
async fn whole_answers_fail_over_on_every_passing_fault() {
    let (first, second) = (passing(), passing_whole());
    let body = ask("r");
    tokio::join!(check(first, &body), check(second, &body));
}

#[tokio::test]
async fn streams_fail_over_before_their_first_event() {
    let (first, second) = (passing(), passing_stream());
    let body = ask_stream("r");
    tokio::join!(check(first, &body), check(second, &body));
}

#[tokio::test]
async fn geminis_failures_are_passed_over_too() {
    let (whole, stream) = (ask("r"), ask_stream("r"));
    let wire = Account::GEMINI.wire;
    let overloaded =
        ("an error first", sse().json(&wire.error_body(503, "overloaded")).into(), "http_error", true);
    // The error of OpenAI's wire is none of Google's.
    let others = passing_stream().into_iter().filter(|(name, ..)| *name != overloaded.0);
    let first: Vec<_> = others.chain([overloaded.clone()]).collect();
    tokio::join!(
        check_of(Account::GEMINI, passing(), &whole),
        check_of(Account::GEMINI, passing_whole(), &whole),
        check_of(Account::GEMINI, first, &stream),
    );
}

#[tokio::test]
async fn azures_failures_are_passed_over_too() {
    let (whole, stream) = (ask("r"), ask_stream("r"));
    tokio::join!(
        check_of(Account::AZURE, passing(), &whole),
        check_of(Account::AZURE, passing_stream(), &stream),
    );
}

#[tokio::test]
async fn a_refused_connection_fails_over_and_costs_nothing() {
    let two = Upstream::start().await;
    let config = Config::new()
        .channel_at("one", Upstream::refusing().await, "")
        .channel("two", &two, "")
        .price("one", "a", "3.00", "5.00", "")
        .route("r", &["one/a", "two/b"], "retries = 0");
    let server = serve(&config).await;
    for body in [ask("r"), ask_stream("r")] {
        let answer = server.admin().chat(&body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let entry = server.entry(answer.request_id()).await;
        assert_eq!(entry.statuses(), ["connect_error", "ok"]);
        assert_eq!(entry.attempts[0].amount.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_goes_to_no_other_target() {
    for code in [400, 413, 422] {
        let pair = pair().await;
        pair.one.next(status(code).message("messages: too short"));
        let answer = pair.server.admin().chat(&ask("r")).await;
        assert_eq!(answer.status, code, "{answer:?}");
        let error = &answer.json()["error"];
        crate::app::is_openai_error(error);
        assert!(
            error["message"].as_str().unwrap().contains("messages: too short"),
            "the vendor's own words: {error}"
        );
        assert_eq!(pair.two.count(), 0, "{code}");
        let entry = pair.server.only_entry().await;
        assert_eq!((entry.outcome.as_str(), entry.pico()), ("upstream_error", Some(0)), "{entry:#?}");
    }
}

#[tokio::test]
async fn never_after_a_byte_has_gone_out() {
    // The first word has all the time it needs; only the silence after it is short.
    let silent = r#"timeouts = { first_byte = "20s", idle = "2s" }"#;
    for (end, limits) in [(End::Close, PATIENT), (End::Reset, PATIENT), (End::Hang, silent)] {
        let pair = pair_within([limits, PATIENT], "retries = 0").await;
        pair.one.next(chat().texts(["one", "two"]).cut_after(2, end));
        let answer = pair.server.admin().chat(&ask_stream("r")).await;
        broke_off(&answer, "SY030");
        assert_eq!(answer.content(), "one");
        assert_eq!(pair.two.count(), 0, "{end:?}");
    }
}

#[tokio::test]
async fn our_own_credentials_failing_is_our_502_and_never_the_callers_401() {
    for code in [401, 403] {
        let pair = pair().await;
        pair.one.next(status(code).message("Incorrect API key provided: vendor-key-one"));
        pair.two.next(status(code).message("Incorrect API key provided: vendor-key-two"));
        let answer = pair.server.admin().chat(&ask("r")).await;
        refused(&answer, 502, "SY0303");
        assert!(!answer.text().contains("vendor-key"), "{answer:?}");
        assert_eq!(pair.server.only_entry().await.statuses(), ["http_error", "http_error"]);
    }
}

#[tokio::test]
async fn an_empty_purse_is_ours_to_mend_too() {
    let pair = pair().await;
    let body = json!({ "error": { "message": "quota", "type": "insufficient_quota", "param": null, "code": "insufficient_quota" } });
    pair.one.next(Reply::json(429, &body));
    pair.two.next(Reply::json(429, &body));
    refused(&pair.server.admin().chat(&ask("r")).await, 502, "SY0303");
}

#[tokio::test]
async fn a_failure_of_all_is_told_by_its_kind() {
    for (reply, code, error) in [
        (Reply::from(status(500)), 502, "SY0304"),
        (status(503).into(), 503, "SY0311"),
        (status(504).into(), 504, "SY0302"),
        (status(529).into(), 503, "SY0311"),
        (status(408).into(), 504, "SY0302"),
        (status(409).into(), 502, "SY0304"),
        (fault::close_before_head(), 502, "SY0306"),
        (fault::close_in_body(), 502, "SY0306"),
        (fault::invalid_json(), 502, "SY0305"),
        (fault::html(), 502, "SY0305"),
        (fault::hang_before_head(), 504, "SY0302"),
        (fault::hang_in_body(), 504, "SY0302"),
    ] {
        // A vendor's own time-out is an error status as any other.
        let hangs = code == 504 && matches!(reply, Reply::Steps(_));
        let limits = if hangs { HASTY } else { PATIENT };
        let pair = pair_within([limits, limits], "retries = 0").await;
        pair.one.otherwise(reply.clone());
        pair.two.otherwise(reply.clone());
        let answer = pair.server.admin().chat(&ask("r")).await;
        assert_eq!(answer.status, code, "{reply:?}: {answer:?}");
        refused(&answer, code, error);
        let entry = pair.server.only_entry().await;
        assert_eq!(entry.outcome, if hangs { "timeout" } else { "upstream_error" }, "{reply:?}: {entry:#?}");
        assert_eq!(entry.attempts.len(), 2, "{reply:?}");
    }
}

#[tokio::test]
async fn an_unknown_model_upstream_is_404_in_the_dialect() {
    let pair = pair().await;
    pair.one.otherwise(status(404));
    pair.two.otherwise(status(404));
    let answer = pair.server.admin().chat(&ask("r")).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (404, Some("model_not_found")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_rate_limit_of_all_is_429_with_the_vendors_wish() {
    for (header, value, seconds, millis) in
        [("retry-after", "30", "30", "30000"), ("retry-after-ms", "29500", "30", "29500")]
    {
        let pair = pair_with("retries = 2").await;
        pair.one.otherwise(status(429).header(header, value));
        pair.two.otherwise(status(429).header(header, value));
        let begun = Instant::now();
        let answer = pair.server.admin().chat(&ask("r")).await;
        refused(&answer, 429, "SY0307");
        assert_eq!(
            (answer.header("retry-after"), answer.header("retry-after-ms")),
            (Some(seconds), Some(millis))
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "a wish of half a minute is not waited for");
        assert_eq!(
            (pair.one.count(), pair.two.count()),
            (1, 1),
            "a vendor that wants to be left alone is left alone"
        );
    }
}

#[tokio::test]
async fn a_short_wish_is_waited_for() {
    let up = Upstream::start().await;
    let config = Config::new().channel("one", &up, "").route("r", &["one/a"], "retries = 1");
    let server = serve(&config).await;
    up.next(status(429).header("retry-after", "1"));
    let begun = Instant::now();
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(begun.elapsed() >= Duration::from_secs(1), "asked again after {:?}", begun.elapsed());
    let entry = server.only_entry().await;
    assert_eq!(entry.statuses(), ["http_error", "ok"]);
}

#[tokio::test]
async fn a_vendor_that_asked_for_peace_is_asked_last_for_a_while() {
    let pair = pair().await;
    pair.one.next(status(429).header("retry-after", "20"));
    for _ in 0..5 {
        assert_eq!(pair.server.admin().chat(&ask("r")).await.content(), "from two");
    }
    assert_eq!(pair.one.count(), 1, "it is left alone while another can serve");
}

#[tokio::test]
async fn all_targets_are_gone_through_again_when_it_may_help() {
    let pair = pair_with("retries = 1").await;
    pair.one.next(status(500));
    pair.two.next(status(503));
    pair.one.next(chat().text("recovered"));
    let answer = pair.server.admin().chat(&ask("r")).await;
    assert_eq!(answer.content(), "recovered", "{answer:?}");
    assert_eq!(answer.header("x-steelyard-attempts"), Some("3"));
    assert_eq!(pair.server.only_entry().await.channels(), ["one", "two", "one"]);
}

#[tokio::test]
async fn what_may_have_been_done_already_is_not_done_twice_at_one_vendor() {
    let up = Upstream::start().await;
    let config = Config::new().channel("one", &up, "").route("r", &["one/a"], "retries = 3");
    let server = serve(&config).await;
    for reply in [fault::close_before_head(), fault::close_in_body(), fault::invalid_json()] {
        let before = up.count();
        up.otherwise(reply.clone());
        let answer = server.admin().chat(&ask("r")).await;
        assert_eq!(answer.status, 502, "{reply:?}: {answer:?}");
        assert_eq!(up.count() - before, 1, "{reply:?} was sent again, and could be charged again");
    }
}

#[tokio::test]
async fn a_dead_connection_from_the_pool_is_no_failure() {
    let pair = pair().await;
    pair.one.otherwise(chat().text("from one"));
    let client = pair.server.admin();
    assert_eq!(client.chat(&ask("r")).await.content(), "from one");
    pair.one.hang_up();
    // A request that is sent before the word of it has come would be lost, and rightly fail.
    pair.one.is_idle(0).await;
    assert_eq!(client.chat(&ask("r")).await.content(), "from one", "a fresh connection serves it");
    assert_eq!(pair.two.count(), 0);
}

#[tokio::test]
async fn weights_share_the_calls_out() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let config = Config::new().channel("one", &one, "").channel("two", &two, "").toml(
        "[[routes]]\nname = \"r\"\nstrategy = \"weighted\"\ntargets = [{ channel = \"one\", model = \"a\", weight = 3 }, { channel = \"two\", model = \"b\", weight = 1 }]\n",
    );
    let server = serve(&config).await;
    let client = server.admin();
    for _ in 0..80 {
        assert_eq!(client.chat(&ask("r")).await.status, 200);
    }
    assert!((55..=65).contains(&one.count()), "{} of 80 went to the target of weight 3", one.count());
    one.otherwise(status(500));
    assert_eq!(client.chat(&ask("r")).await.status, 200, "the other still takes over");
}
