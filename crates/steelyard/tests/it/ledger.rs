//! The ledger: one entry per call, whatever happens, and exact.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use steelyard_testkit::{Config, Gate, Store, chat, status};

use crate::app::{app, app_on, app_with, ask, ask_stream, ask_usage, charged, on_each_store};

on_each_store!(
    the_feed_is_in_order_and_can_be_read_in_pages,
    the_feed_is_at_most_a_second_behind,
    calls_at_once_have_one_entry_each,
    a_killed_process_leaves_every_call_on_the_bill,
    a_kill_at_the_last_byte_loses_nothing,
);

#[tokio::test]
async fn refusals_before_dispatch_make_no_entry() {
    let app = app().await;
    let admin = app.server.admin();
    admin.chat(&ask("nowhere")).await;
    admin.post_bytes("/v1/chat/completions", "{").await;
    admin.post("/v1/chat/completions", &json!({ "messages": [] })).await;
    admin.get("/v1/models").await;
    app.server.stranger().chat(&ask("smart")).await;
    assert_eq!(app.server.settled_entries().await, []);
    assert_eq!(app.up.count(), 0);
}

async fn the_feed_is_in_order_and_can_be_read_in_pages(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let client = app.server.admin();
    let mut ids = Vec::new();
    for number in 0..25 {
        let body = if number % 2 == 0 { ask("smart") } else { ask_stream("smart") };
        ids.push(client.chat(&body).await.request_id().to_owned());
    }
    let entries = app.server.has_entries(25).await;
    assert_eq!(
        entries.iter().map(|entry| entry.request_id.clone()).collect::<Vec<_>>(),
        ids,
        "one after the other"
    );
    assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].time <= pair[1].time));
    assert_eq!(entries.iter().map(|entry| &entry.id).collect::<BTreeSet<_>>().len(), 25);

    let page = client.get("/api/v1/ledger/entries?limit=10").await.json();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(10));
    assert_eq!(page["next"], page["data"][9]["seq"]);
    let last =
        client.get(&format!("/api/v1/ledger/entries?limit=100&after={}", entries[19].seq)).await.json();
    assert_eq!(last["data"].as_array().map(Vec::len), Some(5));
    assert_eq!(last["next"], json!(null), "the reader has caught up");
    let none = client.get(&format!("/api/v1/ledger/entries?after={}", entries[24].seq)).await.json();
    assert_eq!(none, json!({ "data": [], "next": null }));

    let one = client.get(&format!("/api/v1/ledger/entries?request_id={}", ids[7])).await.json();
    assert_eq!(one["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["data"][0]["request_id"], ids[7].as_str());
    for wrong in ["limit=0", "limit=100000", "after=x", "request_id=7", "nonsense=1"] {
        let answer = client.get(&format!("/api/v1/ledger/entries?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "SY0002", "{wrong}");
    }
}

async fn the_feed_is_at_most_a_second_behind(store: Store) {
    let Some(app) = app_on(store).await else { return };
    for _ in 0..5 {
        let answer = app.server.admin().chat(&ask("smart")).await;
        let path = format!("/api/v1/ledger/entries?request_id={}", answer.request_id());
        let begun = std::time::Instant::now();
        while app.server.admin().get(&path).await.json()["data"] == json!([]) {
            assert!(
                begun.elapsed() < Duration::from_millis(1500),
                "the feed is {:?} behind",
                begun.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn an_entry_has_every_field_of_the_contract() {
    let app = app().await;
    let answer = app.server.admin().chat(&ask("smart")).await;
    app.server.entry(answer.request_id()).await;
    let page = app.server.admin().get("/api/v1/ledger/entries").await.json();
    let entry = page["data"][0].as_object().unwrap();
    for field in [
        "id",
        "seq",
        "request_id",
        "time",
        "project",
        "key",
        "principal",
        "route",
        "model",
        "channel",
        "dialect",
        "outcome",
        "usage",
        "basis",
        "attempts",
        "tags",
        "losses",
        "adjusts",
        "amount_pusd",
        "amount_usd",
    ] {
        assert!(entry.contains_key(field), "no `{field}`: {entry:?}");
    }
    assert!(entry["amount_pusd"].is_string() && entry["amount_usd"].is_string());
    assert_eq!(entry["losses"], json!([]));
    assert_eq!(entry["dialect"], "openai_chat");
    assert!(steelyard_core::Timestamp::parse(entry["time"].as_str().unwrap()).is_ok());
}

async fn calls_at_once_have_one_entry_each(store: Store) {
    let Some(app) = app_on(store).await else { return };
    app.up.on("m", chat().texts(["a", "b", "c"]).usage(11, 6));
    let client = app.server.admin();
    let calls = (0..300).map(|number| {
        let client = client.clone();
        async move {
            let body = match number % 3 {
                0 => ask("smart"),
                1 => ask_stream("smart"),
                _ => ask_usage("smart"),
            };
            let answer = client.chat(&body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.request_id().to_owned()
        }
    });
    let mut ids = futures_util::future::join_all(calls).await;
    let entries = app.server.settled_entries().await;
    let mut recorded: Vec<_> = entries.iter().map(|entry| entry.request_id.clone()).collect();
    ids.sort();
    recorded.sort();
    assert_eq!(recorded, ids);
    for entry in &entries {
        charged(entry, 11, 6);
    }
    app.up.is_idle(300).await;
}

/// After a kill, what was answered is settled; what was under way is charged at its hold.
async fn a_killed_process_leaves_every_call_on_the_bill(store: Store) {
    let Some(mut app) = app_on(store).await else { return };
    let gate = Gate::new();
    app.up.on("m", chat().text("answered").usage(10, 5));
    app.up.on("e", chat().text("under way").wait(&gate).text("never"));
    let client = app.server.admin();
    let mut answered = Vec::new();
    for body in [ask("smart"), ask_stream("smart"), ask_usage("smart")] {
        answered.push(client.chat(&body).await.request_id().to_owned());
    }
    let mut limited = ask_stream("up/e");
    limited["max_completion_tokens"] = json!(100);
    let mut stream = client.stream(&limited).await;
    stream.until("under way").await;
    let under_way = stream.request_id();
    limited["stream"] = json!(false);
    let whole = tokio::spawn({
        let client = client.clone();
        async move { client.request(reqwest::Method::POST, "/v1/chat/completions").json(&limited).send().await }
    });
    app.up.has_requests(5).await;
    app.server.kill().await;
    drop(stream);
    assert!(whole.await.unwrap().is_err());

    app.server.restart().await;
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), 5, "{entries:#?}");
    for id in &answered {
        let entry =
            entries.iter().find(|entry| entry.request_id == *id).expect("an answered call has its entry");
        charged(entry, 10, 5);
    }
    let orphans: Vec<_> = entries.iter().filter(|entry| !answered.contains(&entry.request_id)).collect();
    assert!(orphans.iter().any(|entry| entry.request_id == under_way));
    for orphan in orphans {
        assert_eq!(
            (orphan.outcome.as_str(), orphan.basis.as_deref()),
            ("unsettled", Some("hold")),
            "{orphan:#?}"
        );
        assert_eq!(orphan.statuses(), ["unsettled"]);
        let hold = orphan.attempts[0].hold.as_deref().expect("a priced call with a cap has a hold");
        assert_eq!(orphan.amount_pusd.as_deref(), Some(hold), "{orphan:#?}");
        // 100 tokens of output at most, and an input bound of at least one token.
        assert!(orphan.pico() > Some(200_000_000), "{orphan:#?}");
    }

    // Another restart changes nothing.
    app.server.restart().await;
    assert_eq!(app.server.settled_entries().await, entries);
}

/// Nobody capped these answers, and nobody knows the model's limits: what is held for them is assumed, and says so.
#[tokio::test]
async fn a_killed_call_without_a_bound_is_charged_at_an_assumed_one() {
    let up = steelyard_testkit::Upstream::start().await;
    up.otherwise(chat().late_until(&Gate::new()));
    let mut server = crate::app::serve(&Config::simple(&up)).await;
    let mut picture = ask("up/e");
    picture["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    picture["max_completion_tokens"] = json!(10);
    let mut calls = Vec::new();
    for (sent, body) in [(1, ask("smart")), (2, picture), (3, ask("up/unpriced"))] {
        let client = server.admin();
        calls.push(tokio::spawn(async move {
            client.request(reqwest::Method::POST, "/v1/chat/completions").json(&body).send().await
        }));
        up.has_requests(sent).await;
    }
    server.kill().await;
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    server.restart().await;
    let entries = server.settled_entries().await;
    let of = |model: &str| entries.iter().find(|entry| entry.attempts[0].upstream_model == model).unwrap();
    // 272,000 tokens of answer at 2 dollars a million, then a window of 1,050,000 tokens at 1 dollar a million.
    for (model, least) in [("m", 544_000_000_000), ("e", 1_050_000_000_000)] {
        let (entry, attempt) = (of(model), &of(model).attempts[0]);
        assert_eq!(
            (entry.outcome.as_str(), entry.basis.as_deref()),
            ("unsettled", Some("hold")),
            "{entry:#?}"
        );
        assert!(
            (least..least + 5_000_000_000).contains(&entry.pico().expect("it has a price")),
            "{entry:#?}"
        );
        assert_eq!((&attempt.hold, &attempt.hold_assumed), (&None, &entry.amount_pusd), "{entry:#?}");
        assert_eq!(attempt.flags, ["hold_assumed"], "{entry:#?}");
    }
    let unpriced = of("unpriced");
    assert_eq!((unpriced.basis.as_deref(), unpriced.pico()), (Some("hold"), None), "{unpriced:#?}");

    // A call without a price is the only one whose cost is not known.
    let sums = server.admin().get("/api/v1/usage").await.json();
    assert_eq!(
        (sums["total"]["calls"].as_u64(), sums["total"]["unpriced_calls"].as_u64()),
        (Some(3), Some(1))
    );
    // The others are charged more than they will turn out to cost, so their sum is no lower bound.
    assert_eq!(sums["total"]["held_calls"], 2, "{sums}");
    assert_eq!(sums["total"]["held_usd"], sums["total"]["amount_usd"], "{sums}");
    let usage = server.cli().ok(&["usage"]).await;
    assert!(usage.stderr.contains("1 call has no known cost"), "{usage:#?}");
    assert!(usage.stderr.contains("~ 2 calls are charged at the worst case"), "{usage:#?}");
    assert!(usage.stdout.contains("~ 1.59") && !usage.stdout.contains('≥'), "{usage:#?}");
    let priced = server.cli().ok(&["usage", "--model", "m"]).await;
    assert!(!priced.stderr.contains("[[prices]]"), "{priced:#?}");
}

#[tokio::test]
async fn an_attempt_that_was_over_before_the_kill_stays_free() {
    let one = steelyard_testkit::Upstream::start().await;
    one.otherwise(status(500));
    let two = steelyard_testkit::Upstream::start().await;
    two.otherwise(chat().late_until(&Gate::new()));
    let config = Config::new()
        .channel("one", &one, "")
        .channel("two", &two, "")
        .price("one", "a", "1.00", "2.00", "max_output = 1000")
        .price("two", "b", "1.00", "2.00", "max_output = 1000")
        .route("r", &["one/a", "two/b"], "retries = 0");
    let mut server = crate::app::serve(&config).await;
    let client = server.admin();
    let call = tokio::spawn(async move {
        client.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("r")).send().await
    });
    two.has_requests(1).await;
    server.kill().await;
    assert!(call.await.unwrap().is_err());
    server.restart().await;
    let entry = server.only_entry().await;
    assert_eq!(entry.statuses(), ["http_error", "unsettled"], "{entry:#?}");
    assert_eq!(entry.attempts[0].amount.as_deref(), Some("0"));
    assert_eq!(entry.amount_pusd, entry.attempts[1].hold);
}

/// The terminal frame is withheld until the settlement is durable: so at the moment a client has it, a kill
/// cannot lose the entry. Ten rounds, each with a fresh kill right at the last byte.
async fn a_kill_at_the_last_byte_loses_nothing(store: Store) {
    let Some(mut app) = app_on(store).await else { return };
    app.up.on("m", chat().texts(["a", "b"]).usage(10, 5));
    let mut ids = Vec::new();
    for round in 0..10 {
        let client = app.server.admin();
        let body = if round % 2 == 0 { ask_stream("smart") } else { ask("smart") };
        let answer = client.chat(&body).await;
        app.server.kill().await;
        assert!(answer.complete);
        ids.push(answer.request_id().to_owned());
        app.server.restart().await;
    }
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.iter().map(|entry| entry.request_id.clone()).collect::<Vec<_>>(), ids);
    for entry in &entries {
        charged(entry, 10, 5);
    }
}

#[tokio::test]
async fn power_durability_serves_the_same() {
    let app = app_with(|config| config.head("[ledger]\ndurability = \"power\"")).await;
    app.up.on("m", chat().text("a").usage(10, 5));
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200);
    charged(&app.only_entry().await, 10, 5);
}
