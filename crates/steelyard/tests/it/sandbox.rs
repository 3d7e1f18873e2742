//! The sandbox model: what a newcomer meets first.

use serde_json::{Value, json};
use steelyard_testkit::{Config, Steelyard};

use crate::app::{ask, ask_usage, serve};

async fn sandbox() -> Steelyard {
    serve(&Config::new().sandbox()).await
}

fn weather_tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": {
        "type": "object",
        "properties": { "city": { "type": "string" }, "days": { "type": "integer", "minimum": 2 }, "unit": { "enum": ["C", "F"] } },
        "required": ["city", "days", "unit"], "additionalProperties": false,
    } } })
}

#[tokio::test]
async fn it_answers_and_says_what_it_is() {
    let server = sandbox().await;
    let answer = server.admin().chat(&ask("sandbox")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.content().contains("sandbox") && answer.content().contains("not a language model"),
        "{answer:?}"
    );
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
    let usage = &answer.json()["usage"];
    assert!(
        usage["prompt_tokens"].as_u64() > Some(0) && usage["completion_tokens"].as_u64() > Some(0),
        "{usage}"
    );
    assert_eq!(server.admin().chat(&ask("sandbox")).await.content(), answer.content(), "it is deterministic");
    let entry = server.entry(answer.request_id()).await;
    assert_eq!((entry.outcome.as_str(), entry.channel.as_deref()), ("ok", Some("sandbox")));
    assert_eq!(entry.used("input"), usage["prompt_tokens"].as_u64().unwrap());
    assert_eq!(entry.used("output"), usage["completion_tokens"].as_u64().unwrap());
}

#[tokio::test]
async fn it_streams_the_same_word_by_word() {
    let server = sandbox().await;
    let whole = server.admin().chat(&ask("sandbox")).await.content();
    let streamed = server.admin().chat(&ask_usage("sandbox")).await;
    assert_eq!(streamed.content(), whole);
    assert!(streamed.events().len() > 5, "{:?}", streamed.events());
    assert_eq!(streamed.events().last().map(String::as_str), Some("[DONE]"));
    let events = streamed.events();
    let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn it_calls_the_tools_it_is_asked_to_call() {
    let server = sandbox().await;
    let mut body = ask("sandbox");
    body["tools"] = json!([weather_tool("get_weather"), weather_tool("get_tide")]);
    let none = server.admin().chat(&body).await.json();
    assert_eq!(none["choices"][0]["message"].get("tool_calls"), None, "nobody asked: {none}");

    body["messages"][0]["content"] = json!("please call get_weather and call get_tide");
    let both = server.admin().chat(&body).await.json();
    let calls =
        both["choices"][0]["message"]["tool_calls"].as_array().unwrap_or_else(|| panic!("no call: {both}"));
    assert_eq!(calls.len(), 2, "{both}");
    assert_eq!(both["choices"][0]["finish_reason"], "tool_calls");
    for call in calls {
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments["city"].is_string() && arguments["days"].as_i64() >= Some(2), "{arguments}");
        assert!(["C", "F"].contains(&arguments["unit"].as_str().unwrap()), "{arguments}");
    }
    assert_ne!(calls[0]["id"], calls[1]["id"]);

    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(both["choices"][0]["message"].clone());
    for call in calls {
        messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "seven degrees" }));
    }
    let told = server.admin().chat(&body).await;
    assert!(told.content().contains("seven degrees"), "{told:?}");

    let mut forced = ask("sandbox");
    forced["tools"] = body["tools"].clone();
    forced["tool_choice"] = json!({ "type": "function", "function": { "name": "get_tide" } });
    let forced = server.admin().chat(&forced).await.json();
    assert_eq!(forced["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "get_tide", "{forced}");
}

#[tokio::test]
async fn it_honours_schemas_and_reasons_when_told_to() {
    let server = sandbox().await;
    let mut body = ask("sandbox");
    body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": {
        "type": "object",
        "properties": { "name": { "type": "string" }, "tags": { "type": "array", "items": { "enum": ["a", "b"] }, "minItems": 1 }, "size": { "type": "number" }, "ok": { "type": "boolean" }, "none": { "type": "null" } },
        "required": ["name", "tags", "size", "ok", "none"], "additionalProperties": false,
    } } });
    let answer: Value = serde_json::from_str(&server.admin().chat(&body).await.content()).unwrap();
    assert!(
        answer["name"].is_string() && answer["size"].is_number() && answer["ok"].is_boolean(),
        "{answer}"
    );
    assert!(answer["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 5, "{answer}");

    let mut body = ask("sandbox");
    body["reasoning_effort"] = json!("high");
    let answer = server.admin().chat(&body).await;
    let reasoning =
        answer.json()["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0);
    assert!(reasoning > 0, "{answer:?}");
    assert_eq!(server.entry(answer.request_id()).await.used("reasoning"), reasoning);
}

#[tokio::test]
async fn it_embeds() {
    let server = sandbox().await;
    let body = json!({ "model": "sandbox", "input": ["a", "b", "a"] });
    let answer = server.admin().post("/v1/embeddings", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = &answer.json()["data"];
    assert_eq!(data[0]["embedding"], data[2]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);
}

#[tokio::test]
async fn without_any_channel_the_sandbox_is_there() {
    let server = serve(&Config::new()).await;
    let answer = server.admin().chat(&ask("sandbox")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn what_it_cannot_express_is_named_and_refused_when_strict() {
    let server = sandbox().await;
    let mut body = ask("sandbox");
    body["audio"] = json!({ "voice": "alloy", "format": "wav" });
    let answer = server.admin().chat(&body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lost = answer.header("x-steelyard-loss").expect("it cannot speak").to_owned();
    assert!(lost.contains("audio"), "{lost}");
    assert_eq!(server.entry(answer.request_id()).await.losses, [json!("audio")]);

    let client = server.admin();
    let request = client.request(reqwest::Method::POST, "/v1/chat/completions").json(&body);
    let answer = client.send(request.header("x-steelyard-strict", "true")).await;
    crate::app::refused(&answer, 400, "SY0203");
    assert!(answer.text().contains("audio"), "{answer:?}");
}
