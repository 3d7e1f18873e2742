use std::time::Duration;

use serde_json::{Value, json};

use super::fault;
use crate::{Client, End, Gate, Upstream, chat, embeddings, sse, status};

mod wires;

fn client(upstream: &Upstream) -> Client {
    Client::new(format!("http://{}", upstream.addr()), Some("k".to_owned()))
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] })
}

fn ask_stream(model: &str) -> Value {
    let mut body = ask(model);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

#[tokio::test]
async fn one_script_answers_whole_and_streamed() {
    let upstream = Upstream::start().await;
    upstream.on("m", chat().text("hel").text("lo").usage(3, 5).cached(2).reasoning(1));
    let client = client(&upstream);

    let whole = client.chat(&ask("m")).await;
    assert_eq!((whole.status, whole.content().as_str(), whole.complete), (200, "hello", true));
    assert_eq!(whole.json()["usage"]["prompt_tokens_details"]["cached_tokens"], 2);

    let streamed = client.chat(&ask_stream("m")).await;
    assert_eq!(streamed.content(), "hello");
    let events = streamed.events();
    assert_eq!(events.len(), 6, "role, two texts, finish, usage, done: {events:?}");
    assert_eq!(events[5], "[DONE]");
    let usage: Value = serde_json::from_str(&events[4]).unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
    assert_eq!(serde_json::from_str::<Value>(&events[1]).unwrap()["usage"], Value::Null);

    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("authorization"), Some("Bearer k"));
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert!(requests[1].wants_stream() && requests[1].wants_usage());
    assert_eq!(upstream.accepted_connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn a_stream_without_the_wish_for_usage_has_none() {
    let upstream = Upstream::start().await;
    let mut body = ask_stream("m");
    body["stream_options"] = Value::Null;
    let events = client(&upstream).chat(&body).await.events();
    assert!(events.iter().all(|event| !event.contains("usage")), "{events:?}");
}

#[tokio::test]
async fn the_queue_comes_first_then_the_model_then_the_rest() {
    let upstream = Upstream::start().await;
    upstream.next(chat().text("queued"));
    upstream.on("m", chat().text("by model"));
    upstream.otherwise(chat().text("otherwise"));
    let client = client(&upstream);
    assert_eq!(client.chat(&ask("m")).await.content(), "queued");
    assert_eq!(client.chat(&ask("m")).await.content(), "by model");
    assert_eq!(client.chat(&ask("x")).await.content(), "otherwise");
}

#[tokio::test]
async fn choices_interleave_and_tools_come_in_pieces() {
    let upstream = Upstream::start().await;
    upstream.next(chat().texts(["a", "b"]).choice().texts(["c", "d"]));
    let client = client(&upstream);
    let events = client.chat(&ask_stream("m")).await.events();
    let spoken: String = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(spoken, "acbd");

    upstream.next(chat().tool("call_1", "f", &json!({ "city": "Lübeck" })).tool("call_2", "g", &json!({})));
    let events = client.chat(&ask_stream("m")).await.events();
    let mut arguments = [String::new(), String::new()];
    let mut names = Vec::new();
    for event in events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok()) {
        let call = &event["choices"][0]["delta"]["tool_calls"][0];
        let Some(index) = call["index"].as_u64() else { continue };
        names.extend(call["function"]["name"].as_str().map(str::to_owned));
        arguments[usize::try_from(index).unwrap()] += call["function"]["arguments"].as_str().unwrap();
    }
    assert_eq!(names, ["f", "g"]);
    assert_eq!(arguments, [r#"{"city":"Lübeck"}"#, "{}"]);

    upstream.next(chat().tool("call_1", "f", &json!({})));
    let whole = client.chat(&ask("m")).await.json();
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(whole["choices"][0]["message"]["content"], Value::Null);
}

#[tokio::test]
async fn logprobs_come_when_asked_for() {
    let upstream = Upstream::start().await;
    let client = client(&upstream);
    let mut body = ask("m");
    assert_eq!(client.chat(&body).await.json()["choices"][0]["logprobs"], Value::Null);
    body["logprobs"] = json!(true);
    let answer = client.chat(&body).await.json();
    assert_eq!(answer["choices"][0]["logprobs"]["content"][0]["token"], "hello");
}

#[tokio::test]
async fn embeddings_come_as_numbers_and_as_base64() {
    let upstream = Upstream::start().await;
    upstream.on("e", embeddings().vector(&[1.0, -2.0]).tokens(4));
    let client = client(&upstream);
    let floats = client.post("/v1/embeddings", &json!({ "model": "e", "input": ["a", "b"] })).await.json();
    assert_eq!(floats["data"][1]["embedding"], json!([1.0, -2.0]));
    assert_eq!(floats["usage"]["prompt_tokens"], 4);
    let body = json!({ "model": "e", "input": [1, 2, 3], "encoding_format": "base64" });
    let encoded = client.post("/v1/embeddings", &body).await.json();
    assert_eq!(encoded["data"].as_array().unwrap().len(), 1, "a token array is one input");
    assert_eq!(encoded["data"][0]["embedding"], "AACAPwAAAMA=");
}

#[tokio::test]
async fn statuses_carry_headers_and_openais_error() {
    let upstream = Upstream::start().await;
    upstream.next(status(429).header("retry-after", "7"));
    let answer = client(&upstream).chat(&ask("m")).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
}

/// Whether any answer came at all, and whether it came whole.
async fn outcome(upstream: &Upstream, body: &Value) -> (Option<u16>, bool) {
    let request = client(upstream).request(reqwest::Method::POST, "/v1/chat/completions").json(body);
    let Ok(Ok(response)) = tokio::time::timeout(Duration::from_millis(300), request.send()).await else {
        return (None, false);
    };
    let status = response.status().as_u16();
    let body = tokio::time::timeout(Duration::from_millis(300), response.bytes()).await;
    (Some(status), matches!(body, Ok(Ok(_))))
}

#[tokio::test]
async fn every_misdeed_looks_like_itself() {
    let upstream = Upstream::start().await;
    let faults = [
        (fault::close_before_head(), None, false),
        (fault::reset_before_head(), None, false),
        (fault::close_in_head(), None, false),
        (fault::hang_before_head(), None, false),
        (fault::garbage(), None, false),
        (fault::close_in_body(), Some(200), false),
        (fault::unterminated("{}"), Some(200), false),
        (fault::hang_in_body(), Some(200), false),
        (fault::html(), Some(200), true),
        (fault::invalid_json(), Some(200), true),
        (chat().text("cut in the middle").cut_after(0, End::Close).into(), Some(200), false),
    ];
    for (reply, status, whole) in faults {
        upstream.next(reply.clone());
        assert_eq!(outcome(&upstream, &ask("m")).await, (status, whole), "{reply:?}");
    }
    let streams = [
        (chat().text("a").cut_after(2, End::Close), false),
        (chat().text("a").cut_after(2, End::Reset), false),
        (chat().text("a").cut_after(2, End::Hang), false),
        (chat().text("a").cut_after(2, End::Whole), true),
        (chat().text("a").without_done(), true),
        (chat().text("a").drip(40, Duration::from_millis(1)).crlf().comment("still here"), true),
    ];
    for (chat, whole) in streams {
        upstream.next(chat.clone());
        assert_eq!(outcome(&upstream, &ask_stream("m")).await, (Some(200), whole), "{chat:?}");
    }
    upstream.is_idle(0).await;
}

#[tokio::test]
async fn events_after_a_cut_never_come() {
    let upstream = Upstream::start().await;
    upstream.next(chat().texts(["a", "b", "c"]).error_after(2, json!({ "error": { "message": "broken" } })));
    let events = client(&upstream).chat(&ask_stream("m")).await.events();
    assert_eq!(events.len(), 3);
    assert!(events[2].contains("broken"));

    upstream.next(sse().data("1").comment("x").data("2").done().end(End::Close));
    let answer = client(&upstream).chat(&ask_stream("m")).await;
    assert_eq!(answer.events(), ["1", "2", "[DONE]"]);
    assert!(!answer.complete);
}

#[tokio::test]
async fn a_gate_holds_the_answer_and_a_caller_who_leaves_is_noticed() {
    let upstream = Upstream::start().await;
    let gate = Gate::new();
    upstream.on("m", chat().text("a").wait(&gate).text("b"));
    let client = client(&upstream);
    let mut stream = client.stream(&ask_stream("m")).await;
    stream.until("a").await;
    assert_eq!(upstream.answering(), 1);
    drop(stream);
    upstream.is_aborted(1).await;
    upstream.is_idle(0).await;

    let mut stream = client.stream(&ask_stream("m")).await;
    stream.until("a").await;
    gate.open();
    stream.until("ab").await;
    assert!(stream.finish().await.complete);
    assert_eq!(upstream.aborted(), 1);
}

#[tokio::test]
async fn refusing_and_deaf_addresses_take_no_connection() {
    let refused = tokio::net::TcpStream::connect(Upstream::refusing().await).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let deaf = Upstream::deaf().await;
    let connecting = tokio::net::TcpStream::connect(deaf.addr());
    assert!(tokio::time::timeout(Duration::from_millis(300), connecting).await.is_err());
}

#[tokio::test]
async fn control_tells_other_processes_what_happened() {
    let upstream = Upstream::start().await;
    let client = client(&upstream);
    client.chat(&ask("m")).await;
    let seen = client.get("/control/requests").await.json();
    assert_eq!(seen[0]["body"]["model"], "m");
    assert_eq!(client.get("/control/state").await.json()["aborted"], 0);
    client.post("/control/reset", &json!({})).await;
    assert_eq!(client.get("/control/requests").await.json(), json!([]));
}
