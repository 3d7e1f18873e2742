//! From start to end: transports, readiness, draining, the lock on the data directory.

use std::time::{Duration, Instant};

use steelyard_testkit::{Gate, Steelyard, Store, chat};

use crate::app::{App, app, app_on, app_with, ask, ask_stream, charged, cli, on_each_store, refused};

on_each_store!(sigterm_under_load_loses_no_answer_and_no_entry,);

#[tokio::test]
async fn http2_with_prior_knowledge_on_the_same_port() {
    let app = app().await;
    let client = app.server.admin().over_http2();
    let whole = client.chat(&ask("smart")).await;
    assert_eq!((whole.status, whole.content().as_str()), (200, "hello"), "{whole:?}");
    let streamed = client.chat(&ask_stream("smart")).await;
    assert_eq!(streamed.content(), "hello");
    refused(&client.chat(&ask("nowhere")).await, 404, "SY0201");
    let calls = (0..50).map(|_| {
        let client = client.clone();
        async move { client.chat(&ask_stream("smart")).await }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.content(), "hello");
    }
    assert_eq!(app.server.has_entries(52).await.len(), 52);
}

#[tokio::test]
async fn a_cancelled_http2_stream_is_a_client_gone() {
    let app = app().await;
    app.up.next(chat().text("heard").wait(&Gate::new()));
    let client = app.server.admin().over_http2();
    let mut stream = client.stream(&ask_stream("smart")).await;
    stream.until("heard").await;
    drop(stream);
    app.up.is_aborted(1).await;
    assert_eq!(app.only_entry().await.outcome, "client_gone");
    assert_eq!(client.chat(&ask("smart")).await.status, 200, "the connection lives on");
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let app = app().await;
    let stranger = app.server.stranger();
    assert_eq!(stranger.get("/healthz").await.status, 200);
    assert_eq!(stranger.get("/readyz").await.status, 200);
    for _ in 0..3 {
        app.server.admin().chat(&ask("smart")).await;
        app.server.admin().chat(&ask_stream("smart")).await;
    }
    app.server.is_quiet().await;
    let metrics = app.server.metrics().await;
    assert_eq!(metrics.sum("steelyard_calls_total"), Some(6.0), "{}", metrics.text());
    assert_eq!(metrics.sum_where("steelyard_calls_total", "outcome=\"ok\""), Some(6.0));
    assert_eq!(metrics.sum_where("steelyard_tokens_total", "class=\"input\""), Some(60.0));
    assert_eq!(metrics.sum("steelyard_overhead_seconds_count"), Some(6.0));
    let within = metrics.sum_where("steelyard_overhead_seconds_bucket", "le=\"0.25\"");
    assert_eq!(within, Some(6.0), "the overhead is Steelyard's own time: {}", metrics.text());
    assert_eq!(metrics.sum("steelyard_upstream_first_byte_seconds_count"), Some(6.0));
    stranger.chat(&ask("smart")).await;
    let metrics = app.server.metrics().await;
    assert_eq!(
        metrics.sum_where("steelyard_errors_total", "code=\"SY0101\""),
        Some(1.0),
        "{}",
        metrics.text()
    );
    let operations = include_str!("../../../../docs/operations.md");
    let types: Vec<_> = metrics.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for line in &types {
        let (name, kind) = line.split_once(' ').unwrap();
        let described = format!("# HELP {name} ");
        assert!(metrics.text().contains(&described), "{name} is not described: add it to METRICS");
        let documented = operations.contains(&format!("| `{name}` | {kind} |"));
        assert!(documented, "docs/operations.md does not name the {kind} {name}");
    }
    // Failures are exported once there is one, entries once the settler has moved some.
    assert!(types.len() >= 9, "{types:?}");
}

#[tokio::test]
async fn the_overhead_excludes_the_vendors_time() {
    let app = app().await;
    app.up.otherwise(chat().late(Duration::from_millis(600)).text("slow"));
    app.server.admin().chat(&ask("smart")).await;
    app.server.admin().chat(&ask_stream("smart")).await;
    app.server.is_quiet().await;
    let metrics = app.server.metrics().await;
    assert_eq!(
        metrics.sum_where("steelyard_overhead_seconds_bucket", "le=\"0.25\""),
        Some(2.0),
        "{}",
        metrics.text()
    );
    assert!(metrics.sum("steelyard_upstream_first_byte_seconds_sum") > Some(1.0), "{}", metrics.text());
}

/// A connection that was opened before, with one request on it.
fn request(app: &App, path: &str, body: &str) -> String {
    let key = app.server.admin_key();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn sigterm_lets_streams_finish_and_refuses_new_calls() {
    let mut app = app().await;
    let gate = Gate::new();
    app.up.next(chat().text("begun").wait(&gate).text(" and finished").usage(10, 5));
    let mut stream = app.server.admin().stream(&ask_stream("smart")).await;
    stream.until("begun").await;
    let mut early = app.server.raw().await;
    early.write(request(&app, "/v1/chat/completions", &ask("smart").to_string())).await;
    early.read_until("total_tokens").await;

    app.server.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A kept connection may have been closed; if it is answered, the answer is a refusal.
    if early.write(request(&app, "/v1/chat/completions", &ask("smart").to_string())).await {
        let (bytes, _) = early.read_to_end(Duration::from_secs(1)).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let second = text.match_indices("HTTP/1.1 ").nth(1).map(|(at, _)| text[at..].to_owned());
        assert!(
            second
                .as_ref()
                .is_none_or(|answer| answer.starts_with("HTTP/1.1 503") && answer.contains("SY0402")),
            "{text}"
        );
    }
    // A new connection is refused, or answered with 503.
    let fresh = app.server.admin();
    if let Ok(answer) =
        fresh.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("smart")).send().await
    {
        assert_eq!(answer.status(), 503);
        assert!(answer.text().await.unwrap().contains("SY0402"));
    }
    assert!(app.server.ended(Duration::from_millis(500)).await.is_none(), "it waits for the stream");
    assert_eq!(app.up.count(), 2, "no new call went upstream");

    gate.open();
    let answer = stream.finish().await;
    assert_eq!(answer.content(), "begun and finished");
    assert!(answer.complete && answer.text().contains("[DONE]"));
    let ended = app.server.ended(Duration::from_secs(5)).await.expect("it ends once the stream has");
    assert_eq!(ended.code(), Some(0));

    app.server.restart().await;
    for entry in app.server.has_entries(2).await {
        charged(&entry, 10, 5);
    }
}

#[tokio::test]
async fn new_calls_get_503_while_draining() {
    let app = app().await;
    let gate = Gate::new();
    app.up.next(chat().text("begun").wait(&gate));
    // One HTTP/2 connection with a stream on it stays open while draining; a second stream on it is refused.
    let mut raw = app.server.raw().await;
    raw.write(request(&app, "/v1/chat/completions", &ask_stream("smart").to_string())).await;
    raw.read_until("begun").await;
    let mut idle = app.server.raw().await;
    let body = ask("smart").to_string();
    let whole = request(&app, "/v1/chat/completions", &body);
    // Half a head is on its way, so the connection is not idle when draining begins.
    idle.write(&whole[..40]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    app.server.terminate();
    tokio::time::sleep(Duration::from_millis(200)).await;
    idle.write(&whole[40..]).await;
    let answer = idle.read_until("SY0402").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("shutting_down"), "{answer}");
    gate.open();
    raw.read_until("[DONE]").await;
}

/// A request whose body is still on its way is in flight: it is waited for as an answer is, and told when no longer.
#[tokio::test]
async fn a_body_that_is_still_arriving_at_sigterm_is_waited_for() {
    let mut app = app().await;
    app.up.on("m", chat().text("in time").usage(10, 5));
    let whole = request(&app, "/v1/chat/completions", &ask("smart").to_string());
    let mut raw = app.server.raw().await;
    raw.write(&whole[..whole.len() - 5]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    app.server.terminate();
    // Longer than connections are given once nothing is in flight.
    assert!(app.server.ended(Duration::from_secs(3)).await.is_none(), "it does not wait for the body");
    assert!(raw.write(&whole[whole.len() - 5..]).await);
    let answer = raw.read_until("total_tokens").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("in time"), "{answer}");
    assert_eq!(app.server.ended(Duration::from_secs(5)).await.and_then(|status| status.code()), Some(0));
    app.server.restart().await;
    charged(&app.server.only_entry().await, 10, 5);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_before_the_end_is_refused_in_its_own_dialect() {
    let mut app = app_with(|config| config.head("[server]\ndrain_timeout = \"1s\"")).await;
    let mut calls = Vec::new();
    for (path, status, word) in [
        ("/v1/chat/completions", 503, "\"code\":\"shutting_down\""),
        ("/v1/messages", 529, "\"overloaded_error\""),
        ("/model/m/converse", 503, "x-amzn-errortype"),
    ] {
        let mut raw = app.server.raw().await;
        let whole = request(&app, path, &ask("smart").to_string());
        raw.write(&whole[..whole.len() - 5]).await;
        calls.push((raw, status, word));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    app.server.terminate();
    for (mut raw, status, word) in calls {
        let (answer, _) = raw.read_to_end(Duration::from_secs(5)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer:?}");
        assert!(
            answer.contains("SY0402") && answer.contains(word) && answer.contains("connection: close"),
            "{answer}"
        );
    }
    assert_eq!(app.server.ended(Duration::from_secs(8)).await.and_then(|status| status.code()), Some(0));
    app.server.restart().await;
    assert_eq!(app.server.settled_entries().await, []);
    assert_eq!(app.up.count(), 0);
}

async fn sigterm_under_load_loses_no_answer_and_no_entry(store: Store) {
    let Some(mut app) = app_on(store).await else { return };
    app.up.on("m", chat().texts((0..20).map(|_| "word ")).pace(Duration::from_millis(30)).usage(10, 20));
    let client = app.server.admin();
    let calls: Vec<_> = (0..60)
        .map(|number| {
            let client = client.clone();
            let body = if number % 4 == 0 { ask("smart") } else { ask_stream("smart") };
            tokio::spawn(async move { client.chat(&body).await })
        })
        .collect();
    app.up.has_requests(60).await;
    assert!(app.server.metrics().await.sum("steelyard_calls_in_flight") > Some(30.0));
    app.server.terminate();
    let mut ids = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        assert!(answer.complete && answer.content().len() == 100, "{answer:?}");
        ids.push(answer.request_id().to_owned());
    }
    assert_eq!(app.server.ended(Duration::from_secs(10)).await.and_then(|status| status.code()), Some(0));
    app.server.restart().await;
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), ids.len());
    for entry in &entries {
        assert!(ids.contains(&entry.request_id));
        charged(entry, 10, 20);
    }
}

#[tokio::test]
async fn draining_has_a_limit() {
    let mut app = app_with(|config| config.head("[server]\ndrain_timeout = \"1s\"")).await;
    app.up.next(chat().text("begun").wait(&Gate::new()));
    let mut stream = app.server.admin().stream(&ask_stream("smart")).await;
    stream.until("begun").await;
    let id = stream.request_id();
    app.server.terminate();
    let begun = Instant::now();
    assert!(app.server.ended(Duration::from_secs(8)).await.is_some(), "it waits for ever");
    assert!(begun.elapsed() >= Duration::from_millis(900), "it did not wait at all");
    let answer = stream.finish().await;
    assert!(!answer.text().contains("[DONE]"), "a cut stream looks complete");
    app.server.restart().await;
    let entry = app.server.only_entry().await;
    assert_eq!(entry.request_id, id);
    assert_ne!(entry.outcome, "ok");
    assert!(entry.pico() > Some(0), "{entry:#?}");
}

#[tokio::test]
async fn sigterm_on_an_idle_server_ends_it_at_once() {
    let mut app = app().await;
    app.server.admin().chat(&ask("smart")).await;
    app.server.terminate();
    let begun = Instant::now();
    let status = app.server.ended(Duration::from_secs(5)).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_server_on_one_data_directory_exits_1() {
    let app = app().await;
    let (config, data) = (app.server.config_path(), app.server.data_dir());
    let run = cli()
        .run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
        ])
        .await;
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains(data.to_str().unwrap()), "it names the directory: {run:#?}");
    let addr = std::fs::read_to_string(data.join("listen.addr")).unwrap();
    assert_eq!(addr.trim(), app.server.addr().to_string(), "it left the first one's files alone");
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200, "the first is unharmed");
}

#[tokio::test]
async fn a_taken_port_and_a_broken_configuration_exit_1_with_the_reason() {
    let app = app().await;
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("steelyard.toml");
    std::fs::write(&config, "").unwrap();
    let data = home.path().join("data");
    let run = |listen: String| {
        let (config, data) = (config.clone(), data.clone());
        async move {
            cli()
                .run(&[
                    "serve",
                    "--listen",
                    &listen,
                    "--config",
                    config.to_str().unwrap(),
                    "--data-dir",
                    data.to_str().unwrap(),
                ])
                .await
        }
    };
    let taken = run(app.server.addr().to_string()).await;
    assert_eq!(taken.code, 1, "{taken:#?}");
    assert!(taken.stderr.contains(&app.server.addr().to_string()), "{taken:#?}");

    std::fs::write(&config, "[server]\n\n\nlissten = \"127.0.0.1:0\"\n").unwrap();
    let broken = run("127.0.0.1:0".to_owned()).await;
    assert_eq!(broken.code, 1, "{broken:#?}");
    for word in ["steelyard.toml", "4", "lissten", "listen"] {
        assert!(broken.stderr.contains(word), "`{word}` is missing: {broken:#?}");
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_database_that_cannot_be_used_is_named_and_its_password_is_not() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let file = home.path().join("steelyard.toml");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let by_file = [&serve[..], &["--config", file.to_str().unwrap()]].concat();
    for (url, named) in [
        ("postgres://sy:hunter2@127.0.0.1:1/books", "`books` at 127.0.0.1:1"),
        ("postgres://sy:hunter2@127.0.0.1:1:1/books", "store.url"),
        ("mysql://sy:hunter2@127.0.0.1/books", "store.url"),
    ] {
        let run = cli().env("STEELYARD_STORE_URL", url).run(&serve).await;
        assert_eq!(run.code, 1, "{run:#?}");
        assert!(run.stderr.contains(named), "{run:#?}");
        std::fs::write(&file, format!("[store]\nurl = \"{url}\"\n")).unwrap();
        let literal = cli().run(&by_file).await;
        let explained = cli().run(&["config", "explain", "--config", file.to_str().unwrap()]).await;
        let checked = cli().run(&["config", "check", file.to_str().unwrap()]).await;
        assert_eq!(literal.code, 1, "{literal:#?}");
        for run in [run, literal, explained, checked] {
            let shown = run.stdout + &run.stderr;
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    let run = cli().env("STEELYARD_STORE_URL", "postgres://x").run(&["config", "explain", "store"]).await;
    assert!(run.stdout.contains("env:STEELYARD_STORE_URL"), "{run:#?}");
}

#[tokio::test]
async fn a_port_is_free_again_at_once_after_a_kill() {
    let mut app = app().await;
    for _ in 0..3 {
        app.server.restart().await;
        assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200);
    }
}

#[tokio::test]
async fn idle_connections_do_not_pile_up_and_memory_stays_flat() {
    let app = app().await;
    let client = app.server.admin();
    let round = |count: usize| {
        let calls = (0..count).map(|number| {
            let client = client.clone();
            let body = if number % 2 == 0 { ask("smart") } else { ask_stream("smart") };
            async move { client.chat(&body).await.status }
        });
        futures_util::future::join_all(calls)
    };
    for _ in 0..5 {
        round(50).await;
    }
    let before = app.server.resident_kib();
    for _ in 0..40 {
        assert!(round(50).await.iter().all(|status| *status == 200));
    }
    app.server.is_quiet().await;
    let grown = app.server.resident_kib().saturating_sub(before);
    assert!(grown < 15 * 1024, "memory grew by {grown} KiB over 2,000 calls");
    app.up.is_idle(64).await;
}

/// The admin key is printed once, at the first start.
#[tokio::test]
async fn the_generated_admin_key_stays_over_restarts() {
    let mut server = Steelyard::start(crate::app::BINARY, &steelyard_testkit::Config::new()).await;
    let key = server.admin_key().to_owned();
    let printed = server.log().matches(&key).count();
    assert!(printed > 0, "it is not shown at the first start: {}", server.log());
    assert!(
        server.log().lines().all(|line| !line.starts_with('{') || !line.contains(&key)),
        "it is in the log proper"
    );
    server.restart().await;
    assert_eq!(server.admin_key(), key);
    assert_eq!(server.log().matches(&key).count(), printed, "it is shown again: {}", server.log());
}
