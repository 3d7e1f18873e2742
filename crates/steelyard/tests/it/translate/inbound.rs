//! Wrong requests on Anthropic's and Bedrock's wires, and what these wires ask beside answers.

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Client, Config, Upstream, Wire};

use super::failing::error;
use super::{Mode, Pair, World, hi, request, world, world_with};
use crate::app::carries;

/// Sends these bytes as a request of that wire to `to-openai`.
async fn post(client: &Client, wire: Wire, body: impl Into<reqwest::Body>) -> Answer {
    let path = match wire {
        Wire::OpenAi => "/v1/chat/completions",
        Wire::Anthropic => "/v1/messages",
        Wire::Gemini => "/v1beta/models/to-openai:generateContent",
        Wire::Bedrock => "/model/to-openai/converse",
    };
    let request = client.request(Method::POST, path).header("content-type", "application/json").body(body);
    client.send(request).await
}

#[track_caller]
fn refused(wire: Wire, answer: &Answer, code: &str, status: u16, names: [&str; 2]) {
    let name = if wire == Wire::Anthropic { names[0] } else { names[1] };
    assert_eq!(error(wire, answer), (status, name.to_owned()), "{wire:?}: {}", answer.text());
    assert!(carries(answer, code), "{wire:?}: {code} expected: {}", answer.text());
}

const INVALID: [&str; 2] = ["invalid_request_error", "ValidationException"];

async fn unharmed(world: &World) {
    for wire in Wire::ALL {
        assert_eq!(world.vendor(wire).count(), 0, "a wrong request went upstream");
    }
    assert_eq!(world.server.settled_entries().await, [], "a wrong request was booked");
    assert!(!world.server.log().contains("panicked"), "{}", world.server.log());
}

#[tokio::test]
async fn malformed_json_is_refused_in_the_wires_own_shape() {
    let world = world().await;
    let client = world.server.admin();
    for wire in [Wire::Anthropic, Wire::Bedrock] {
        let mut whole = hi(wire);
        whole["model"] = json!("to-openai");
        let whole = whole.to_string();
        let cuts = (0..whole.len()).map(|cut| whole[..cut].to_owned());
        let others = ["hello", "{\"a\":1,}", "{\"messages\":[01]}", "\u{feff}{}", "{} x"].map(str::to_owned);
        for body in cuts.chain(others) {
            let answer = post(&client, wire, body).await;
            refused(wire, &answer, "SY0001", 400, INVALID);
        }
        let answer = post(&client, wire, &b"{\"messages\":[\"\xff\"]}"[..]).await;
        refused(wire, &answer, "SY0001", 400, INVALID);
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn json_that_is_no_request_is_refused_by_the_name_of_its_field() {
    let world = world().await;
    let client = world.server.admin();
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let cases: Vec<(Wire, Value, &str)> = vec![
        (Wire::Anthropic, json!([]), ""),
        (Wire::Anthropic, json!({}), "model"),
        (Wire::Anthropic, json!({ "model": 7 }), "model"),
        (Wire::Anthropic, json!({ "model": "to-openai", "messages": user(json!("hi")) }), "max_tokens"),
        (Wire::Anthropic, json!({ "model": "to-openai", "max_tokens": 9 }), "messages"),
        (Wire::Anthropic, json!({ "model": "to-openai", "max_tokens": 9, "messages": "hi" }), "messages"),
        (
            Wire::Anthropic,
            json!({ "model": "to-openai", "max_tokens": 9, "messages": [{ "role": "wizard", "content": "hi" }] }),
            "role",
        ),
        (
            Wire::Anthropic,
            json!({ "model": "to-openai", "max_tokens": 9, "messages": user(json!([{ "type": "hologram" }])) }),
            "messages[0].content[0]",
        ),
        (
            Wire::Anthropic,
            json!({ "model": "to-openai", "max_tokens": 9, "messages": user(json!([{ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text" }] }])) }),
            "text",
        ),
        (
            Wire::Anthropic,
            json!({ "model": "to-openai", "max_tokens": "x", "messages": user(json!("hi")) }),
            "max_tokens",
        ),
        (
            Wire::Anthropic,
            json!({ "model": "to-openai", "max_tokens": 9, "messages": user(json!([{ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "@@@" } }])) }),
            "data",
        ),
        (Wire::Bedrock, json!([]), ""),
        (Wire::Bedrock, json!({}), "messages"),
        (Wire::Bedrock, json!({ "messages": "hi" }), "messages"),
        (Wire::Bedrock, json!({ "messages": [{ "role": "wizard", "content": [{ "text": "hi" }] }] }), "role"),
        (Wire::Bedrock, json!({ "messages": user(json!("hi")) }), "content"),
        (Wire::Bedrock, json!({ "messages": user(json!([{ "hologram": {} }])) }), "messages[0].content[0]"),
        (
            Wire::Bedrock,
            json!({ "messages": user(json!([{ "text": "a", "toolUse": {} }])) }),
            "messages[0].content[0]",
        ),
        (
            Wire::Bedrock,
            json!({ "messages": user(json!([{ "image": { "format": "png", "source": { "bytes": "@@@" } } }])) }),
            "bytes",
        ),
        (
            Wire::Bedrock,
            json!({ "messages": user(json!([{ "text": "hi" }])), "inferenceConfig": { "maxTokens": "x" } }),
            "maxTokens",
        ),
        (
            Wire::Bedrock,
            json!({ "messages": user(json!([{ "text": "hi" }])), "toolConfig": { "tools": [{ "toolSpec": { "name": "a b", "inputSchema": { "json": {} } } }] } }),
            "name",
        ),
    ];
    for (wire, body, field) in cases {
        let answer = post(&client, wire, body.to_string()).await;
        let (status, name) = error(wire, &answer);
        let expected = if wire == Wire::Anthropic { INVALID[0] } else { INVALID[1] };
        assert_eq!((status, name.as_str()), (400, expected), "{body}: {}", answer.text());
        assert!(answer.text().contains(field), "{body}: `{field}` is not named: {}", answer.text());
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn large_bodies_and_wrong_types_are_refused() {
    let world = world_with(|config| config.head("[server]\nmax_body = \"64KiB\"")).await;
    let client = world.server.admin();
    for wire in [Wire::Anthropic, Wire::Bedrock] {
        let answer = post(&client, wire, "x".repeat(100_000)).await;
        refused(wire, &answer, "SY0004", 413, ["request_too_large", "ValidationException"]);
        let path = if wire == Wire::Anthropic { "/v1/messages" } else { "/model/to-openai/converse" };
        let request = client.request(Method::POST, path).header("content-type", "text/plain");
        let answer = client.send(request.body(hi(wire).to_string())).await;
        refused(wire, &answer, "SY0005", 415, INVALID);
        let request = client.request(Method::POST, path).header("content-encoding", "br");
        let answer = client.send(request.body("x")).await;
        refused(wire, &answer, "SY0006", 415, INVALID);
    }
    unharmed(&world).await;
    let mut body = hi(Wire::Bedrock);
    body["model"] = json!("ignored");
    let request = client.request(Method::POST, "/model/to-openai/converse").body(body.to_string());
    assert_eq!(client.send(request).await.status, 200, "no content type at all is taken");
}

#[tokio::test]
async fn strangers_are_told_so_in_their_own_wire() {
    let world = world().await;
    for wire in [Wire::Anthropic, Wire::Bedrock] {
        for mode in [Mode::Whole, Mode::Streamed] {
            let stranger = world.server.stranger();
            let answer = stranger.send(request(&stranger, wire, "to-openai", mode, &hi(wire))).await;
            let status = if wire == Wire::Anthropic { 401 } else { 403 };
            let names = ["authentication_error", "MissingAuthenticationTokenException"];
            refused(wire, &answer, "SY0101", status, names);
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{answer:?}");
            let wrong = world.server.client("sk-sy-wrong");
            let answer = wrong.send(request(&wrong, wire, "to-openai", mode, &hi(wire))).await;
            refused(wire, &answer, "SY0102", status, ["authentication_error", "UnrecognizedClientException"]);
        }
    }
    unharmed(&world).await;
    let key = world.server.create_key("a").await;
    let stranger = world.server.stranger();
    for wire in [Wire::Anthropic, Wire::Bedrock] {
        let request = request(&stranger, wire, "to-openai", Mode::Whole, &hi(wire));
        let answer = stranger.send(request.header("x-api-key", &key.secret)).await;
        assert_eq!(answer.status, 200, "{wire:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn unknown_models_paths_and_methods() {
    let world = world().await;
    let client = world.server.admin();
    for wire in [Wire::Anthropic, Wire::Bedrock] {
        for mode in [Mode::Whole, Mode::Streamed] {
            let answer = client.send(request(&client, wire, "to-opena", mode, &hi(wire))).await;
            refused(wire, &answer, "SY0201", 404, ["not_found_error", "ResourceNotFoundException"]);
            assert!(answer.text().contains("to-openai"), "the nearest name is told: {}", answer.text());
        }
    }
    let unknown = ["not_found_error", "UnknownOperationException"];
    refused(Wire::Anthropic, &client.post("/v1/messages/nope", &json!({})).await, "SY0007", 404, unknown);
    refused(Wire::Bedrock, &client.post("/model/m/fly", &json!({})).await, "SY0007", 404, unknown);
    refused(Wire::Bedrock, &client.post("/model//converse", &json!({})).await, "SY0007", 404, unknown);
    refused(Wire::Bedrock, &client.get("/guardrails").await, "SY0007", 404, unknown);
    let wrong = ["invalid_request_error", "UnknownOperationException"];
    refused(Wire::Anthropic, &client.get("/v1/messages").await, "SY0008", 405, wrong);
    refused(Wire::Bedrock, &client.get("/model/m/converse").await, "SY0008", 405, wrong);
    refused(Wire::Bedrock, &client.post("/foundation-models", &json!({})).await, "SY0008", 405, wrong);
    unharmed(&world).await;
}

#[tokio::test]
async fn tokens_are_counted_by_the_vendor_that_can_and_estimated_for_others() {
    let world = world().await;
    let client = world.server.admin();
    let mut body = hi(Wire::Anthropic);
    body.as_object_mut().unwrap().remove("max_tokens");
    for vendor in Wire::ALL {
        body["model"] = json!(super::route(vendor));
        let answer = client.post("/v1/messages/count_tokens", &body).await;
        assert_eq!(answer.status, 200, "{vendor:?}: {}", answer.text());
        let count = answer.json()["input_tokens"].as_u64().unwrap();
        let loss = answer.header("x-steelyard-loss");
        if vendor == Wire::Anthropic {
            assert_eq!((count, loss), (10, None), "{answer:?}");
            assert_eq!(world.vendor(vendor).last_request().path, "/v1/messages/count_tokens");
        } else {
            assert!(count > 0 && loss.is_some(), "an estimate says that it is one: {answer:?}");
            assert_eq!(world.vendor(vendor).count(), 0, "{vendor:?} has no such question");
        }
    }
    let entries = world.server.settled_entries().await;
    assert!(entries.iter().all(|entry| entry.pico().is_none_or(|pico| pico == 0)), "{entries:#?}");
}

/// What the model could not be told of is not counted as if it could: neither by an estimate, nor by the stand-in.
#[tokio::test]
async fn a_strict_count_is_refused_for_what_the_call_would_lose() {
    let world = world().await;
    let client = world.server.admin();
    let strict = |body: &Value, strict: &'static str| {
        let request = client.request(Method::POST, "/v1/messages/count_tokens").body(body.to_string());
        client.send(request.header("content-type", "application/json").header("x-steelyard-strict", strict))
    };
    let mut body = hi(Wire::Anthropic);
    body.as_object_mut().unwrap().remove("max_tokens");
    let mut lossy = body.clone();
    lossy["messages"][0]["content"] = json!([{ "type": "text", "text": "hi", "new": { "text": "more" } }]);
    for vendor in Wire::ALL {
        for body in [&mut body, &mut lossy] {
            body["model"] = json!(super::route(vendor));
        }
        let answer = strict(&body, "true").await;
        assert_eq!(answer.status, 200, "{vendor:?}: {}", answer.text());
        assert_eq!(strict(&lossy, "false").await.status, 200, "{vendor:?}");
        let answer = strict(&lossy, "true").await;
        if vendor == Wire::Anthropic {
            assert_eq!(answer.status, 200, "it is relayed: {}", answer.text());
        } else {
            assert!(carries(&answer, "SY0203"), "{vendor:?}: {}", answer.text());
            assert!(answer.text().contains("`messages[0].content[0].new`"), "{vendor:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn clients_of_anthropics_own_are_relayed_with_their_version_and_betas() {
    let world = world().await;
    let pair = Pair { client: Wire::Anthropic, vendor: Wire::Anthropic, mode: Mode::Whole };
    let headers = [("anthropic-beta", "one-2026,two-2026")];
    let answer = world.ask_with(pair, &hi(Wire::Anthropic), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = world.vendor(Wire::Anthropic).last_request();
    assert_eq!(got.header("anthropic-beta"), Some("one-2026,two-2026"));
    let pair = Pair { vendor: Wire::OpenAi, ..pair };
    assert_eq!(world.ask_with(pair, &hi(Wire::Anthropic), &headers).await.status, 200);
    assert_eq!(world.vendor(Wire::OpenAi).last_request().header("anthropic-beta"), None);
}

#[tokio::test]
async fn models_are_listed_in_anthropics_form_page_by_page() {
    let world = world().await;
    let client = world.server.admin();
    let list = async |query: &str| {
        let path = format!("/v1/models{query}");
        let request = client.request(Method::GET, &path).header("anthropic-version", "2023-06-01");
        client.send(request).await.json()
    };
    let all = list("?limit=1000").await;
    let ids: Vec<_> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect();
    for vendor in Wire::ALL {
        assert!(ids.iter().any(|id| id == super::route(vendor)), "{ids:?}");
    }
    assert!(all["data"].as_array().unwrap().iter().all(|model| model["type"] == "model"), "{all}");
    assert_eq!((&all["has_more"], &all["first_id"]), (&json!(false), &json!(ids[0])), "{all}");
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&query).await;
        paged.extend(
            page["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            break;
        }
        query = format!("?limit=2&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(paged, ids);
    let plain = client.get("/v1/models").await.json();
    assert_eq!(plain["object"], "list", "without the header it is OpenAI's: {plain}");
}

#[tokio::test]
async fn bedrocks_lists_show_models_and_profiles() {
    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    let models = "models = [\"us.anthropic.claude-x-v1:0\", \"anthropic.claude-x-v1:0\"]";
    let config = Config::new()
        .channel("aws", &bedrock, models)
        .route("anthropic.claude-x-v1:0", &["aws/anthropic.claude-x-v1:0"], "")
        .route("smart", &["aws/us.anthropic.claude-x-v1:0"], "");
    let server = crate::app::serve(&config).await;
    let client = server.admin();
    let listed = client.get("/foundation-models").await;
    assert!(listed.header("x-amzn-requestid").is_some(), "{listed:?}");
    let listed = listed.json();
    let models = listed["modelSummaries"].as_array().unwrap();
    let smart = models.iter().find(|model| model["modelId"] == "smart").unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(smart["modelArn"], "arn:aws:bedrock:us-east-1::foundation-model/smart");
    assert_eq!(smart["modelLifecycle"]["status"], "ACTIVE");
    for model in models {
        for member in ["modelName", "providerName"] {
            assert!(model[member].as_str().is_some_and(|text| text.chars().count() <= 20), "{model}");
        }
    }
    for path in [
        "/foundation-models/smart",
        "/foundation-models/anthropic.claude-x-v1%3A0",
        "/foundation-models/anthropic.claude-x-v1:0",
        "/bedrock/foundation-models/smart",
        "/foundation-models/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fanthropic.claude-x-v1%3A0",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.json()["modelDetails"]["modelArn"].is_string(), "{path}");
    }
    let none = client.get("/foundation-models?byOutputModality=IMAGE").await.json();
    assert_eq!(none, json!({ "modelSummaries": [] }));
    let names = async |filter: &str| {
        let listed = client.get(&format!("/foundation-models?{filter}")).await.json();
        let all = listed["modelSummaries"].as_array().unwrap_or_else(|| panic!("{listed}")).clone();
        all.iter().map(|model| model["modelId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let [embedding, text] = [names("byOutputModality=EMBEDDING").await, names("byOutputModality=TEXT").await];
    assert!(embedding.iter().any(|id| id == "titan-embed-text-v2"), "{embedding:?}");
    assert!(embedding.iter().all(|id| id.contains("embed") && !text.contains(id)), "{embedding:?}");
    assert!(text.iter().any(|id| id == "smart"), "{text:?}");
    assert_eq!(text.len() + embedding.len(), names("byInferenceType=ON_DEMAND").await.len());
    assert_eq!(names("byProvider=Amazon&byOutputModality=EMBEDDING").await.len(), 2, "{embedding:?}");
    assert!(names("byCustomizationType=FINE_TUNING").await.is_empty());
    for (filter, name) in [
        ("/foundation-models?byOutputModality=EMBEDDINGS", "byOutputModality"),
        ("/foundation-models?byOutputModality=", "byOutputModality"),
        ("/foundation-models?byInferenceType=on_demand", "byInferenceType"),
        ("/foundation-models?byCustomizationType=NONE", "byCustomizationType"),
        ("/foundation-models?byProvider=a%2Fb", "byProvider"),
        ("/inference-profiles?type=OWN", "type"),
    ] {
        let answer = client.get(filter).await;
        assert_eq!(answer.status, 400, "{filter}: {}", answer.text());
        assert_eq!(answer.header("x-amzn-errortype"), Some("ValidationException"), "{filter}");
        assert!(
            answer.json()["message"].as_str().unwrap().contains(&format!("`{name}` is `")),
            "{}",
            answer.text()
        );
    }
    let profiles = client.get("/inference-profiles").await.json();
    let profiles = profiles["inferenceProfileSummaries"].as_array().unwrap().clone();
    let own: Vec<_> = profiles
        .iter()
        .filter(|profile| profile["inferenceProfileId"].as_str().is_some_and(|id| id.contains("claude-x")))
        .collect();
    assert_eq!(own.len(), 1, "beside those of the catalog: {profiles:?}");
    assert_eq!(own[0]["inferenceProfileId"], "us.anthropic.claude-x-v1:0");
    for path in [
        "/inference-profiles/us.anthropic.claude-x-v1%3A0",
        "/inference-profiles/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Ainference-profile%2Fus.anthropic.claude-x-v1%3A0",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.json()["type"], "SYSTEM_DEFINED");
    }
    let gone = ["", "ResourceNotFoundException"];
    refused(Wire::Bedrock, &client.get("/foundation-models/nope").await, "SY0201", 404, gone);
    refused(Wire::Bedrock, &client.get("/inference-profiles/nope").await, "SY0201", 404, gone);
    let none = ["", "MissingAuthenticationTokenException"];
    refused(Wire::Bedrock, &server.stranger().get("/foundation-models").await, "SY0101", 403, none);
}
