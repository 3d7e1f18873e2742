//! `POST /model/{id}/invoke` and `…/invoke-with-response-stream` with Anthropic's bodies, as Anthropic's Bedrock clients
//! send them, before vendors of every wire.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use steelyard_dialect::event_stream::Frames;
use steelyard_testkit::{Answer, Client, Config, End, Gate, Reply, Steelyard, Upstream, chat, status};

use crate::app::{App, app, app_with, charged, serve};

const WHOLE: &str = "/model/smart/invoke";
const STREAM: &str = "/model/smart/invoke-with-response-stream";

fn ask() -> Value {
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hi" }],
    })
}

/// One frame: the event of a chunk, or the name and the payload of an exception.
#[derive(Debug, PartialEq)]
enum Sent {
    Event(Value),
    Exception(String, Value),
}

fn frames(body: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut frames = Frames::default();
    frames
        .push(body, |frame| {
            let payload: Value = serde_json::from_slice(frame.payload).unwrap();
            sent.push(match frame.header(":message-type").unwrap() {
                "event" => {
                    assert_eq!(frame.header(":event-type"), Some("chunk"));
                    let event = STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
                    Sent::Event(serde_json::from_slice(&event).unwrap())
                }
                _ => Sent::Exception(frame.header(":exception-type").unwrap().to_owned(), payload),
            });
            Ok(())
        })
        .unwrap();
    assert!(!frames.is_mid_frame(), "half a frame");
    sent
}

/// The events of a stream that came to its end, and the text that they make.
#[track_caller]
fn streamed(answer: &Answer) -> (Vec<Value>, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/vnd.amazon.eventstream"));
    assert_eq!(answer.header("x-amzn-bedrock-content-type"), Some("application/json"));
    let events: Vec<Value> = frames(&answer.body)
        .into_iter()
        .map(|sent| match sent {
            Sent::Event(event) => event,
            Sent::Exception(name, payload) => panic!("{name}: {payload}"),
        })
        .collect();
    assert_eq!(events.first().unwrap()["type"], "message_start");
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    let text = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    (events, text)
}

/// The answer is an error in Bedrock's shape.
#[track_caller]
fn refused(answer: &Answer, status: u16, name: &str, code: &str) -> String {
    assert_eq!((answer.status, answer.header("x-amzn-errortype")), (status, Some(name)), "{answer:?}");
    assert!(answer.header("x-amzn-requestid").is_some());
    let body = answer.json();
    assert_eq!(body["steelyard"]["code"], code, "{body}");
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_is_anthropics_message_with_bedrocks_figures_in_its_head() {
    let app = app().await;
    app.up.next(chat().text("Good day.").usage(12, 4));
    let answer = app.server.admin().post(WHOLE, &ask()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["type"], "message");
    assert_eq!(body["model"], "smart");
    assert_eq!(body["content"], json!([{ "type": "text", "text": "Good day." }]));
    assert_eq!(body["stop_reason"], "end_turn");
    assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["output_tokens"]), (&json!(12), &json!(4)));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-amzn-bedrock-input-token-count"), Some("12"));
    assert_eq!(answer.header("x-amzn-bedrock-output-token-count"), Some("4"));
    assert!(answer.header("x-amzn-bedrock-invocation-latency").is_some_and(|ms| ms.parse::<u64>().is_ok()));
    assert!(answer.header("x-amzn-requestid").is_some_and(|id| id.len() == 36));

    let sent = app.up.only_request();
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!((&sent.json()["model"], sent.wants_stream()), (&json!("m"), false));
    let entry = app.only_entry().await;
    charged(&entry, 12, 4);
    assert_eq!((entry.dialect.as_str(), entry.route.as_str()), ("bedrock_invoke_anthropic", "smart"));
    assert_eq!(entry.request_id, answer.request_id());
}

#[tokio::test]
async fn a_stream_is_anthropics_events_in_chunks_and_the_last_has_the_figures() {
    let app = app().await;
    app.up.next(chat().texts(["Good ", "day."]).usage(12, 4));
    let answer = app.server.admin().post(STREAM, &ask()).await;
    let (events, text) = streamed(&answer);
    assert_eq!(text, "Good day.");
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let metrics = &events.last().unwrap()["amazon-bedrock-invocationMetrics"];
    assert_eq!((&metrics["inputTokenCount"], &metrics["outputTokenCount"]), (&json!(12), &json!(4)));
    let [first, all] = ["firstByteLatency", "invocationLatency"].map(|name| metrics[name].as_u64().unwrap());
    assert!(first <= all, "{metrics}");
    assert!(app.up.only_request().wants_stream());
    let entry = app.only_entry().await;
    charged(&entry, 12, 4);
    assert_eq!(entry.dialect, "bedrock_invoke_anthropic");
}

#[tokio::test]
async fn tools_go_there_and_back() {
    let app = app().await;
    let mut body = ask();
    body["tools"] = json!([{ "name": "look", "input_schema": { "type": "object", "properties": { "at": { "type": "string" } } } }]);
    body["messages"] = json!([
        { "role": "user", "content": "look" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "look", "input": { "at": "x" } }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "y" }] },
    ]);
    for path in [WHOLE, STREAM] {
        app.up.next(chat().tool("call_1", "look", &json!({ "at": "z" })).usage(12, 4));
        let answer = app.server.admin().post(path, &body).await;
        if path == WHOLE {
            let message = answer.json();
            assert_eq!(message["stop_reason"], "tool_use", "{message}");
            assert_eq!(message["content"][0]["input"], json!({ "at": "z" }));
        } else {
            let (events, _) = streamed(&answer);
            let start = events.iter().find(|event| event["type"] == "content_block_start").unwrap();
            assert_eq!(start["content_block"]["name"], "look");
            let input: String =
                events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
            assert_eq!(input, r#"{"at":"z"}"#);
            assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
        }
        let sent = app.up.last_request().json();
        assert_eq!(sent["messages"][2]["role"], "tool");
        assert_eq!(sent["tools"][0]["function"]["name"], "look");
    }
}

#[tokio::test]
async fn the_sandbox_answers_too() {
    let app = app_with(Config::sandbox).await;
    let client = app.server.admin();
    let answer = client.post("/model/sandbox%2Fsandbox/invoke", &ask()).await;
    assert!(answer.json()["content"][0]["text"].as_str().unwrap().contains("sandbox"), "{answer:?}");
    let answer = client.post("/bedrock/model/sandbox/sandbox/invoke-with-response-stream", &ask()).await;
    assert!(streamed(&answer).1.contains("sandbox"));
}

#[tokio::test]
async fn what_is_not_served_is_said_in_bedrocks_words() {
    let app = app().await;
    let client = app.server.admin();
    let invalid = "ValidationException";
    for path in [WHOLE, STREAM] {
        for body in [
            json!({ "inputText": "hi" }),
            json!({ "schemaVersion": "messages-v1", "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] }),
            json!({ "prompt": "hi", "max_gen_len": 5 }),
        ] {
            let said = refused(&client.post(path, &body).await, 400, invalid, "SY0003");
            assert!(said.contains("anthropic_version") && said.contains("converse"), "{said}");
        }
        let mut body = ask();
        body["stream"] = json!(true);
        let said = refused(&client.post(path, &body).await, 400, invalid, "SY0002");
        assert!(said.contains("`stream`"), "{said}");
        let mut body = ask();
        body.as_object_mut().unwrap().remove("max_tokens");
        assert!(refused(&client.post(path, &body).await, 400, invalid, "SY0003").contains("max_tokens"));
        let request = client
            .request(Method::POST, path)
            .json(&ask())
            .header("x-amzn-bedrock-guardrailidentifier", "abc123");
        let said = refused(&client.send(request).await, 400, invalid, "SY0203");
        assert!(said.contains("guardrail"), "{said}");
    }
    let unknown = client.post("/model/nowhere/invoke", &ask()).await;
    refused(&unknown, 404, "ResourceNotFoundException", "SY0201");
    let later = client.post("/model/smart/count-tokens", &ask()).await;
    assert!(refused(&later, 404, "UnknownOperationException", "SY0007").contains("not served yet"));
    let stranger = app.server.stranger().post(WHOLE, &ask()).await;
    refused(&stranger, 403, "MissingAuthenticationTokenException", "SY0101");
    assert_eq!(app.up.count(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_vendors_refusal_is_told_and_a_stream_that_breaks_off_ends_with_an_exception() {
    let app = app().await;
    let client = app.server.admin();
    app.up.next(status(400).message("too many legs"));
    let said = refused(&client.post(WHOLE, &ask()).await, 400, "ValidationException", "SY0308");
    assert!(said.contains("too many legs"), "{said}");
    app.up.next(status(429));
    refused(&client.post(STREAM, &ask()).await, 429, "ThrottlingException", "SY0307");

    let error = json!({ "error": { "message": "the engine failed", "type": "server_error" } });
    for (reply, code) in [
        (chat().texts(["one ", "two "]).error_after(3, error), "SY0304"),
        (chat().texts(["one ", "two "]).cut_after(3, End::Close), "SY0306"),
    ] {
        app.up.next(reply);
        let answer = client.post(STREAM, &ask()).await;
        let sent = frames(&answer.body);
        let stops = |sent: &Sent| matches!(sent, Sent::Event(event) if event["type"] == "message_stop");
        assert!(!sent.iter().any(stops), "a broken stream looks complete: {sent:?}");
        let Some(Sent::Exception(name, payload)) = sent.last() else { panic!("no exception: {sent:?}") };
        assert_eq!(name, "modelStreamErrorException");
        assert_eq!(payload["steelyard"]["code"], code, "{payload}");
        let entry = app.server.entry(answer.request_id()).await;
        assert_eq!((entry.outcome.as_str(), entry.basis.as_deref()), ("upstream_error", Some("counted")));
    }
}

#[tokio::test]
async fn the_last_frame_waits_for_the_ledger() {
    let app = app().await;
    let client = app.server.admin();
    let gate = Gate::new();
    app.up.otherwise(chat().text("begun").wait(&gate).text("end").usage(10, 5));
    let stream = client.open(client.request(Method::POST, STREAM).json(&ask())).await;
    let id = stream.request_id();
    app.up.has_requests(1).await;
    app.server.limit_file_size(Some(100));
    gate.open();
    let sent = frames(&stream.finish().await.body);
    let Some(Sent::Exception(name, payload)) = sent.last() else { panic!("no exception: {sent:?}") };
    assert_eq!(
        (name.as_str(), &payload["steelyard"]["code"]),
        ("serviceUnavailableException", &json!("SY0401"))
    );
    assert!(!sent.iter().any(|sent| matches!(sent, Sent::Event(event) if event["type"] == "message_stop")));
    app.server.limit_file_size(None);
    charged(&app.server.entry(&id).await, 10, 5);
}

/// Signs as AWS's clients do: the path as it is written, encoded once more.
fn signed(app: &App, id: &str, secret: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
    let body = body.to_string();
    let identity = Credentials::new(id, secret, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let url = app.server.url(path);
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let signable =
        SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
    let mut request = app.server.stranger().request(Method::POST, path).body(body);
    for (name, value) in headers.into_iter().chain(instructions.headers()) {
        request = request.header(name, value);
    }
    request
}

#[tokio::test]
async fn a_signed_request_is_served_and_a_wrong_signature_is_not() {
    let app = app().await;
    let made = app.server.admin().post("/api/v1/keys", &json!({ "name": "aws", "aws": true })).await.json();
    let [id, secret] =
        ["aws_access_key_id", "aws_secret_access_key"].map(|name| made[name].as_str().unwrap());
    let client: Client = app.server.stranger();
    for path in ["/model/up%2Fm/invoke", "/model/up/m/invoke-with-response-stream"] {
        app.up.next(chat().text("Good day.").usage(12, 4));
        let answer = client.send(signed(&app, id, secret, path, &ask())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let entry = app.server.entry(answer.request_id()).await;
        assert_eq!((entry.principal.as_str(), entry.dialect.as_str()), ("aws", "bedrock_invoke_anthropic"));
        let wrong = client.send(signed(&app, id, "another", path, &ask())).await;
        refused(&wrong, 403, "InvalidSignatureException", "SY0106");
    }
}

/// A server before one channel of a provider.
async fn before(provider: &str, more: &str) -> (Steelyard, Upstream) {
    let up = Upstream::start().await;
    let config = Config::new().toml(&format!(
        "[[channels]]\nname = \"up\"\nprovider = \"{provider}\"\nbase_url = \"http://{}\"\napi_key = \"k\"\nmodels = [\"m\"]\n{more}\n",
        up.addr()
    ));
    (serve(&config).await, up)
}

#[tokio::test]
async fn anthropics_own_api_answers_and_gets_the_betas_as_a_header() {
    let (server, up) = before("anthropic", "").await;
    up.next(Reply::json(
        200,
        &json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{ "type": "thinking", "thinking": "hm", "signature": "c2ln" }, { "type": "text", "text": "Good day." }],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 12, "output_tokens": 4 } }),
    ));
    let mut body = ask();
    body["anthropic_beta"] = json!(["a-2025-01-01", "b-2025-01-01"]);
    let request = server.admin().request(Method::POST, "/model/up%2Fm/invoke").json(&body);
    let answer = server.admin().send(request.header("x-steelyard-strict", "true")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = answer.json();
    assert_eq!(message["content"][0], json!({ "type": "thinking", "thinking": "hm", "signature": "c2ln" }));
    assert_eq!(message["content"][1]["text"], "Good day.");
    let sent = up.only_request();
    assert_eq!(sent.path, "/v1/messages");
    assert_eq!(sent.header("anthropic-beta"), Some("a-2025-01-01,b-2025-01-01"));
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    let said = sent.json();
    assert_eq!(said["model"], "m");
    assert!(said.get("anthropic_beta").is_none() && said.get("anthropic_version").is_none(), "{said}");

    let events = std::fs::read(fixture("anthropic/streams/text.sse")).unwrap();
    up.next(status(200).body("text/event-stream", events));
    let answer = server.admin().post("/model/up%2Fm/invoke-with-response-stream", &ask()).await;
    assert_eq!(streamed(&answer).1, "Hello!");
    assert_eq!(server.entry(answer.request_id()).await.used("output"), 15);
}

#[tokio::test]
async fn a_call_to_bedrock_becomes_converse_and_the_tier_that_served_is_booked() {
    let (server, up) = before("bedrock", "region = \"us-east-1\"").await;
    let events = std::fs::read(fixture("bedrock/streams/tools_parallel.bin")).unwrap();
    up.next(status(200).body("application/vnd.amazon.eventstream", events));
    let mut body = ask();
    body["tools"] = json!([{ "name": "get_weather", "input_schema": { "type": "object" } }, { "name": "now", "input_schema": { "type": "object" } }]);
    let answer = server.admin().post("/model/up%2Fm/invoke-with-response-stream", &body).await;
    let (events, text) = streamed(&answer);
    assert_eq!(text, "Let me look.");
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
    assert_eq!(up.only_request().path, "/model/m/converse-stream");
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.used("input"), entry.used("output")), (400, 61));
    assert_eq!(entry.attempts[0].tier.as_deref(), Some("priority"));
}

#[tokio::test]
async fn a_guardrail_runs_at_bedrock_or_not_at_all() {
    let app = app().await;
    let guarded = json!({
        "messages": [{ "role": "user", "content": [{ "text": "hi" }] }],
        "guardrailConfig": { "guardrailIdentifier": "abc123", "guardrailVersion": "1" },
    });
    for path in ["/model/smart/converse", "/model/smart/converse-stream"] {
        for strict in ["false", "true"] {
            let request = app.server.admin().request(Method::POST, path).json(&guarded);
            let answer = app.server.admin().send(request.header("x-steelyard-strict", strict)).await;
            let said = refused(&answer, 400, "ValidationException", "SY0203");
            assert!(said.contains("guardrailConfig") && said.contains("would not run"), "{said}");
        }
    }
    assert_eq!(app.up.count(), 0, "nothing was sent");
    assert_eq!(app.server.settled_entries().await, [], "and nothing was booked");

    let (server, up) = before("bedrock", "region = \"us-east-1\"").await;
    let reply = std::fs::read(fixture("bedrock/replies/text.json")).unwrap();
    up.next(status(200).body("application/json", reply));
    assert_eq!(server.admin().post("/model/up%2Fm/converse", &guarded).await.status, 200);
    assert_eq!(up.only_request().json()["guardrailConfig"]["guardrailIdentifier"], "abc123");
}

fn fixture(name: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../dialect/fixtures", name].iter().collect()
}
