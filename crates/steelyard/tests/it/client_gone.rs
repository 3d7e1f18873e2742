//! Clients that hang up, at every stage.

use std::time::Duration;

use serde_json::Value;
use steelyard_testkit::{Entry, Gate, Step, chat, fault};

use crate::app::{App, app_with, ask, ask_stream};

/// Route `cut` cancels upstream, route `drain` reads on.
async fn app() -> App {
    app_with(|config| {
        config.route("cut", &["up/m"], "retries = 0\non_disconnect = \"cut\"").route(
            "drain",
            &["up/m"],
            "retries = 0\non_disconnect = \"drain\"",
        )
    })
    .await
}

/// A request on a connection that can be broken in every way.
async fn send(app: &App, body: &Value) -> steelyard_testkit::Raw {
    let mut raw = app.server.raw().await;
    let text = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        app.server.admin_key(),
        text.len()
    );
    assert!(raw.write(head + &text).await);
    raw
}

#[track_caller]
fn counted(entry: &Entry) {
    assert_eq!(
        (entry.outcome.as_str(), entry.basis.as_deref()),
        ("client_gone", Some("counted")),
        "{entry:#?}"
    );
    assert_eq!(entry.statuses(), ["client_gone"]);
    let pico = i128::from(entry.used("input")) * 1_000_000 + i128::from(entry.used("output")) * 2_000_000;
    assert!(entry.used("input") > 0 && entry.pico() == Some(pico), "{entry:#?}");
}

#[track_caller]
fn reported(entry: &Entry, input: u64, output: u64) {
    assert_eq!(
        (entry.outcome.as_str(), entry.basis.as_deref()),
        ("client_gone", Some("reported")),
        "{entry:#?}"
    );
    assert_eq!((entry.used("input"), entry.used("output")), (input, output), "{entry:#?}");
    assert_eq!(entry.pico(), Some(i128::from(input) * 1_000_000 + i128::from(output) * 2_000_000));
}

#[tokio::test]
async fn cut_before_the_vendor_has_answered() {
    for stream in [false, true] {
        for reset in [false, true] {
            let app = app().await;
            app.up.next(fault::hang_before_head());
            let raw = send(&app, &if stream { ask_stream("cut") } else { ask("cut") }).await;
            app.up.has_requests(1).await;
            if reset {
                raw.reset();
            } else {
                drop(raw);
            }
            app.up.is_aborted(1).await;
            let entry = app.only_entry().await;
            counted(&entry);
            assert_eq!(entry.used("output"), 0, "nothing passed: {entry:#?}");
        }
    }
}

#[tokio::test]
async fn cut_while_the_vendor_says_why_it_refuses() {
    let app = app().await;
    app.up.next(fault::hang_after(429, r#"{"error":{"mess"#));
    let raw = send(&app, &ask("cut")).await;
    app.up.has_requests(1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(raw);
    app.up.is_aborted(1).await;
    let entry = app.only_entry().await;
    assert_eq!((entry.outcome.as_str(), entry.statuses()), ("client_gone", vec!["http_error"]), "{entry:#?}");
    assert_eq!(entry.pico(), Some(0), "a refusal is free: {entry:#?}");
}

#[tokio::test]
async fn cut_in_the_middle_of_a_stream() {
    let app = app().await;
    app.up.next(chat().texts(["some ", "words ", "passed"]).wait(&Gate::new()).text("never"));
    let mut raw = send(&app, &ask_stream("cut")).await;
    raw.read_until("passed").await;
    drop(raw);
    app.up.is_aborted(1).await;
    let entry = app.only_entry().await;
    counted(&entry);
    assert!((1..=20).contains(&entry.used("output")), "{entry:#?}");
}

#[tokio::test]
async fn cut_while_the_vendor_sends_a_whole_answer() {
    let app = app().await;
    app.up.next(fault::hang_in_body());
    let raw = send(&app, &ask("cut")).await;
    app.up.has_requests(1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(raw);
    app.up.is_aborted(1).await;
    counted(&app.only_entry().await);
}

#[tokio::test]
async fn drain_before_the_vendor_has_answered() {
    for stream in [false, true] {
        let app = app().await;
        let gate = Gate::new();
        app.up.next(chat().late_until(&gate).text("unheard").usage(10, 4));
        let raw = send(&app, &if stream { ask_stream("drain") } else { ask("drain") }).await;
        app.up.has_requests(1).await;
        drop(raw);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((app.up.aborted(), app.up.answering()), (0, 1), "the vendor is listened to");
        gate.open();
        let entry = app.only_entry().await;
        reported(&entry, 10, 4);
        assert_eq!(app.up.aborted(), 0);
    }
}

#[tokio::test]
async fn drain_in_the_middle_of_a_stream() {
    let app = app().await;
    let gate = Gate::new();
    app.up.next(chat().text("heard").wait(&gate).text("unheard").usage(10, 4));
    let mut raw = send(&app, &ask_stream("drain")).await;
    raw.read_until("heard").await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(app.up.aborted(), 0);
    gate.open();
    reported(&app.only_entry().await, 10, 4);
}

#[tokio::test]
async fn drain_of_a_stream_that_then_fails_counts_what_passed() {
    let app = app().await;
    let gate = Gate::new();
    let cut = chat().text("heard").wait(&gate).cut_after(2, steelyard_testkit::End::Reset);
    app.up.next(cut);
    let mut raw = send(&app, &ask_stream("drain")).await;
    raw.read_until("heard").await;
    drop(raw);
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    counted(&app.only_entry().await);
}

#[tokio::test]
async fn gone_while_sending_the_request_costs_nothing() {
    let app = app().await;
    for part in ["POST /v1/chat/comp", "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-le"] {
        let mut raw = app.server.raw().await;
        raw.write(part).await;
        drop(raw);
    }
    let mut raw = app.server.raw().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 500\r\n\r\n{{\"model\":\"cut\"",
        app.server.admin_key()
    );
    raw.write(head).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    raw.reset();
    assert_eq!(app.server.settled_entries().await, []);
    assert_eq!(app.up.count(), 0);
}

#[tokio::test]
async fn gone_after_the_last_byte_is_an_ordinary_end() {
    let app = app().await;
    for body in [ask("cut"), ask_stream("cut")] {
        let mut raw = send(&app, &body).await;
        let end = if body["stream"] == true { "[DONE]" } else { "total_tokens" };
        raw.read_until(end).await;
        raw.reset();
    }
    for entry in app.server.has_entries(2).await {
        crate::app::charged(&entry, 10, 5);
    }
}

#[tokio::test]
async fn a_client_that_shuts_its_sending_half_gets_its_answer_or_a_clear_cut() {
    for body in [ask("cut"), ask_stream("cut")] {
        let app = app().await;
        let gate = Gate::new();
        app.up.next(chat().text("he").wait(&gate).text("llo").usage(10, 5));
        let mut raw = send(&app, &body).await;
        app.up.has_requests(1).await;
        raw.finish_writing().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
        let (bytes, _) = raw.read_to_end(Duration::from_secs(2)).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let entry = app.only_entry().await;
        if entry.outcome == "client_gone" {
            // A half close may be taken for a hang-up; then the answer must not look complete.
            assert!(!text.contains("[DONE]") && !text.contains("total_tokens"), "{text}");
        } else {
            crate::app::charged(&entry, 10, 5);
            assert!(text.contains("[DONE]") || text.contains("total_tokens"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_hold_the_bill() {
    let app = app().await;
    // More than the buffers of four sockets can take: 192 MB, of one and the same event.
    let event = format!(
        "data: {{\"id\":\"1\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"finish_reason\":null}}]}}\n\n",
        "x".repeat(64 * 1024)
    );
    let chunk = Step::write(format!("{:x}\r\n{event}\r\n", event.len()));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut steps = vec![Step::write(head)];
    steps.extend(std::iter::repeat_n(chunk, 3000));
    app.up.next(steps);
    let mut raw = send(&app, &ask_stream("cut")).await;
    raw.read_until("xxxx").await;
    // The socket's buffers fill, the server waits; then the client is gone for good.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        app.server.resident_kib() < 100 * 1024,
        "{} KiB are buffered for a client that does not read",
        app.server.resident_kib()
    );
    raw.reset();
    app.up.is_aborted(1).await;
    counted(&app.only_entry().await);
}

#[tokio::test]
async fn a_hundred_clients_gone_at_all_moments_leave_their_entries_and_nothing_else() {
    let app = app().await;
    app.up.on("m", chat().texts((0..20).map(|_| "word ")).pace(Duration::from_millis(10)).usage(10, 20));
    let calls = (0..100_u64).map(|number| {
        let app = &app;
        async move {
            let route = if number % 2 == 0 { "cut" } else { "drain" };
            let body = if number % 3 == 0 { ask(route) } else { ask_stream(route) };
            let raw = send(app, &body).await;
            // Half of them stay until so many have arrived: a busy machine may take longer than others wait.
            if number % 4 < 2 {
                app.up.has_requests(50).await;
            }
            // Spread evenly over the life of the answer, the same in every run.
            tokio::time::sleep(Duration::from_millis(20 + number * 37 % 300)).await;
            if number % 5 == 0 { raw.reset() } else { drop(raw) }
        }
    });
    futures_util::future::join_all(calls).await;
    let entries = app.server.settled_entries().await;
    // Who left before the request was read made no call; who left between intent and dispatch sent none.
    let sent = app.up.count();
    assert!(
        (50..=100).contains(&sent) && (sent..=100).contains(&entries.len()),
        "{sent} sent, {} booked",
        entries.len()
    );
    for entry in &entries {
        assert!(["ok", "client_gone"].contains(&entry.outcome.as_str()), "{entry:#?}");
        let pico = i128::from(entry.used("input")) * 1_000_000 + i128::from(entry.used("output")) * 2_000_000;
        assert_eq!(entry.pico(), Some(pico), "{entry:#?}");
        if entry.route == "drain" {
            assert_eq!(entry.basis.as_deref(), Some("reported"), "{entry:#?}");
        }
    }
    // HTTP/1.1 has no other way to cancel than closing, so only drained connections are kept.
    app.up.is_idle(100).await;
    assert_eq!(app.server.admin().chat(&ask("cut")).await.status, 200);
}
