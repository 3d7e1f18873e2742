//! `POST /v1/chat/completions`, whole answers.

use serde_json::{Value, json};
use steelyard_testkit::{Config, Steelyard, Upstream, chat, status};

use crate::app::{BINARY, app, ask, ask_stream, charged};

#[tokio::test]
async fn a_whole_answer_is_relayed_and_charged() {
    let app = app().await;
    app.up.next(chat().text("good day").usage(12, 3).model("m-2026-11-01"));
    let answer = app.server.admin().chat(&ask("smart")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.content(), "good day");
    assert_eq!(answer.json()["model"], "m-2026-11-01");
    assert_eq!(answer.json()["usage"]["total_tokens"], 15);

    let entry = app.only_entry().await;
    charged(&entry, 12, 3);
    assert_eq!(entry.request_id, answer.request_id());
    assert_eq!(
        (entry.route.as_str(), entry.channel.as_deref(), entry.model.as_deref()),
        ("smart", Some("up"), Some("m"))
    );
    assert_eq!(
        (entry.principal.as_str(), entry.key.as_deref(), entry.project.as_str()),
        ("admin", None, "default")
    );
    assert_eq!(entry.statuses(), ["ok"]);
    assert_eq!(entry.attempts[0].http_status, Some(200));
    assert_eq!(entry.attempts[0].vendor_request_id.as_deref(), Some("req_vendor_1"));
}

#[tokio::test]
async fn the_request_goes_up_byte_by_byte_but_for_the_models_name() {
    let app = app().await;
    let body = " {\n\t\"temperature\" : 1.50e0,\"messages\":[ {\"role\":\"user\",\"content\":\"h\\u00e9 \\ud83d\\ude00 é\"} ] ,\"x_unknown\": {\"model\":\"smart\"}, \"model\" : \"smart\" ,\"seed\":12345678901234567890 }\n";
    let answer = app.server.admin().post_bytes("/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = app.up.only_request();
    assert_eq!(sent.text(), body.replace("\"model\" : \"smart\"", "\"model\" : \"m\""));
    assert_eq!(sent.path, "/v1/chat/completions");
}

#[tokio::test]
async fn a_model_name_may_be_escaped_and_may_stand_anywhere() {
    let app = app().await;
    for body in [
        r#"{"model":"sm\u0061rt","messages":[]}"#,
        r#"{"messages":[{"role":"user","content":"\"model\":\"x\""}],"model":"smart"}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x","model":"no"}]}],"model":"smart"}"#,
    ] {
        let answer = app.server.admin().post_bytes("/v1/chat/completions", body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        assert_eq!(app.up.last_request().model().as_deref(), Some("m"), "{body}");
    }
}

#[tokio::test]
async fn the_answer_comes_down_byte_by_byte() {
    let app = app().await;
    let body = "{ \"id\":\"x\",\n \"vendor_extra\" : [1.0e3, null], \"model\":\"whatever\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u00fc\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6} }";
    app.up.next(status(200).body("application/json", body));
    let answer = app.server.admin().chat(&ask("smart")).await;
    assert_eq!(answer.text(), body);
    charged(&app.only_entry().await, 4, 2);
}

#[tokio::test]
async fn what_the_vendor_gets_is_ours_and_not_the_callers() {
    let app = app().await;
    let client = app.server.admin();
    let request = client.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("smart"));
    let request = request
        .header("x-secret", "callers own")
        .header("cookie", "session=1")
        .header("x-api-key", "callers-other-key")
        .header("openai-organization", "callers-org")
        .header("accept-encoding", "gzip, br");
    assert_eq!(client.send(request).await.status, 200);
    let sent = app.up.only_request();
    assert_eq!(sent.header("authorization"), Some("Bearer vendor-key-up"));
    assert_eq!(sent.header("accept-encoding"), Some("identity"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert_eq!(sent.header("content-length"), Some(sent.body.len().to_string().as_str()));
    for name in ["x-secret", "cookie", "x-api-key", "openai-organization"] {
        assert_eq!(sent.header(name), None, "{name} went upstream");
    }
    let all = format!("{sent:?}");
    assert!(!all.contains(app.server.admin_key()), "the admin key went upstream");
}

#[tokio::test]
async fn channel_headers_and_organization_are_sent() {
    let up = Upstream::start().await;
    let config = Config::new().toml(&format!(
        "[[channels]]\nname = \"two\"\nprovider = \"openai\"\nbase_url = \"{}/\"\napi_key = \"env:MY_KEY\"\norganization = \"org-1\"\nproject = \"proj-1\"\nheaders = {{ x-team = \"hansa\" }}\n",
        up.base_url()
    ));
    let server = Steelyard::start_with(BINARY, &config, &[("MY_KEY", " from-env\n")]).await;
    assert_eq!(server.admin().chat(&ask("two/m")).await.status, 200);
    let sent = up.only_request();
    assert_eq!(sent.path, "/v1/chat/completions", "a base_url may end in a slash");
    assert_eq!(sent.header("authorization"), Some("Bearer from-env"));
    assert_eq!(sent.header("openai-organization"), Some("org-1"));
    assert_eq!(sent.header("openai-project"), Some("proj-1"));
    assert_eq!(sent.header("x-team"), Some("hansa"));
    assert!(!server.log().contains("from-env"), "a secret is in the log");
}

/// Fields that must reach the vendor, and what they bring back, unchanged.
#[tokio::test]
async fn tools_images_formats_and_choices_pass_through() {
    let app = app().await;
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"], "additionalProperties": false });
    let mut body = json!({
        "model": "smart",
        "messages": [
            { "role": "developer", "content": "be brief" },
            { "role": "user", "name": "ada", "content": [
                { "type": "text", "text": "what is this?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
            ] },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [], "reasoning_content": "hm", "function_call": null,
              "tool_calls": [{ "id": "call_0", "type": "function", "function": { "name": "look", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "call_0", "content": "a ship" },
        ],
        "tools": [{ "type": "function", "function": { "name": "look", "description": "d", "parameters": schema, "strict": true } }],
        "tool_choice": { "type": "function", "function": { "name": "look" } },
        "parallel_tool_calls": false,
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema, "strict": true } },
        "n": 2, "logprobs": true, "top_logprobs": 3, "reasoning_effort": "low", "max_completion_tokens": 100, "stop": ["x"],
        "logit_bias": { "50256": -100 }, "metadata": { "a": "b" }, "service_tier": "flex", "store": false,
    });
    app.up.next(
        chat()
            .text("first")
            .choice()
            .tool("call_1", "look", &json!({ "city": "Lübeck" }))
            .tool("call_2", "look", &json!({ "city": "Bergen" }))
            .usage(30, 12)
            .reasoning(7),
    );
    let answer = app.server.admin().chat(&body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    body["model"] = json!("m");
    assert_eq!(app.up.only_request().json(), body);

    let choices = &answer.json()["choices"];
    assert_eq!(choices[0]["logprobs"]["content"][0]["token"], "first");
    assert_eq!(choices[1]["finish_reason"], "tool_calls");
    assert_eq!(choices[1]["message"]["tool_calls"][1]["function"]["arguments"], r#"{"city":"Bergen"}"#);
    assert_eq!(choices[1]["message"]["content"], Value::Null);

    let entry = app.only_entry().await;
    assert_eq!(
        (entry.used("input"), entry.used("output"), entry.used("reasoning")),
        (30, 5, 7),
        "{entry:#?}"
    );
}

#[tokio::test]
async fn a_large_body_and_a_large_answer_pass() {
    let app = app().await;
    let long = "0123456789abcdef".repeat(256 * 1024);
    let mut body = ask("smart");
    body["messages"][0]["content"] = json!(long);
    app.up.next(chat().text(&long).usage(1_000_000, 1_000_000));
    let answer = app.server.admin().chat(&body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.content().len(), long.len());
    assert_eq!(
        app.up.only_request().json()["messages"][0]["content"].as_str().map(str::len),
        Some(long.len())
    );
    charged(&app.only_entry().await, 1_000_000, 1_000_000);
}

#[tokio::test]
async fn the_openai_prefix_serves_the_same() {
    let app = app().await;
    let answer = app.server.admin().post("/openai/v1/chat/completions", &ask("smart")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.content(), "hello");
}

#[tokio::test]
async fn connections_to_the_vendor_are_kept_and_used_again() {
    const CALLS: usize = 20;
    for body in [ask("smart"), ask_stream("smart")] {
        let app = app().await;
        let client = app.server.admin();
        let mut opened = Vec::new();
        for _ in 0..CALLS {
            assert_eq!(client.chat(&body).await.status, 200);
            opened.push(app.up.accepted_connections());
        }
        // A connection is free again a moment after the answer's last byte has gone out. On a busy machine the next
        // call may overtake it and open another, but not most of the time.
        assert!(app.up.accepted_connections() <= CALLS / 2, "connections after each call: {opened:?}");
    }
}
