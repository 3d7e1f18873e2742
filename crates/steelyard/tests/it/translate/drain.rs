//! The limit of draining: what callers and the ledger are told of calls that Steelyard itself cut.

use std::time::Duration;

use serde_json::json;
use steelyard_testkit::{Answer, Gate, Steelyard, Wire, chat, fault};

use super::read::read;
use super::{Mode, Pair, World, hi, world_with};
use crate::app::{App, app_with, ask, ask_stream, broke_off, refused};

const LIMIT: &str = "[server]\ndrain_timeout = \"1s\"";

/// Shuts the server down, past the limit, and starts it again.
async fn passes_the_limit(server: &mut Steelyard, limit: Duration) {
    server.terminate();
    assert!(server.ended(limit).await.is_some(), "it waits for ever");
}

async fn was_cut(server: &Steelyard, id: &str, output: bool) {
    let entry = server.entry(id).await;
    assert_eq!(entry.outcome, "shutdown", "{entry:#?}");
    assert_eq!(entry.basis.as_deref(), Some("counted"), "{entry:#?}");
    assert_eq!(entry.statuses().last(), Some(&"cut"), "{entry:#?}");
    assert!(entry.used("input") > 0, "{entry:#?}");
    assert_eq!(entry.used("output") > 0, output, "what had passed is charged: {entry:#?}");
}

/// What is read along until the server has cut it.
async fn cut(app: &mut App, call: impl Future<Output = Answer> + Send + 'static, requests: usize) -> Answer {
    let call = tokio::spawn(call);
    app.up.has_requests(requests).await;
    passes_the_limit(&mut app.server, Duration::from_secs(8)).await;
    call.await.unwrap()
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_of_the_callers_dialect() {
    for client in Wire::ALL {
        let mut world: World = world_with(|config| config.head(LIMIT)).await;
        let mut streams = Vec::new();
        for vendor in Wire::ALL {
            world.vendor(vendor).next(chat().text("some words").wait(&Gate::new()).text("never"));
            let pair = Pair { client, vendor, mode: Mode::Streamed };
            let mut stream = world.open(pair, &hi(client), &[]).await;
            stream.until_bytes("some words").await;
            streams.push((pair, stream));
        }
        passes_the_limit(&mut world.server, Duration::from_secs(8)).await;
        let mut ids = Vec::new();
        for (pair, stream) in streams {
            let answer = stream.finish().await;
            assert!(answer.complete, "{pair:?}: the connection is not broken off: {}", answer.text());
            let said = read(pair, &answer);
            let error = said.error.unwrap_or_else(|| panic!("{pair:?}: {}", answer.text())).to_string();
            let word = match client {
                Wire::OpenAi => "server_error",
                Wire::Anthropic => "overloaded_error",
                Wire::Bedrock => "serviceUnavailableException",
                Wire::Gemini => "UNAVAILABLE",
            };
            for word in [word, "SY0402", "shut"] {
                assert!(error.contains(word), "{pair:?}: {error}");
            }
            ids.push(answer.request_id().to_owned());
        }
        world.server.restart().await;
        for id in ids {
            was_cut(&world.server, &id, true).await;
        }
    }
}

#[tokio::test]
async fn a_whole_call_that_is_cut_is_told_to_come_again() {
    for (lines, reply) in [
        ("", fault::hang_before_head()),
        ("", fault::hang_in_body()),
        ("on_disconnect = \"drain\"", fault::hang_before_head()),
    ] {
        let mut app = app_with(|config| config.head(LIMIT).route("other", &["up/m"], lines)).await;
        app.up.otherwise(reply);
        let client = app.server.admin();
        let answer = cut(&mut app, async move { client.chat(&ask("other")).await }, 1).await;
        refused(&answer, 503, "SY0402");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        app.server.restart().await;
        was_cut(&app.server, answer.request_id(), false).await;
    }
}

#[tokio::test]
async fn a_stream_that_has_not_begun_is_cut_like_a_whole_call() {
    let mut app = app_with(|config| config.head(LIMIT)).await;
    app.up.otherwise(chat().late(Duration::from_mins(1)).text("never"));
    let client = app.server.admin();
    let answer = cut(&mut app, async move { client.chat(&ask_stream("smart")).await }, 1).await;
    refused(&answer, 503, "SY0402");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_on_is_charged_for_what_passed_when_it_is_cut() {
    let drains = "on_disconnect = \"drain\"";
    let mut app = app_with(|config| config.head(LIMIT).route("other", &["up/m"], drains)).await;
    app.up.next(chat().texts(["some ", "words"]).wait(&Gate::new()).text("never"));
    let mut stream = app.server.admin().stream(&ask_stream("other")).await;
    stream.until("some words").await;
    let id = stream.request_id();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    passes_the_limit(&mut app.server, Duration::from_secs(8)).await;
    app.server.restart().await;
    let entry = app.server.entry(&id).await;
    assert_eq!(entry.outcome, "client_gone", "{entry:#?}");
    assert!(entry.used("output") > 0, "{entry:#?}");
}

#[tokio::test]
async fn a_stream_over_http2_is_cut_with_an_error_too() {
    let mut app = app_with(|config| config.head(LIMIT)).await;
    app.up.next(chat().text("some words").wait(&Gate::new()));
    let client = app.server.admin().over_http2();
    let answer = cut(&mut app, async move { client.chat(&ask_stream("smart")).await }, 1).await;
    assert_eq!(answer.content(), "some words");
    broke_off(&answer, "SY0402");
}

#[tokio::test]
async fn gemini_clients_get_the_error_in_their_shape() {
    for operation in ["streamGenerateContent?alt=sse", "streamGenerateContent"] {
        let mut app = app_with(|config| config.head(LIMIT)).await;
        app.up.next(chat().text("some words").wait(&Gate::new()));
        let client = app.server.admin();
        let path = format!("/v1beta/models/smart:{operation}");
        let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
        let answer = cut(&mut app, async move { client.post(&path, &body).await }, 1).await;
        let last = if operation.ends_with("sse") {
            serde_json::from_str(answer.events().last().unwrap()).unwrap()
        } else {
            answer.json().as_array().unwrap().last().unwrap().clone()
        };
        assert_eq!(last["error"]["status"], "UNAVAILABLE", "{}", answer.text());
        assert!(last.to_string().contains("SY0402"), "{last}");
    }
}
