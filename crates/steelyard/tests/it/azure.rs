//! A channel of provider `azure`: where its deployments are called, what its errors mean, and what they cost.

use serde_json::{Value, json};
use steelyard_testkit::{Config, Reply, Upstream, chat, embeddings, status};

use crate::app::{ask, ask_stream, ask_usage, refused, serve};

const DEPLOYMENTS: &str = r#"deployments = { chat-prod = "gpt-6-sol", vectors = "text-embedding-3-small" }"#;

/// What Azure answers to a prompt that its filter stops.
fn filtered() -> Reply {
    Reply::json(
        400,
        &json!({ "error": {
            "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            "type": null,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": { "hate": { "filtered": true, "severity": "high" } },
            },
        } }),
    )
}

fn error(code: u16, name: &str, message: &str) -> Reply {
    Reply::json(code, &json!({ "error": { "code": name, "message": message } }))
}

/// A stream as Azure writes it: filter results before the first word, after words and after the end.
const STREAM: &str =
    include_str!("../../../dialect/fixtures/openai_chat/streams/azure_asynchronous_filter.sse");

#[tokio::test]
async fn a_deployment_is_called_by_its_own_path_and_charged_as_its_model() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().azure("az", &up, DEPLOYMENTS)).await;
    up.otherwise(chat().text("hello").usage(10, 5));
    for body in [ask("chat-prod"), ask_stream("gpt-6-sol"), ask_usage("az/chat-prod")] {
        let answer = server.admin().chat(&body).await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "hello"), "{answer:?}");
        let sent = up.last_request();
        assert_eq!(sent.path, "/openai/deployments/chat-prod/chat/completions?api-version=2024-10-21");
        assert_eq!((sent.header("api-key"), sent.header("authorization")), (Some("vendor-key-az"), None));
        assert_eq!(sent.json()["model"], "chat-prod");
        let entry = server.entry(answer.request_id()).await;
        assert_eq!(entry.attempts[0].model, "openai/gpt-6-sol");
        assert_eq!(entry.attempts[0].upstream_model, "chat-prod");
        // $2 and $10 per million tokens, by the catalog's list for Azure.
        assert_eq!(entry.pico(), Some(10 * 2_000_000 + 5 * 10_000_000), "{entry:#?}");
    }
    up.next(embeddings().tokens(5));
    let answer = server.admin().post("/v1/embeddings", &json!({ "model": "vectors", "input": "x" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(up.last_request().path, "/openai/deployments/vectors/embeddings?api-version=2024-10-21");
    // $0.022 per million tokens.
    assert_eq!(server.entry(answer.request_id()).await.pico(), Some(5 * 22_000));
}

#[tokio::test]
async fn without_a_version_all_are_called_at_one_path() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().azure_v1("az", &up, DEPLOYMENTS)).await;
    assert_eq!(server.admin().chat(&ask("chat-prod")).await.status, 200);
    let sent = up.last_request();
    assert_eq!(
        (sent.path.as_str(), &sent.json()["model"]),
        ("/openai/v1/chat/completions", &json!("chat-prod"))
    );
    let body = json!({ "model": "vectors", "input": "x" });
    assert_eq!(server.admin().post("/v1/embeddings", &body).await.status, 200);
    assert_eq!(up.last_request().path, "/openai/v1/embeddings");
}

#[tokio::test]
async fn what_azure_adds_to_answers_goes_through() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().azure("az", &up, DEPLOYMENTS)).await;
    let whole = r#"{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}},"finish_reason":"stop","index":0,"logprobs":null,"message":{"annotations":[],"content":"Hallo","refusal":null,"role":"assistant"}}],"created":1795000001,"id":"chatcmpl-az","model":"gpt-6-sol","object":"chat.completion","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"usage":{"prompt_tokens":19,"completion_tokens":2,"total_tokens":21}}"#;
    for (body, vendor) in [(ask("chat-prod"), whole), (ask_usage("chat-prod"), STREAM)] {
        let kind = if vendor == STREAM { "text/event-stream; charset=utf-8" } else { "application/json" };
        up.next(
            status(200)
                .header("apim-request-id", "apim-1")
                .header("x-request-id", "other")
                .body(kind, vendor),
        );
        let answer = server.admin().chat(&body).await;
        assert_eq!(answer.text(), vendor, "not a byte is changed");
        let entry = server.entry(answer.request_id()).await;
        assert_eq!((entry.used("input"), entry.used("output")), (19, 2), "{entry:#?}");
        assert_eq!(entry.attempts[0].vendor_request_id.as_deref(), Some("apim-1"));
    }
    // A client that did not ask for usage gets all but the chunk with it.
    up.next(status(200).body("text/event-stream", STREAM));
    let answer = server.admin().chat(&ask_stream("chat-prod")).await;
    assert!(answer.events()[0].contains("prompt_filter_results"), "{answer:?}");
    assert_eq!((answer.content().as_str(), answer.events().len()), ("Hallo", 7), "{answer:?}");
    assert_eq!(server.entry(answer.request_id()).await.used("output"), 2);
    // And a client of another wire gets what it has words for.
    up.next(status(200).body("text/event-stream", STREAM));
    let mut body = ask_stream("chat-prod");
    body["max_tokens"] = json!(9);
    let answer = server.admin().post("/v1/messages", &body).await;
    let text: String = answer
        .events()
        .iter()
        .filter_map(|event| {
            serde_json::from_str::<Value>(event).ok()?["delta"]["text"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(text, "Hallo", "{answer:?}");
    assert!(answer.text().contains(r#""stop_reason":"end_turn""#), "{answer:?}");
    assert_eq!(up.last_request().json()["max_completion_tokens"], 9);
}

#[tokio::test]
async fn a_filtered_prompt_is_the_callers_on_every_wire() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let config = Config::new().azure("one", &one, "").azure("two", &two, "").route(
        "r",
        &["one/a", "two/b"],
        "retries = 0",
    );
    let server = serve(&config).await;
    one.otherwise(filtered());
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!("content_filter")),
        "{answer:?}"
    );
    let mut body = ask("r");
    body["max_tokens"] = json!(9);
    let answer = server.admin().post("/v1/messages", &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (400, &json!("invalid_request_error")));
    assert!(answer.text().contains("content management policy"), "{answer:?}");
    assert_eq!(two.count(), 0, "no other target is asked");
    assert_eq!(server.entry(answer.request_id()).await.statuses(), ["http_error"]);
}

#[tokio::test]
async fn a_deployment_that_is_missing_or_of_another_kind_lets_the_next_target_try() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let config = Config::new().azure("one", &one, "").azure("two", &two, "").route(
        "r",
        &["one/a", "two/b"],
        "retries = 0",
    );
    let server = serve(&config).await;
    let absent = error(404, "DeploymentNotFound", "The API deployment for this resource does not exist.");
    let other = error(
        400,
        "OperationNotSupported",
        "The chatCompletion operation does not work with the specified model, a.",
    );
    two.otherwise(chat().text("from two"));
    for reply in [absent.clone(), other] {
        one.next(reply);
        assert_eq!(server.admin().chat(&ask("r")).await.content(), "from two");
    }
    one.next(absent.clone());
    two.next(absent);
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (404, &json!("DeploymentNotFound")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn azures_rate_limit_keeps_its_wish_and_its_refusal_of_our_key_is_ours() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().azure("az", &up, "").route("r", &["az/a"], "retries = 0")).await;
    let body =
        json!({ "error": { "code": "429", "message": "Requests have exceeded the token rate limit." } });
    let limited = status(429).header("retry-after", "30").header("retry-after-ms", "29500");
    up.next(limited.body("application/json", body.to_string()));
    let answer = server.admin().chat(&ask("r")).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (429, &json!("429")), "{answer:?}");
    assert_eq!((answer.header("retry-after"), answer.header("retry-after-ms")), (Some("30"), Some("29500")));
    for (code, name) in [(401, "401"), (403, "403"), (402, "402")] {
        up.next(error(code, name, "Access denied due to invalid subscription key vendor-key-az."));
        let answer = server.admin().chat(&ask("r")).await;
        refused(&answer, 502, "SY0303");
        assert!(!answer.text().contains("vendor-key"), "{answer:?}");
    }
}
