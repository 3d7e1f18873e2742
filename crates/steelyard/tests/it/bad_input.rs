//! Requests that are wrong.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use steelyard_testkit::Answer;

use crate::app::{App, app, app_with, ask, refused};

async fn post(app: &App, body: impl Into<reqwest::Body>) -> Answer {
    app.server.admin().post_bytes("/v1/chat/completions", body).await
}

/// Nothing went upstream, nothing was booked, and the next call is served.
async fn unharmed(app: &App) {
    assert_eq!(app.up.count(), 0, "a wrong request went upstream");
    assert_eq!(app.server.settled_entries().await, [], "a wrong request was booked");
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200);
    assert!(!app.server.log().contains("panicked"), "{}", app.server.log());
}

#[tokio::test]
async fn malformed_and_truncated_json() {
    let app = app().await;
    let whole = ask("smart").to_string();
    for cut in 0..whole.len() {
        let answer = post(&app, whole[..cut].to_owned()).await;
        refused(&answer, 400, "SY0001");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    for body in [
        "hello",
        "{\"model\":\"smart\",}",
        "{'model':'smart'}",
        "{\"model\":\"smart\"} x",
        "{\"model\":\"smart\"}{}",
        "{\"model\":\"sma\nrt\"}",
        "{\"model\":\"smart\",\"messages\":[01]}",
        "{\"model\":\"smart\",\"x\":NaN}",
        "\u{feff}{\"model\":\"smart\"}",
    ] {
        refused(&post(&app, body).await, 400, "SY0001");
    }
    unharmed(&app).await;
}

#[tokio::test]
async fn json_that_is_no_request() {
    let app = app().await;
    for (body, param) in [
        ("[]", None),
        ("\"smart\"", None),
        ("null", None),
        ("7", None),
        ("{}", Some("model")),
        (r#"{"messages":[]}"#, Some("model")),
        (r#"{"model":null,"messages":[]}"#, Some("model")),
        (r#"{"model":7,"messages":[]}"#, Some("model")),
        (r#"{"model":["smart"],"messages":[]}"#, Some("model")),
        (r#"{"model":"smart","stream":"yes","messages":[]}"#, Some("stream")),
    ] {
        let answer = post(&app, body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        crate::app::is_openai_error(&answer.json()["error"]);
        if let Some(param) = param {
            let error = answer.json()["error"].clone();
            assert!(
                error["param"] == param || error["message"].as_str().unwrap().contains(param),
                "{body}: {error}"
            );
        }
    }
    unharmed(&app).await;
}

#[tokio::test]
async fn a_duplicate_model_key_smuggles_nothing() {
    let app = app().await;
    for body in [
        r#"{"model":"smart","messages":[],"model":"up/other"}"#,
        r#"{"model":"smart","messages":[],"model":"smart"}"#,
        r#"{"model":"smart","messages":[],"mod\u0065l":"up/other"}"#,
        r#"{"model":"smart","stream":false,"messages":[],"stream":true}"#,
    ] {
        let answer = post(&app, body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    unharmed(&app).await;
}

#[tokio::test]
async fn invalid_utf8_and_strange_strings() {
    let app = app().await;
    refused(&post(&app, &b"{\"model\":\"\xff\",\"messages\":[]}"[..]).await, 400, "SY0001");
    refused(&post(&app, &b"{\"model\":\"smart\",\"messages\":[\"\xc3\x28\"]}"[..]).await, 400, "SY0001");
    let lone = post(&app, r#"{"model":"\ud800","messages":[]}"#).await;
    assert!([400, 404].contains(&lone.status), "{lone:?}");
    unharmed(&app).await;
}

#[tokio::test]
async fn deep_nesting_does_not_overflow_the_stack() {
    let app = app().await;
    for depth in [1_000, 200_000] {
        let body = format!(r#"{{"model":"smart","messages":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let answer = post(&app, body).await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
        let open = format!(r#"{{"model":"smart","messages":{}"#, "[".repeat(depth));
        assert_eq!(post(&app, open).await.status, 400);
    }
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200, "it is alive");
}

#[tokio::test]
async fn a_wrong_content_type_is_named_and_none_at_all_is_taken() {
    let app = app().await;
    let client = app.server.admin();
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = client.request(Method::POST, "/v1/chat/completions").header("content-type", wrong);
        let answer = client.send(request.body(ask("smart").to_string())).await;
        refused(&answer, 415, "SY0005");
        assert!(answer.text().contains(wrong.split(';').next().unwrap()), "{answer:?}");
    }
    unharmed(&app).await;
    for good in ["application/json; charset=utf-8", "Application/JSON"] {
        let request = client.request(Method::POST, "/v1/chat/completions").header("content-type", good);
        assert_eq!(client.send(request.body(ask("smart").to_string())).await.status, 200, "{good}");
    }
    let request = client.request(Method::POST, "/v1/chat/completions").body(ask("smart").to_string());
    assert_eq!(client.send(request).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let app = app().await;
    let client = app.server.admin();
    for path in [
        "/",
        "/v1",
        "/v1/completions/nope",
        "/v2/chat/completions",
        "/v1/chat/completions/",
        "/api/v1/nope",
        "/%2e%2e/etc/passwd",
    ] {
        let answer = client.post(path, &json!({})).await;
        assert!([404, 405].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.is_empty(), "{path}");
    }
    refused(&client.get("/v1/nope").await, 404, "SY0007");
    refused(&client.get("/v1/chat/completions").await, 405, "SY0008");
    let head = client.send(client.request(Method::HEAD, "/")).await;
    assert!(head.status >= 200, "{head:?}");
    unharmed(&app).await;
}

#[tokio::test]
async fn bytes_that_are_not_http() {
    let app = app().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let mut raw = app.server.raw().await;
        raw.write(bytes).await;
        raw.finish_writing().await;
        let (answer, closed) = raw.read_to_end(Duration::from_secs(5)).await;
        assert!(closed, "the connection stays open after {}", String::from_utf8_lossy(bytes));
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    unharmed(&app).await;
}

#[tokio::test]
async fn headers_that_never_end_or_are_too_many() {
    let app = app_with(|config| config.head("[server]\nheader_timeout = \"1s\"")).await;
    let mut raw = app.server.raw().await;
    raw.write("GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    for number in 0..4096 {
        if !raw.write(format!("x-{number}: {}\r\n", "y".repeat(1000))).await {
            break;
        }
    }
    // How much the kernel still takes after the refusal says nothing; the refusal does.
    let (answer, closed) = raw.read_to_end(Duration::from_secs(5)).await;
    assert!(closed, "four megabytes of headers are taken and more awaited");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));

    let mut slow = app.server.raw().await;
    slow.write("GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    let (_, closed) = slow.read_to_end(Duration::from_secs(5)).await;
    assert!(closed, "a head that does not end holds a connection for ever");
    unharmed(&app).await;
}

#[tokio::test]
async fn the_sandbox_names_what_it_cannot_use() {
    let app = app_with(steelyard_testkit::Config::sandbox).await;
    let client = app.server.admin();
    for (name, change) in [
        ("messages of the wrong type", json!({ "messages": "hi" })),
        ("a message without role", json!({ "messages": [{ "content": "hi" }] })),
        ("an unknown role", json!({ "messages": [{ "role": "wizard", "content": "hi" }] })),
        (
            "broken base64",
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,@@@" } }] }] }),
        ),
        (
            "a tool result without its call",
            json!({ "messages": [{ "role": "tool", "tool_call_id": "call_9", "content": "x" }] }),
        ),
        ("an unknown part", json!({ "messages": [{ "role": "user", "content": [{ "type": "hologram" }] }] })),
        (
            "a tool choice without that tool",
            json!({ "tool_choice": { "type": "function", "function": { "name": "nope" } } }),
        ),
        ("n of zero", json!({ "n": 0 })),
        ("temperature as text", json!({ "temperature": "hot" })),
    ] {
        let mut body = ask("sandbox");
        for (field, value) in change.as_object().unwrap() {
            body[field] = value.clone();
        }
        let answer = client.chat(&body).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        crate::app::is_openai_error(&answer.json()["error"]);
    }
    let entries = app.server.settled_entries().await;
    assert!(entries.iter().all(|entry| entry.pico().is_none_or(|pico| pico == 0)), "{entries:#?}");
}
