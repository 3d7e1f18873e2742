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
