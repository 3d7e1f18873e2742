//! What is named as lost, and in whose words.

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Config, Steelyard, Upstream, Wire};

use super::{Mode, Pair, World, hi, world};
use crate::app::{carries, serve};

const STRICT: [(&str, &str); 1] = [("x-steelyard-strict", "true")];

fn whole(client: Wire, vendor: Wire) -> Pair {
    Pair { client, vendor, mode: Mode::Whole }
}

/// The shortest request with these members.
#[expect(clippy::needless_pass_by_value, reason = "a table reads best with its JSON in place")]
fn with(wire: Wire, patch: Value) -> Value {
    let mut body = hi(wire);
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    body
}

/// The call is answered and these are its losses, in the header and in the entry.
async fn loses(world: &World, pair: Pair, body: &Value, headers: &[(&str, &str)], names: &[&str]) {
    let answer = world.ask_with(pair, body, headers).await;
    named(&world.server, &answer, names).await;
}

async fn named(server: &Steelyard, answer: &Answer, names: &[&str]) {
    assert_eq!(answer.status, 200, "{names:?}: {}", answer.text());
    let header = answer.header("x-steelyard-loss").unwrap_or_default().replace("%20", " ");
    assert_eq!(header, names.join(","));
    let entry = server.entry(answer.request_id()).await;
    assert_eq!(entry.losses, names.iter().map(|name| json!(name)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_says_the_default_is_no_loss() {
    let world = world().await;
    let openai = json!({
        "max_tokens": 9, "n": 1, "stop": [], "store": false, "logprobs": false, "top_logprobs": 0, "seed": null, "logit_bias": {},
        "metadata": {}, "user": "", "tool_choice": "auto", "parallel_tool_calls": true, "verbosity": "medium",
        "service_tier": "auto", "response_format": { "type": "text" }, "temperature": 1, "top_p": 1, "some_list": [],
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": "a", "annotations": [], "refusal": null },
            { "role": "user", "content": "hi" },
        ],
    });
    let anthropic = json!({ "speed": "standard", "service_tier": "auto", "metadata": {}, "stop_sequences": [], "mcp_servers": [], "output_config": {} });
    let bedrock = json!({
        "inferenceConfig": { "maxTokens": 9 }, "performanceConfig": { "latency": "standard" }, "serviceTier": { "type": "default" },
        "requestMetadata": {}, "promptVariables": {}, "additionalModelRequestFields": {}, "additionalModelResponseFieldPaths": [],
    });
    let gemini = json!({
        "tools": [], "safetySettings": [], "generationConfig": { "maxOutputTokens": 9, "candidateCount": 1, "temperature": 1, "topP": 1 },
    });
    for pair in Pair::translated() {
        let patch = match pair.client {
            Wire::OpenAi => &openai,
            Wire::Anthropic => &anthropic,
            Wire::Bedrock => &bedrock,
            Wire::Gemini => &gemini,
        };
        let answer = world.ask_with(pair, &with(pair.client, patch.clone()), &STRICT).await;
        assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn strict_is_true_or_false_and_never_passed_over() {
    let world = world().await;
    for pair in Pair::all() {
        let body = hi(pair.client);
        for word in ["1", "0", "yes", "on", "", "true,true"] {
            let answer = world.ask_with(pair, &body, &[("x-steelyard-strict", word)]).await;
            assert_eq!(answer.status, 400, "{pair:?} {word}: {}", answer.text());
            assert!(carries(&answer, "SY0002"), "{pair:?} {word}: {}", answer.text());
            let said = format!("the header `x-steelyard-strict` is `{word}`: expected true or false");
            assert!(answer.text().contains(&said), "{pair:?} {word}: {}", answer.text());
        }
        let lost = pair.client != pair.vendor;
        let lossy = if lost { with(pair.client, json!({ "some_member": 1 })) } else { body };
        let loose = world.ask_with(pair, &lossy, &[("x-steelyard-strict", "False")]).await;
        assert_eq!(loose.status, 200, "{pair:?}: {}", loose.text());
        let strict = world.ask_with(pair, &lossy, &[("x-steelyard-strict", "True")]).await;
        assert_eq!(strict.status, if lost { 400 } else { 200 }, "{pair:?}: {}", strict.text());
    }
}

#[tokio::test]
async fn a_loss_has_the_name_that_its_caller_wrote() {
    use Wire::{Anthropic, Bedrock, OpenAi};
    let world = world().await;
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } });
    let five = json!(["a", "b", "c", "d", "e"]);
    let tool = json!({ "name": "f", "inputSchema": { "json": { "type": "object" } }, "odd": 1 });
    for (client, vendor, patch, names) in [
        (
            OpenAi,
            Bedrock,
            json!({ "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": [{ "type": "text", "text": "t" }, image] }] }),
            vec!["messages[1].content[1].image_url.detail"],
        ),
        (
            OpenAi,
            Bedrock,
            json!({ "messages": [{ "role": "system", "content": "s" }, { "role": "assistant", "content": "a" }, { "role": "user", "content": "t" }] }),
            vec!["messages[1]"],
        ),
        (Anthropic, OpenAi, json!({ "stop_sequences": five, "system": "s" }), vec!["stop_sequences"]),
        (Anthropic, OpenAi, json!({ "metadata": { "user_id": "u".repeat(65) } }), vec!["metadata.user_id"]),
        (
            Anthropic,
            OpenAi,
            json!({ "system": "s", "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "t" }, { "type": "search_result", "source": "u", "title": "t", "content": [{ "type": "text", "text": "x" }] }] },
            ] }),
            vec!["messages[0].content[1]"],
        ),
        (
            Anthropic,
            OpenAi,
            json!({ "messages": [
                { "role": "user", "content": "t" },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "f", "input": {} }] },
                { "role": "user", "content": [
                    { "type": "text", "text": "Look.", "cache_control": { "type": "ephemeral" } },
                    { "type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": true },
                ] },
            ] }),
            vec!["messages[2].content[0].cache_control", "messages[2].content[1]"],
        ),
        (
            Bedrock,
            OpenAi,
            json!({
                "inferenceConfig": { "stopSequences": five, "odd": 1 }, "requestMetadata": { "a": "b" },
                "additionalModelRequestFields": { "top_k": 3, "odd": 1 }, "toolConfig": { "tools": [{ "toolSpec": tool }] },
            }),
            vec![
                "additionalModelRequestFields.top_k",
                "inferenceConfig.stopSequences",
                "requestMetadata",
                "additionalModelRequestFields.odd",
                "inferenceConfig.odd",
                "toolConfig.tools[0].toolSpec.odd",
            ],
        ),
        (
            Bedrock,
            Anthropic,
            json!({ "system": [{ "text": "s" }], "inferenceConfig": { "maxTokens": 9 }, "messages": [{ "role": "user", "content": [{ "text": "t", "odd": 1 }] }, { "role": "assistant", "content": [{ "text": "a " }] }] }),
            vec!["messages[0].content[0].odd", "messages[1].content[0]"],
        ),
    ] {
        loses(&world, whole(client, vendor), &with(client, patch), &[], &names).await;
    }
}

#[tokio::test]
async fn a_refusal_names_what_is_refused_and_nothing_else() {
    let world = world().await;
    let image = json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } });
    let body =
        json!({ "max_tokens": 9, "system": "s", "messages": [{ "role": "user", "content": [image] }] });
    let answer = world.ask(whole(Wire::Anthropic, Wire::Bedrock), &body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains("`messages[0].content[0]`") && !text.contains("no word"), "{text}");
    let sound = json!({ "audio": { "format": "wav", "source": { "bytes": "AAAA" } } });
    let body = json!({ "system": [{ "text": "s" }], "messages": [{ "role": "user", "content": [sound] }] });
    let answer = world.ask(whole(Wire::Bedrock, Wire::Anthropic), &body).await;
    let text = answer.text();
    assert!(text.contains("`messages[0].content[0]`") && !text.contains("no word"), "{text}");
}

#[tokio::test]
async fn a_cache_point_that_covers_nothing_is_a_loss_and_another_finds_its_place() {
    let world = world().await;
    let pair = whole(Wire::Bedrock, Wire::Anthropic);
    let head = json!({ "inferenceConfig": { "maxTokens": 9 }, "messages": [{ "role": "user", "content": [{ "cachePoint": { "type": "default" } }, { "text": "t" }] }] });
    loses(&world, pair, &head, &[], &["messages[0].content[0].cachePoint"]).await;
    let mut covered = head;
    covered["system"] = json!([{ "text": "s" }]);
    loses(&world, pair, &covered, &[], &[]).await;
    let got = world.vendor(Wire::Anthropic).last_request().json();
    assert_eq!(got["system"][0]["cache_control"]["type"], "ephemeral", "{got}");
}

#[tokio::test]
async fn a_document_alone_gets_the_text_that_aws_wants() {
    let world = world().await;
    let document = json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "Kiel" } });
    let body = json!({ "max_tokens": 9, "messages": [{ "role": "user", "content": [document] }] });
    loses(&world, whole(Wire::Anthropic, Wire::Bedrock), &body, &[], &[]).await;
    let content = world.vendor(Wire::Bedrock).last_request().json()["messages"][0]["content"].clone();
    assert_eq!(content[0]["document"]["format"], "txt", "{content}");
    assert_eq!(content[1], json!({ "text": "Here is a document." }), "{content}");
}

#[tokio::test]
async fn an_instruction_amid_a_conversation_can_be_told_from_the_users_words() {
    let world = world().await;
    let body = json!({ "max_tokens": 9, "messages": [
        { "role": "user", "content": "hi" }, { "role": "developer", "content": "Be brief." }, { "role": "user", "content": "so?" },
    ] });
    for vendor in [Wire::Anthropic, Wire::Bedrock] {
        loses(&world, whole(Wire::OpenAi, vendor), &body, &[], &["messages[1]"]).await;
        let got = world.vendor(vendor).last_request().json();
        let texts: Vec<&Value> =
            got["messages"][0]["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect();
        assert_eq!(texts, ["hi", "<system>\nBe brief.\n</system>", "so?"], "{vendor:?}");
    }
}

#[tokio::test]
async fn a_beta_is_carried_to_claude_and_elsewhere_a_loss_if_it_is_missed() {
    let world = world().await;
    let header = [("anthropic-beta", "claude-code-20250219, context-1m-2025-08-07,new-thing-2027-01-01")];
    let body = hi(Wire::Anthropic);
    let [million, new] = ["anthropic-beta: context-1m-2025-08-07", "anthropic-beta: new-thing-2027-01-01"];
    for vendor in [Wire::OpenAi, Wire::Bedrock] {
        loses(&world, whole(Wire::Anthropic, vendor), &body, &header, &[million, new]).await;
        let quiet = [("anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14")];
        loses(&world, whole(Wire::Anthropic, vendor), &body, &quiet, &[]).await;
    }
    let claude = "us.anthropic.claude-opus-4-6-v1";
    let bedrock = Upstream::speaking(Wire::Bedrock).await;
    let server =
        serve(&Config::new().channel("bedrock", &bedrock, &format!("models = [\"{claude}\"]"))).await;
    let client = server.admin();
    let model = format!("bedrock/{claude}");
    let ask = super::request(&client, Wire::Anthropic, &model, Mode::Whole, &body);
    let answer = client.send(ask.header(header[0].0, header[0].1)).await;
    named(&server, &answer, &[new]).await;
    let got = bedrock.last_request().json();
    assert_eq!(
        got["additionalModelRequestFields"]["anthropic_beta"],
        json!(["context-1m-2025-08-07"]),
        "{got}"
    );
}

#[tokio::test]
async fn invokes_headers_go_where_there_is_a_word_for_them() {
    let world = world().await;
    let body = json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let client = world.server.admin();
    let ask = |vendor: Wire| {
        let path = format!("/model/{}/invoke", super::route(vendor));
        let ask = client.request(Method::POST, &path).json(&body);
        ask.header("X-Amzn-Bedrock-Service-Tier", "flex")
            .header("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized")
    };
    named(&world.server, &client.send(ask(Wire::Bedrock)).await, &[]).await;
    let got = world.vendor(Wire::Bedrock).last_request().json();
    assert_eq!(got["serviceTier"], json!({ "type": "flex" }), "{got}");
    assert_eq!(got["performanceConfig"], json!({ "latency": "optimized" }), "{got}");
    let latency = "X-Amzn-Bedrock-PerformanceConfig-Latency";
    named(&world.server, &client.send(ask(Wire::OpenAi)).await, &[latency]).await;
    assert_eq!(world.vendor(Wire::OpenAi).last_request().json()["service_tier"], "flex");
    let tier = "X-Amzn-Bedrock-Service-Tier";
    named(&world.server, &client.send(ask(Wire::Anthropic)).await, &[tier, latency]).await;
    let guarded = ask(Wire::Bedrock).header("X-Amzn-Bedrock-GuardrailIdentifier", "g1");
    let answer = client.send(guarded).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("guardrail"), "{}", answer.text());
}

#[tokio::test]
async fn half_a_surrogate_pair_is_called_so() {
    let world = world().await;
    let client = world.server.admin();
    for (client_wire, path, body, at) in [
        (
            Wire::OpenAi,
            "/v1/chat/completions",
            r#"{"model":"to-anthropic","messages":[{"role":"user","content":"ab\ud800"}]}"#,
            "messages[0].content",
        ),
        (
            Wire::OpenAi,
            "/v1/chat/completions",
            r#"{"model":"to-anthropic","stop":["\udc00\ud800"],"messages":[{"role":"user","content":"hi"}]}"#,
            "stop",
        ),
        (
            Wire::Anthropic,
            "/v1/messages",
            r#"{"model":"to-openai","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"ab\ud800"}]}]}"#,
            "messages[0].content[0].text",
        ),
        (
            Wire::Bedrock,
            "/model/to-openai/converse",
            r#"{"messages":[{"role":"user","content":[{"text":"ab\ud800"}]}]}"#,
            "messages[0].content[0].text",
        ),
    ] {
        let request =
            client.request(Method::POST, path).header("content-type", "application/json").body(body);
        let answer = client.send(request).await;
        let text = answer.text();
        assert_eq!(answer.status, 400, "{client_wire:?}: {text}");
        let said = format!("`{at}` holds half of a surrogate pair, which is no Unicode text");
        assert!(text.contains(&said), "{client_wire:?}: {text}");
    }
}
