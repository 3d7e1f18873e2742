//! OpenAI's Responses through the real binary: its clients before vendors of every wire, whole and streamed, with the bill;
//! relayed where the vendor speaks it. What is kept between calls: [`state`], [`conversations`].

mod conversations;
mod state;

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Config, End, Gate, Steelyard, Upstream, Wire, chat, status};

use crate::app::{charged, serve};

/// A server, and a vendor of each wire behind a route of its name; before OpenAI's there are three.
struct World {
    server: Steelyard,
    vendors: Vec<(&'static str, Upstream)>,
}

/// `relayed` speaks Responses because it is told to, `own` because it is OpenAI's; `openai` is asked in Chat Completions.
const NAMES: [(&str, Wire); 6] = [
    ("relayed", Wire::OpenAi),
    ("own", Wire::OpenAi),
    ("openai", Wire::OpenAi),
    ("anthropic", Wire::Anthropic),
    ("bedrock", Wire::Bedrock),
    ("gemini", Wire::Gemini),
];

async fn world() -> World {
    let (config, vendors) = declared().await;
    World { server: serve(&config).await, vendors }
}

async fn declared() -> (Config, Vec<(&'static str, Upstream)>) {
    let mut vendors = Vec::new();
    let mut config = Config::new();
    for (name, wire) in NAMES {
        let vendor = Upstream::speaking(wire).await;
        config = match name {
            "own" => config.toml(&format!(
                "[[channels]]\nname = \"own\"\nprovider = \"openai\"\nbase_url = \"{}\"\napi_key = \"vendor-key-own\"\nmodels = [\"m\"]\n",
                vendor.base_url()
            )),
            "relayed" => config.channel(name, &vendor, "responses = true\nmodels = [\"m\"]"),
            "bedrock" => {
                let claude = "anthropic.claude-sonnet-4-5-20250929-v1:0";
                let more = format!("models = [\"m\", \"{claude}\"]");
                config.channel(name, &vendor, &more).route("to-claude", &[&format!("{name}/{claude}")], "")
            }
            _ => config.channel(name, &vendor, "models = [\"m\"]"),
        };
        config = config.price(name, "m", "1.00", "2.00", r#"cache_read = "0.10""#).route(
            &format!("to-{name}"),
            &[&format!("{name}/m")],
            "retries = 0",
        );
        vendors.push((name, vendor));
    }
    (config, vendors)
}

impl World {
    fn vendor(&self, name: &str) -> &Upstream {
        &self.vendors.iter().find(|(known, _)| *known == name).unwrap().1
    }

    async fn ask(&self, vendor: &str, stream: bool, more: &Value) -> Answer {
        let mut body = json!({"model": format!("to-{vendor}"), "input": "hi", "stream": stream, "max_output_tokens": 64});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.server.admin().post("/v1/responses", &body).await
    }
}

/// The events of a stream, each held to its name.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let read = |event: &str| -> Value {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name, "{text}");
        data
    };
    text.split("\n\n").filter(|event| !event.is_empty()).map(read).collect()
}

/// The response, whole or as the last event has it.
fn response(stream: bool, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    if stream { events(answer).pop().unwrap()["response"].clone() } else { answer.json() }
}

/// What is said in it.
fn said(response: &Value) -> String {
    let items = response["output"].as_array().unwrap().iter();
    let parts =
        items.filter(|item| item["type"] == "message").flat_map(|item| item["content"].as_array().unwrap());
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn a_client_is_answered_by_every_vendor_and_billed() {
    let world = world().await;
    for (name, _) in NAMES {
        for stream in [false, true] {
            world.vendor(name).next(chat().texts(["On the ", "Baltic."]).usage(11, 7));
            let answer = world.ask(name, stream, &json!({"instructions": "be brief"})).await;
            let got = response(stream, &answer);
            let case = format!("{name} {stream}: {got}");
            assert_eq!(
                (said(&got).as_str(), &got["status"]),
                ("On the Baltic.", &json!("completed")),
                "{case}"
            );
            let used = &got["usage"];
            assert_eq!((&used["input_tokens"], &used["output_tokens"]), (&json!(11), &json!(7)), "{case}");
            let kind = if stream { "text/event-stream" } else { "application/json" };
            assert!(answer.header("content-type").unwrap().starts_with(kind), "{case}");
            assert_eq!(answer.header("x-steelyard-loss"), None, "{case}");
            let entry = world.server.entry(answer.request_id()).await;
            charged(&entry, 11, 7);
            assert_eq!(entry.dialect, "openai_responses", "{case}");
            assert_eq!(got["store"], true, "{case}");
            assert!(got["id"].as_str().unwrap().starts_with("resp_"), "{case}");
            if !matches!(name, "relayed" | "own") {
                assert_eq!(got["instructions"], "be brief", "{case}");
            }
            if stream {
                let numbers: Vec<Value> =
                    events(&answer).iter().map(|event| event["sequence_number"].clone()).collect();
                assert_eq!(
                    numbers,
                    (0..numbers.len()).map(|number| json!(number)).collect::<Vec<_>>(),
                    "{case}"
                );
                assert!(!answer.text().contains("[DONE]"), "{case}");
            }
        }
    }
    for (name, path) in
        [("relayed", "/v1/responses"), ("own", "/v1/responses"), ("openai", "/v1/chat/completions")]
    {
        let asked = world.vendor(name).requests();
        assert!(asked.iter().all(|request| request.path == path), "{name}");
        if path == "/v1/responses" {
            // The client's words as they are, but for the model's name, and that the vendor is to keep nothing.
            let words = json!({"model": "m", "input": "hi", "stream": false, "max_output_tokens": 64, "instructions": "be brief", "store": false});
            assert_eq!(asked[0].json(), words, "{name}");
        }
    }
}

#[tokio::test]
async fn clients_of_chat_are_still_asked_for_in_chat() {
    let world = world().await;
    let body = json!({"model": "to-own", "messages": [{"role": "user", "content": "hi"}]});
    let answer = world.server.admin().chat(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.vendor("own").last_request().path, "/v1/chat/completions");
}

#[tokio::test]
async fn what_came_from_a_cache_and_what_was_thought_is_billed_once() {
    let world = world().await;
    for (name, stream) in [("relayed", false), ("relayed", true), ("openai", false), ("openai", true)] {
        world.vendor(name).next(chat().text("Baltic.").usage(100, 30).cached(40).reasoning(20));
        let answer = world.ask(name, stream, &json!({})).await;
        let got = response(stream, &answer);
        assert_eq!(got["usage"]["input_tokens_details"]["cached_tokens"], 40, "{name} {stream}");
        assert_eq!(got["usage"]["output_tokens_details"]["reasoning_tokens"], 20, "{name} {stream}");
        let entry = world.server.entry(answer.request_id()).await;
        let used = ["input", "cache_read", "output", "reasoning"].map(|class| entry.used(class));
        assert_eq!(used, [60, 40, 10, 20], "{name} {stream}");
        assert_eq!(entry.pico(), Some(60 * 1_000_000 + 40 * 100_000 + 30 * 2_000_000), "{name} {stream}");
    }
}

#[tokio::test]
async fn tools_are_called_and_answered_over_every_wire() {
    let world = world().await;
    let city = json!({"city": "Kiel"});
    let tools = json!([{"type": "function", "name": "find", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    for (name, _) in NAMES {
        for stream in [false, true] {
            let case = format!("{name} {stream}");
            world.vendor(name).next(chat().tool("call_a", "find", &city).tool("call_b", "find", &city));
            let got = response(stream, &world.ask(name, stream, &json!({"tools": tools})).await);
            let calls = got["output"].as_array().unwrap().clone();
            assert_eq!(calls.len(), 2, "{case}: {got}");
            for call in &calls {
                assert_eq!(
                    (&call["type"], &call["name"]),
                    (&json!("function_call"), &json!("find")),
                    "{case}"
                );
                let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
                assert_eq!(arguments, city, "{case}");
            }
            // The items go back as they came.
            let mut input = vec![json!({"role": "user", "content": "hi"})];
            input.extend(calls.iter().cloned());
            for (call, result) in calls.iter().zip(["54 N", "10 E"]) {
                let id = &call["call_id"];
                input.push(json!({"type": "function_call_output", "call_id": id, "output": result}));
            }
            world.vendor(name).next(chat().text("There."));
            let answer = world.ask(name, stream, &json!({"tools": tools, "input": input})).await;
            assert_eq!(said(&response(stream, &answer)), "There.", "{case}");
            assert_eq!(answer.header("x-steelyard-loss"), None, "{case}");
            let sent = world.vendor(name).last_request().text();
            assert!(sent.find("54 N").unwrap() < sent.find("10 E").unwrap(), "{case}: {sent}");
        }
    }
}

/// What a vendor proves of its reasoning comes back to it with the next turn.
#[tokio::test]
async fn proofs_of_reasoning_ride_through_the_client() {
    let world = world().await;
    for (name, stream) in [("anthropic", false), ("anthropic", true), ("bedrock", false), ("bedrock", true)] {
        let case = format!("{name} {stream}");
        // Bedrock has a word for reasoning before Claude alone.
        let route = if name == "bedrock" { "claude" } else { name };
        let call =
            || chat().reasoning_text("A port.").signature("EqQBsigned").tool("call_a", "find", &json!({}));
        world.vendor(name).next(call());
        let asked = json!({"tools": [{"type": "function", "name": "find"}], "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"], "store": false, "max_output_tokens": 50_000});
        let got = response(stream, &world.ask(route, stream, &asked).await);
        let items = got["output"].as_array().unwrap().clone();
        assert_eq!(items[0]["summary"][0]["text"], "A port.", "{case}: {got}");
        let mut input = vec![json!({"role": "user", "content": "hi"})];
        input.extend(items);
        input.push(json!({"type": "function_call_output", "call_id": "call_a", "output": "54 N"}));
        let mut asked = asked;
        asked["input"] = json!(input);
        world.vendor(name).next(chat().text("There."));
        let answer = world.ask(route, stream, &asked).await;
        assert_eq!(said(&response(stream, &answer)), "There.", "{case}");
        let sent = world.vendor(name).last_request().text();
        assert!(
            sent.contains("EqQBsigned") && sent.contains("A port.") && !sent.contains("steelyard."),
            "{case}: {sent}"
        );
    }
}

/// OpenAI refuses proofs that are not its own, so they do not go there.
#[tokio::test]
async fn a_conversation_goes_on_at_openai_without_the_proofs_of_others() {
    let world = world().await;
    let proved = "steelyard.signature.EqQBsigned";
    let input = json!([{"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A port."}], "encrypted_content": proved},
        {"role": "assistant", "content": "Baltic."}, {"role": "user", "content": "Sure?"}]);
    let mut left = input.clone();
    left.as_array_mut().unwrap().remove(1);
    for stream in [false, true] {
        world.vendor("own").next(chat().text("Yes."));
        let answer = world.ask("own", stream, &json!({"input": input})).await;
        assert_eq!(said(&response(stream, &answer)), "Yes.");
        assert_eq!(answer.header("x-steelyard-loss"), Some("input[1]"));
        assert_eq!(world.vendor("own").last_request().json()["input"], left);
    }
}

#[tokio::test]
async fn nothing_is_done_in_the_background() {
    let world = world().await;
    for name in ["own", "anthropic"] {
        let answer = world.ask(name, false, &json!({"background": true})).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!("background")), "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains("background"), "{error}");
        assert_eq!(world.vendor(name).requests().len(), 0);
    }
}

/// OpenAI's own tools run where they are, with a bound of what they may cost; elsewhere they are refused, or left out.
#[tokio::test]
async fn openais_own_tools_go_to_openai_alone() {
    let world = world().await;
    let search = json!({"tools": [{"type": "web_search"}]});
    world.vendor("own").next(chat().text("On the Baltic."));
    assert_eq!(world.ask("own", false, &search).await.status, 200);
    assert_eq!(world.vendor("own").last_request().json()["tools"], search["tools"]);
    world.vendor("anthropic").next(chat().text("On the Baltic."));
    let answer = world.ask("anthropic", false, &search).await;
    assert_eq!((answer.status, answer.header("x-steelyard-loss")), (200, Some("tools[0]")));
    let files = json!({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]});
    let answer = world.ask("anthropic", true, &files).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["param"]), (400, &json!("tools[0]")), "{error}");
}

#[tokio::test]
async fn a_strict_call_is_refused_for_what_would_be_lost() {
    let world = world().await;
    let admin = world.server.admin();
    let body = json!({"model": "to-anthropic", "input": "hi", "prompt_cache_key": "a"});
    let request =
        admin.request(Method::POST, "/v1/responses").header("x-steelyard-strict", "true").json(&body);
    let answer = admin.send(request).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("prompt_cache_key")));
}

#[tokio::test]
async fn a_vendors_refusal_reads_as_openais_clients_expect_it() {
    let world = world().await;
    for (name, _) in NAMES {
        for stream in [false, true] {
            world.vendor(name).next(status(400).message("temperature: too warm"));
            let answer = world.ask(name, stream, &json!({})).await;
            let error = &answer.json()["error"];
            assert_eq!(answer.status, 400, "{name}: {error}");
            assert!(error["message"].as_str().unwrap().contains("temperature: too warm"), "{name}: {error}");
            assert!(error["type"].is_string() && error.get("code").is_some(), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_a_failure_and_never_looks_complete() {
    let world = world().await;
    for name in ["relayed", "openai", "anthropic"] {
        for fault in [chat().text("one ").cut(End::Close), chat().text("one ").fail("the engine failed")] {
            world.vendor(name).next(fault);
            let answer = world.ask(name, true, &json!({})).await;
            let all = events(&answer);
            let case = format!("{name}: {all:?}");
            assert!(all.iter().any(|event| event["delta"] == "one "), "{case}");
            let last = all.last().unwrap();
            assert_eq!(last["type"], "response.failed", "{case}");
            assert!(last["response"]["error"]["message"].is_string(), "{case}");
            assert!(!answer.text().contains("response.completed"), "{case}");
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(
                (entry.outcome.as_str(), entry.basis.as_deref()),
                ("upstream_error", Some("counted")),
                "{case}"
            );
        }
    }
}

/// A vendor that says that it is there and then fails has said nothing: another takes over.
#[tokio::test]
async fn a_failure_before_the_first_piece_goes_to_the_next_target() {
    let first = Upstream::start().await;
    let second = Upstream::start().await;
    let config = Config::new()
        .channel("first", &first, "responses = true\nmodels = [\"m\"]")
        .channel("second", &second, "responses = true\nmodels = [\"m\"]")
        .price("first", "m", "1.00", "2.00", "")
        .price("second", "m", "1.00", "2.00", "")
        .route("smart", &["first/m", "second/m"], "retries = 0");
    let server = serve(&config).await;
    first.next(chat().fail("the engine is full"));
    second.next(chat().text("Here."));
    let answer =
        server.admin().post("/v1/responses", &json!({"model": "smart", "input": "hi", "stream": true})).await;
    assert_eq!(said(&response(true, &answer)), "Here.");
    assert_eq!(answer.header("x-steelyard-attempts"), Some("2"));
}

#[tokio::test]
async fn pieces_pass_when_they_come_and_the_last_waits_for_the_books() {
    let world = world().await;
    for name in ["relayed", "openai", "anthropic", "gemini"] {
        let gate = Gate::default();
        world.vendor(name).next(chat().text("first ").wait(&gate).text("second"));
        let body = json!({"model": format!("to-{name}"), "input": "hi", "stream": true});
        let admin = world.server.admin();
        let mut stream = admin.open(admin.request(Method::POST, "/v1/responses").json(&body)).await;
        stream.until_bytes("first ").await;
        gate.open();
        let answer = stream.finish().await;
        assert_eq!(said(&response(true, &answer)), "first second", "{name}");
    }
}
