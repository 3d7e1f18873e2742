//! `x-steelyard-…` and the ids that clients of OpenAI's read.

use std::collections::HashSet;

use reqwest::Method;
use steelyard_testkit::{Config, Upstream, chat, status};

use crate::app::{app, app_with, ask, ask_stream, serve};

#[tokio::test]
async fn a_whole_answer_says_where_it_came_from_and_what_it_cost() {
    let app = app().await;
    app.up.next(
        chat()
            .text("x")
            .usage(1_000, 500)
            .header("x-ratelimit-remaining-requests", "41")
            .header("set-cookie", "vendor=1"),
    );
    let answer = app.server.admin().chat(&ask("smart")).await;
    let shown = ["route", "channel", "model", "attempts", "cost-usd"]
        .map(|name| answer.header(&format!("x-steelyard-{name}")));
    assert_eq!(shown, [Some("smart"), Some("up"), Some("m"), Some("1"), Some("0.002")]);
    assert_eq!(answer.header("x-steelyard-loss"), None);
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("41"));
    assert_eq!(answer.header("set-cookie"), None, "the vendor's cookie came through");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let entry = app.only_entry().await;
    assert_eq!(entry.request_id, answer.request_id());
    assert_eq!(entry.amount_usd.as_deref(), Some("0.002"));
}

#[tokio::test]
async fn a_stream_says_where_it_comes_from_before_it_is_over() {
    let app = app().await;
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    let shown = ["route", "channel", "model", "attempts", "cost-usd"]
        .map(|name| answer.header(&format!("x-steelyard-{name}")));
    assert_eq!(shown, [Some("smart"), Some("up"), Some("m"), Some("1"), None]);
    assert_eq!(app.only_entry().await.request_id, answer.request_id());
}

#[tokio::test]
async fn attempts_are_counted_also_on_errors() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    one.otherwise(status(500));
    two.next(chat().text("x"));
    two.otherwise(status(503));
    let config = Config::new().channel("one", &one, "").channel("two", &two, "").route(
        "r",
        &["one/a", "two/b"],
        "retries = 0",
    );
    let server = serve(&config).await;
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(
        (answer.status, answer.header("x-steelyard-attempts"), answer.header("x-steelyard-channel")),
        (200, Some("2"), Some("two"))
    );
    assert_eq!(answer.header("x-steelyard-cost-usd"), None, "nothing here has a price");
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(
        (answer.status, answer.header("x-steelyard-attempts"), answer.header("x-steelyard-route")),
        (503, Some("2"), Some("r"))
    );
    assert_eq!(server.entry(answer.request_id()).await.attempts.len(), 2);
}

#[tokio::test]
async fn every_response_has_its_own_request_id() {
    let app = app_with(|config| config.head("[server]\nmax_body = 1000")).await;
    let (admin, stranger) = (app.server.admin(), app.server.stranger());
    let mut large = ask("smart");
    large["messages"][0]["content"] = "x".repeat(2000).into();
    app.up.on("broken", status(500));
    let answers = [
        (200, admin.chat(&ask("smart")).await),
        (200, admin.chat(&ask_stream("smart")).await),
        (502, admin.chat(&ask("up/broken")).await),
        (400, admin.post_bytes("/v1/chat/completions", "{").await),
        (401, stranger.chat(&ask("smart")).await),
        (404, admin.chat(&ask("nowhere")).await),
        (413, admin.chat(&large).await),
        (404, stranger.get("/nowhere").await),
        (404, stranger.get("/v1/nowhere").await),
        (405, admin.get("/v1/chat/completions").await),
        (405, admin.delete("/v1/models").await),
        (200, admin.get("/v1/models").await),
        (404, admin.get("/v1/models/nowhere").await),
        (200, admin.get("/api/v1/keys").await),
        (401, stranger.get("/api/v1/keys").await),
        (404, admin.get("/api/v1/nowhere").await),
        (404, admin.get("/api/v1/keys/nobody").await),
        (200, stranger.get("/healthz").await),
        (200, stranger.get("/readyz").await),
        (200, stranger.get("/metrics").await),
        (404, stranger.send(stranger.request(Method::OPTIONS, "/nowhere")).await),
    ];
    let mut seen = HashSet::new();
    for (status, answer) in &answers {
        assert_eq!(answer.status, *status, "{answer:?}");
        let id = answer.request_id();
        assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        assert!(seen.insert(id.to_owned()), "{id} twice");
        assert!(answer.header("x-request-id").is_some(), "OpenAI's SDKs read x-request-id: {answer:?}");
    }
}

#[tokio::test]
async fn a_callers_own_ids_are_not_taken_over() {
    let app = app().await;
    let client = app.server.admin();
    let request = client.request(Method::POST, "/v1/chat/completions").json(&ask("smart"));
    let answer = client
        .send(
            request
                .header("x-steelyard-request-id", "req_00000000000000000000000000000001")
                .header("x-request-id", "mine"),
        )
        .await;
    assert_ne!(answer.request_id(), "req_00000000000000000000000000000001");
    assert_ne!(answer.header("x-request-id"), Some("mine"));
}
