//! The wires beside OpenAI's: the same script in Anthropic's and in Bedrock's words.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::upstream::frames::{event_frame, exception_frame};
use crate::{Answer, BadFrame, Chat, Client, End, Frame, Upstream, Wire, chat, status, unframe};

fn client(upstream: &Upstream) -> Client {
    Client::new(format!("http://{}", upstream.addr()), Some("k".to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

/// One script with everything in it.
fn everything() -> Chat {
    chat()
        .reasoning_text("Let me ")
        .reasoning_text("think.")
        .signature("c2ln")
        .redacted("aGlkZGVu")
        .text("Hel")
        .text("lo")
        .tool("call_1", "f", &json!({ "city": "Lübeck" }))
        .tool("call_2", "g", &json!({}))
        .usage(100, 50)
        .cached(40)
        .cache_write(20)
        .cache_write_1h(10)
        .reasoning(30)
}

/// The events of a stream on Anthropic's wire: name and data.
fn named(answer: &Answer) -> Vec<(String, Value)> {
    let text = answer.text();
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').expect("a name and data");
        let name = name.strip_prefix("event: ").expect("every event has a name").to_owned();
        let data = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        (name, data)
    });
    events.collect()
}

/// The frames of a stream on Bedrock's wire: the name and the payload.
fn framed(answer: &Answer) -> Vec<(String, Value)> {
    let (frames, left) = unframe(&answer.body);
    assert_eq!(left, 0, "half a frame is left");
    let name = |frame: &Frame| {
        let name = frame.header(":event-type").or_else(|| frame.header(":exception-type"));
        name.expect("every frame has a name").to_owned()
    };
    frames.iter().map(|frame| (name(frame), frame.json())).collect()
}

#[test]
fn frames_are_those_that_botocore_reads() {
    let event = event_frame("messageStart", &json!({ "role": "assistant" }));
    assert_eq!(
        hex(&event),
        "000000760000005296d5fade0b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f6e74656e742d747970650700106170706c69636174\
         696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22726f6c65223a22617373697374616e74227d6fa8c599"
    );
    let exception = exception_frame("throttlingException", &json!({ "message": "slow down" }));
    assert_eq!(hex(&exception[..8]), "0000008800000061", "one byte shorter than with a space in its JSON");
}

#[tokio::test]
async fn anthropics_messages_are_whole_and_streamed() {
    let upstream = Upstream::speaking(Wire::Anthropic).await;
    assert_eq!(upstream.base_url(), format!("http://{}", upstream.addr()));
    upstream.on("m", everything());
    let client = client(&upstream);
    let mut body =
        json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let whole = client.post("/v1/messages", &body).await;
    assert_eq!(whole.header("request-id"), Some("req_vendor_1"));
    let content = json!([
        { "type": "thinking", "thinking": "Let me think.", "signature": "c2ln" },
        { "type": "redacted_thinking", "data": "aGlkZGVu" },
        { "type": "text", "text": "Hello" },
        { "type": "tool_use", "id": "call_1", "name": "f", "input": { "city": "Lübeck" } },
        { "type": "tool_use", "id": "call_2", "name": "g", "input": {} },
    ]);
    let whole = whole.json();
    assert_eq!(whole["content"], content);
    assert_eq!(whole["stop_reason"], "tool_use");
    let usage = &whole["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["cache_read_input_tokens"], &usage["output_tokens"]),
        (&json!(30), &json!(40), &json!(50))
    );
    assert_eq!(usage["cache_creation"]["ephemeral_1h_input_tokens"], 10);
    assert_eq!(usage["output_tokens_details"]["thinking_tokens"], 30);

    body["stream"] = json!(true);
    let streamed = client.post("/v1/messages?beta=true", &body).await;
    let events = named(&streamed);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..4], ["message_start", "content_block_start", "ping", "content_block_delta"]);
    assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
    assert!(events.iter().all(|(name, data)| data["type"] == **name), "{events:?}");
    let input: String = events
        .iter()
        .filter(|(_, data)| data["index"] == 3)
        .filter_map(|(_, data)| data["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(input, r#"{"city":"Lübeck"}"#);
    let (_, last) = &events[events.len() - 2];
    assert_eq!(last["usage"]["output_tokens"], 50);

    let counted = client.post("/v1/messages/count_tokens", &body).await.json();
    assert_eq!(counted, json!({ "input_tokens": 100 }));
    let models = client.get("/v1/models").await.json();
    assert_eq!((&models["data"][0]["type"], &models["has_more"]), (&json!("model"), &json!(false)));
}

#[tokio::test]
async fn bedrocks_messages_are_whole_and_streamed() {
    let upstream = Upstream::speaking(Wire::Bedrock).await;
    upstream.on("us.x-v1:0", everything());
    let client = client(&upstream);
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let whole = client.post("/model/us.x-v1%3A0/converse", &body).await.json();
    let content = json!([
        { "reasoningContent": { "reasoningText": { "text": "Let me think.", "signature": "c2ln" } } },
        { "reasoningContent": { "redactedContent": "aGlkZGVu" } },
        { "text": "Hello" },
        { "toolUse": { "toolUseId": "call_1", "name": "f", "input": { "city": "Lübeck" } } },
        { "toolUse": { "toolUseId": "call_2", "name": "g", "input": {} } },
    ]);
    assert_eq!(whole["output"]["message"], json!({ "role": "assistant", "content": content }));
    assert_eq!(whole["stopReason"], "tool_use");
    let usage = json!({
        "inputTokens": 30, "outputTokens": 50, "totalTokens": 150,
        "cacheReadInputTokens": 40, "cacheWriteInputTokens": 30,
        "cacheDetails": [{ "ttl": "5m", "inputTokens": 20 }, { "ttl": "1h", "inputTokens": 10 }],
    });
    assert_eq!(whole["usage"], usage);

    let streamed = client.post("/model/us.x-v1%3A0/converse-stream", &body).await;
    assert_eq!(streamed.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let frames = framed(&streamed);
    assert_eq!(frames[0].0, "messageStart");
    assert_eq!(frames[1].1["delta"], json!({ "reasoningContent": { "text": "Let me " } }));
    assert_eq!(frames[frames.len() - 2].1["stopReason"], "tool_use");
    assert_eq!(frames[frames.len() - 1].1["usage"], usage);
    let input: String = frames
        .iter()
        .filter(|(_, payload)| payload["contentBlockIndex"] == 4)
        .filter_map(|(_, payload)| payload["delta"]["toolUse"]["input"].as_str())
        .collect();
    assert_eq!(input, "{}");
}

#[tokio::test]
async fn errors_are_in_the_wires_own_shape() {
    let anthropic = Upstream::speaking(Wire::Anthropic).await;
    anthropic.next(status(529).header("retry-after", "7"));
    let answer = client(&anthropic).post("/v1/messages", &json!({})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (529, Some("7")));
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    assert_eq!(answer.json()["request_id"], "req_vendor_1");

    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    bedrock.next(status(429).message("slow down"));
    let answer = client(&bedrock).post("/model/m/converse", &json!({})).await;
    assert_eq!((answer.status, answer.header("x-amzn-errortype")), (429, Some("ThrottlingException")));
    assert_eq!(answer.json(), json!({ "message": "slow down" }));
    assert!(answer.header("x-amzn-requestid").is_some());
    let answer = client(&bedrock).post("/v1/chat/completions", &json!({})).await;
    assert_eq!(answer.status, 404, "it has no other wire");
}

#[tokio::test]
async fn streams_break_off_in_the_wires_own_way() {
    let anthropic = Upstream::speaking(Wire::Anthropic).await;
    let body = json!({ "model": "m", "stream": true });
    anthropic.next(chat().text("a").fail("on fire").text("b"));
    let events = named(&client(&anthropic).post("/v1/messages", &body).await);
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["message"]), ("error", &json!("on fire")));
    anthropic.next(chat().text("a").cut(End::Close).text("b"));
    let answer = client(&anthropic).post("/v1/messages", &body).await;
    assert!(!answer.complete && answer.text().contains("\"a\"") && !answer.text().contains("\"b\""));

    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    let path = "/model/m/converse-stream";
    bedrock.next(chat().text("a").fail("on fire").text("b"));
    let frames = framed(&client(&bedrock).post(path, &json!({})).await);
    assert_eq!(
        frames.last().unwrap(),
        &("internalServerException".to_owned(), json!({ "message": "on fire" }))
    );
    bedrock.next(chat().text("a").error_after(2, json!({ "throttlingException": { "message": "slow" } })));
    let frames = framed(&client(&bedrock).post(path, &json!({})).await);
    assert_eq!((frames.len(), frames[2].0.as_str()), (3, "throttlingException"));
    for bad in BadFrame::ALL {
        bedrock.next(chat().text("a").bad_frame(bad).text("b"));
        let answer = client(&bedrock).post(path, &json!({})).await;
        assert!(answer.complete, "{bad:?}");
        let goes_on = matches!(bad, BadFrame::Checksum | BadFrame::Prelude);
        assert_eq!(answer.text().contains("\"b\""), goes_on, "{bad:?}");
    }
}
