//! What is kept between calls: answers fetched, gone on from at every vendor, deleted and forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Client, Config, Steelyard, Store, Upstream, Wire, chat, eventually, status};

use super::{NAMES, World, declared, events, response, said, world};
use crate::app::{BINARY, on_each_store, serve};

on_each_store!(
    an_answer_is_fetched_listed_and_deleted,
    a_call_goes_on_from_an_earlier_one_at_every_vendor,
    another_project_sees_nothing_of_it,
    an_answer_outlives_the_process,
    what_is_kept_no_longer_is_gone,
);

pub(super) async fn world_on(store: Store) -> Option<World> {
    let (config, vendors) = declared().await;
    Some(World { server: Steelyard::start_on(store, BINARY, &config, &[]).await?, vendors })
}

pub(super) fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

/// The ids of a page of items, as far as they are messages, with what they say.
pub(super) fn listed(page: &Value) -> Vec<String> {
    let text = |item: &Value| item["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    page["data"].as_array().unwrap().iter().map(text).collect()
}

#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16, code: &str, param: Option<&str>) {
    let error = answer.json()["error"].clone();
    let told = (answer.status, error["code"].as_str(), error["param"].as_str());
    assert_eq!(told, (status, Some(code), param), "{error}");
    assert!(error["type"].is_string() && error["message"].is_string(), "{error}");
}

async fn an_answer_is_fetched_listed_and_deleted(store: Store) {
    let Some(world) = world_on(store).await else { return };
    let admin = world.server.admin();
    for (name, _) in NAMES {
        for stream in [false, true] {
            let case = format!("{name} {stream}");
            world.vendor(name).next(chat().text("On the Baltic."));
            let answer = world.ask(name, stream, &json!({"metadata": {"a": "b"}})).await;
            let got = response(stream, &answer);
            // The last byte is here, so it can be asked for.
            let id = id(&got);
            assert_eq!(id.strip_prefix("resp_"), answer.request_id().strip_prefix("req_"), "{case}");
            let path = format!("/v1/responses/{id}");
            let found = admin.get(&path).await;
            assert_eq!((found.status, found.json()), (200, got.clone()), "{case}");
            if stream {
                let ids: BTreeSet<String> = events(&answer)
                    .iter()
                    .filter_map(|event| event["response"]["id"].as_str().map(str::to_owned))
                    .collect();
                assert_eq!(ids, [id.clone()].into(), "{case}");
            }
            let items = admin.get(&format!("/openai/v1/responses/{id}/input_items")).await.json();
            assert_eq!(
                (listed(&items), &items["has_more"]),
                (vec!["hi".to_owned()], &json!(false)),
                "{case}"
            );
            assert!(items["first_id"].as_str().unwrap().starts_with("msg_"), "{case}: {items}");
            let deleted = admin.delete(&path).await;
            assert_eq!(deleted.json(), json!({"id": id, "object": "response", "deleted": true}), "{case}");
            for answer in [
                admin.get(&path).await,
                admin.delete(&path).await,
                admin.get(&format!("{path}/input_items")).await,
            ] {
                refused(&answer, 404, "not_found", None);
            }
        }
    }
    // No vendor was asked to keep anything.
    for name in ["relayed", "own"] {
        assert!(world.vendor(name).requests().iter().all(|sent| sent.json()["store"] == false), "{name}");
    }
}

async fn a_call_goes_on_from_an_earlier_one_at_every_vendor(store: Store) {
    let Some(world) = world_on(store).await else { return };
    for (name, _) in NAMES {
        for stream in [false, true] {
            let case = format!("{name} {stream}");
            let say = |text: &str| world.vendor(name).next(chat().text(text));
            say("I am a gate.");
            let more = json!({"input": "Who are you?", "instructions": "Speak of gates."});
            let first = response(stream, &world.ask(name, stream, &more).await);
            say("Since 1356.");
            let more = json!({"input": "Since when?", "previous_response_id": first["id"]});
            let answer = world.ask(name, stream, &more).await;
            let second = response(stream, &answer);
            assert_eq!(second["previous_response_id"], first["id"], "{case}");
            assert_eq!(answer.header("x-steelyard-loss"), None, "{case}");
            let sent = world.vendor(name).last_request().text();
            let places = ["Who are you?", "I am a gate.", "Since when?"].map(|text| sent.find(text));
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{case}: {sent}");
            assert!(!sent.contains("Speak of gates.") && !sent.contains("resp_"), "{case}: {sent}");

            // Two branches know nothing of each other.
            say("Of oak.");
            let more = json!({"input": "Of what?", "previous_response_id": first["id"]});
            let branch = response(stream, &world.ask(name, stream, &more).await);
            let sent = world.vendor(name).last_request().text();
            assert!(sent.contains("I am a gate.") && !sent.contains("Since"), "{case}: {sent}");
            say("Yes.");
            let more = json!({"input": "Really?", "previous_response_id": second["id"]});
            response(stream, &world.ask(name, stream, &more).await);
            let sent = world.vendor(name).last_request().text();
            assert!(sent.contains("Since 1356.") && !sent.contains("oak"), "{case}: {sent}");

            let path = format!("/v1/responses/{}/input_items", id(&branch));
            let items = world.server.admin().get(&format!("{path}?order=asc")).await.json();
            assert_eq!(listed(&items), ["Who are you?", "I am a gate.", "Of what?"], "{case}");
            let items = world.server.admin().get(&format!("{path}?limit=1")).await.json();
            assert_eq!((listed(&items), &items["has_more"]), (vec!["Of what?".to_owned()], &json!(true)));
            let after = format!(
                "{path}?limit=5&include[]=message.output_text.logprobs&after={}",
                items["last_id"].as_str().unwrap()
            );
            let items = world.server.admin().get(&after).await.json();
            assert_eq!(listed(&items), ["I am a gate.", "Who are you?"], "{case}");
        }
    }
}

/// The state is Steelyard's, so a conversation may go on wherever there is a model.
#[tokio::test]
async fn a_conversation_goes_from_vendor_to_vendor() {
    let world = world().await;
    let mut previous = Value::Null;
    let mut so_far: Vec<String> = Vec::new();
    let turns = ["anthropic", "own", "gemini", "relayed", "openai", "claude", "own"];
    for (number, route) in turns.into_iter().enumerate() {
        let name = if route == "claude" { "bedrock" } else { route };
        let (question, reply) = (format!("question-{number}"), format!("reply-{number}"));
        world.vendor(name).next(chat().text(&reply));
        let more = json!({"input": question, "previous_response_id": previous});
        let answer = world.ask(route, number % 2 == 0, &more).await;
        let got = response(number % 2 == 0, &answer);
        assert_eq!((said(&got), answer.header("x-steelyard-loss")), (reply.clone(), None), "{route}");
        previous = got["id"].clone();
        so_far.push(question);
        let sent = world.vendor(name).last_request().text();
        let places: Vec<_> = so_far.iter().map(|text| sent.find(&format!("{text}\""))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{route}: {sent}");
        so_far.push(reply);
    }
}

/// A target that fails is no end of the conversation.
#[tokio::test]
async fn the_next_target_knows_the_conversation_too() {
    let (first, second) = (Upstream::start().await, Upstream::speaking(Wire::Anthropic).await);
    let config = Config::new()
        .channel("first", &first, "responses = true\nmodels = [\"m\"]")
        .channel("second", &second, "models = [\"m\"]")
        .route("smart", &["first/m", "second/m"], "retries = 0");
    let server = serve(&config).await;
    let ask = async |body: Value| server.admin().post("/v1/responses", &body).await;
    first.next(chat().text("I am a gate."));
    let answer = ask(json!({"model": "smart", "input": "Who are you?"})).await.json();
    first.next(status(500).message("down"));
    second.next(chat().text("Since 1356."));
    let body = json!({"model": "smart", "input": "Since when?", "previous_response_id": answer["id"]});
    let answer = ask(body).await;
    assert_eq!(
        (said(&answer.json()).as_str(), answer.header("x-steelyard-attempts")),
        ("Since 1356.", Some("2"))
    );
    let sent = second.last_request().text();
    assert!(sent.contains("Who are you?") && sent.contains("I am a gate."), "{sent}");
}

/// Signed thinking, encrypted reasoning and the loop of tools go on, though the client sends nothing but the result.
#[tokio::test]
async fn proofs_of_reasoning_are_kept() {
    let world = world().await;
    for name in ["anthropic", "bedrock", "own"] {
        for stream in [false, true] {
            let case = format!("{name} {stream}");
            let route = if name == "bedrock" { "claude" } else { name };
            world.vendor(name).next(chat().reasoning_text("A port.").signature("EqQBsigned").tool(
                "call_a",
                "find",
                &json!({}),
            ));
            let asked = json!({"tools": [{"type": "function", "name": "find"}], "reasoning": {"effort": "high"}, "max_output_tokens": 50_000});
            let first = response(stream, &world.ask(route, stream, &asked).await);
            world.vendor(name).next(chat().text("There."));
            let mut more = asked.clone();
            more["previous_response_id"] = first["id"].clone();
            more["input"] = json!([{"type": "function_call_output", "call_id": "call_a", "output": "54 N"}]);
            let answer = world.ask(route, stream, &more).await;
            assert_eq!(said(&response(stream, &answer)), "There.", "{case}");
            let lost = answer.header("x-steelyard-loss").unwrap_or_default();
            assert!(!lost.contains("previous_response_id") && !lost.contains("input"), "{case}: {lost}");
            let sent = world.vendor(name).last_request().text();
            assert!(
                sent.contains("EqQBsigned") && sent.contains("54 N") && !sent.contains("steelyard."),
                "{case}: {sent}"
            );
        }
    }
}

/// OpenAI keeps nothing, so a model of its that reasons is asked for the proof; what nobody proved stays behind, by name.
#[tokio::test]
async fn openai_is_asked_for_its_proofs() {
    let up = Upstream::start().await;
    let channel = format!(
        "[[channels]]\nname = \"openai\"\nprovider = \"openai\"\nbase_url = \"{}\"\napi_key = \"k\"\n",
        up.base_url()
    );
    let server = serve(&Config::new().toml(&channel)).await;
    let ask = async |body: Value| server.admin().post("/v1/responses", &body).await;
    up.next(chat().reasoning_text("A port.").text("Baltic."));
    let answer = ask(json!({"model": "gpt-6-sol", "input": "hi"})).await.json();
    assert_eq!(up.last_request().json()["include"], json!(["reasoning.encrypted_content"]));
    let answer =
        ask(json!({"model": "gpt-4o", "input": "Sure?", "previous_response_id": answer["id"]})).await;
    assert_eq!(answer.header("x-steelyard-loss"), Some("previous_response_id"));
    let sent = up.last_request().json();
    assert_eq!(sent.get("include"), None);
    let kinds: Vec<&str> =
        sent["input"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "message", "message"]);
    // Nothing is to be kept, and nothing goes on: the client's bytes are none of our business.
    ask(json!({"model": "gpt-6-sol", "input": "hi", "store": false})).await;
    assert_eq!(up.last_request().json(), json!({"model": "gpt-6-sol", "input": "hi", "store": false}));
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_openais_shape() {
    let world = world().await;
    let admin = world.server.admin();
    let unknown = format!("resp_{}", "0".repeat(32));
    for name in ["own", "anthropic"] {
        for (previous, stream) in [("resp_1", false), (unknown.as_str(), true), ("", false)] {
            let answer = world.ask(name, stream, &json!({"previous_response_id": previous})).await;
            refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
        }
        let both = json!({"previous_response_id": unknown, "conversation": "conv_1"});
        refused(&world.ask(name, false, &both).await, 400, "invalid_value", Some("conversation"));
        assert_eq!(world.vendor(name).requests().len(), 0);
    }
    for (method, path) in [
        (Method::GET, "/v1/responses/resp_1".to_owned()),
        (Method::DELETE, format!("/v1/responses/{unknown}")),
        (Method::POST, format!("/openai/v1/responses/{unknown}/cancel")),
        (Method::GET, format!("/v1/responses/{unknown}/input_items")),
    ] {
        let answer = admin.send(admin.request(method, &path)).await;
        refused(&answer, 404, "not_found", None);
        assert_eq!(world.server.client("wrong").get("/v1/responses/resp_1").await.status, 401);
    }
    let kept = world.ask("anthropic", false, &json!({})).await.json();
    let path = format!("/v1/responses/{}", id(&kept));
    refused(&admin.get(&format!("{path}?stream=true")).await, 400, "invalid_value", Some("stream"));
    refused(&admin.get(&format!("{path}/input_items?limit=0")).await, 400, "invalid_value", Some("limit"));
    let cancelled = admin.post(&format!("{path}/cancel"), &json!({})).await;
    refused(&cancelled, 400, "invalid_value", None);

    // What was deleted cannot be gone on from, and nothing that came after it.
    let more = json!({"previous_response_id": kept["id"]});
    let second = world.ask("anthropic", false, &more).await.json();
    admin.delete(&path).await;
    for previous in [&kept, &second] {
        let answer = world.ask("anthropic", false, &json!({"previous_response_id": previous["id"]})).await;
        refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
        assert!(answer.text().contains(&id(&kept)), "{}", answer.text());
    }
    // Nothing was asked of a vendor for calls that were refused.
    assert_eq!(world.server.has_entries(2).await.len(), 2);
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not_but_may_go_on() {
    let world = world().await;
    for name in ["own", "anthropic"] {
        for stream in [false, true] {
            let case = format!("{name} {stream}");
            let nothing = json!({"store": false});
            let got = response(stream, &world.ask(name, stream, &nothing).await);
            assert_eq!(got["store"], false, "{case}");
            let path = format!("/v1/responses/{}", id(&got));
            assert_eq!(world.server.admin().get(&path).await.status, 404, "{case}");
            world.vendor(name).next(chat().text("I am a gate."));
            let kept = response(stream, &world.ask(name, stream, &json!({})).await);
            let more = json!({"store": false, "previous_response_id": kept["id"]});
            let got = response(stream, &world.ask(name, stream, &more).await);
            assert_eq!((&got["store"], &got["previous_response_id"]), (&json!(false), &kept["id"]), "{case}");
            assert!(world.vendor(name).last_request().text().contains("I am a gate."), "{case}");
            let path = format!("/v1/responses/{}", id(&got));
            assert_eq!(world.server.admin().get(&path).await.status, 404, "{case}");
        }
    }
}

/// Faults and losses are named as the caller wrote them, whatever was put before.
#[tokio::test]
async fn what_is_wrong_is_named_as_the_caller_wrote_it() {
    let world = world().await;
    world.vendor("anthropic").next(chat().tool("call_a", "find", &json!({})));
    let tools = json!([{"type": "function", "name": "find"}]);
    let first = world.ask("anthropic", false, &json!({"tools": tools})).await.json();
    let go_on = async |input: Value| {
        let more = json!({"tools": tools, "previous_response_id": first["id"], "input": input});
        world.ask("anthropic", false, &more).await
    };
    let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "54 N"});
    let answer = go_on(json!([result("call_a"), result("call_b")])).await;
    refused(&answer, 400, "invalid_value", Some("input[1].call_id"));
    assert!(answer.text().contains("`input[1].call_id` is `call_b`"), "{}", answer.text());
    let answer = go_on(json!("and now?")).await;
    refused(&answer, 400, "invalid_value", Some("previous_response_id"));
    assert!(answer.text().contains("`previous_response_id` calls a tool"), "{}", answer.text());
    let picture = json!({"role": "user", "content": [{"type": "input_image", "image_url": "no url"}]});
    let answer = go_on(json!([result("call_a"), picture])).await;
    refused(&answer, 400, "invalid_value", Some("input[1].content[0].image_url"));
}

/// Clients that name an item instead of sending it again.
#[tokio::test]
async fn an_item_that_is_only_named_is_found() {
    let world = world().await;
    for name in ["own", "anthropic"] {
        world.vendor(name).next(chat().text("I am a gate."));
        let first = world.ask(name, false, &json!({})).await.json();
        let named = json!({"type": "item_reference", "id": first["output"][0]["id"]});
        let input = json!([{"role": "user", "content": "hi"}, named, {"role": "user", "content": "Sure?"}]);
        for store in [false, true] {
            let answer = world.ask(name, false, &json!({"input": input, "store": store})).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            let sent = world.vendor(name).last_request().text();
            assert!(sent.contains("I am a gate.") && !sent.contains("item_reference"), "{name}: {sent}");
        }
        let unknown = json!({"input": [{"type": "item_reference", "id": "msg_unknown"}]});
        refused(&world.ask(name, false, &unknown).await, 404, "not_found", Some("input[0].id"));
    }
}

/// No vendor is asked: the answer is an estimate, and says so, before all but the sandbox, whose own rule it is.
#[tokio::test]
async fn tokens_are_counted_with_all_that_a_call_goes_on_from() {
    let (config, vendors) = declared().await;
    let world = World { server: serve(&config.sandbox()).await, vendors };
    let admin = world.server.admin();
    let count = async |model: &str, more: Value| {
        let mut body = json!({"model": model, "input": "How many are we?"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = admin.post("/v1/responses/input_tokens", &body).await;
        assert_eq!(
            (answer.status, &answer.json()["object"]),
            (200, &json!("response.input_tokens")),
            "{model}"
        );
        let loss = answer.header("x-steelyard-loss").map(str::to_owned);
        assert_eq!(loss.as_deref(), (model != "sandbox").then_some("input_tokens"), "{model}");
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!((entry.outcome.as_str(), entry.pico()), ("ok", Some(0)), "{model}");
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    for (name, _) in NAMES {
        let model = format!("to-{name}");
        let alone = count(&model, json!({})).await;
        assert!(alone > 0 && alone < 50, "{name}: {alone}");
        world.vendor(name).next(chat().text(&"word ".repeat(100)));
        let kept = world.ask(name, false, &json!({})).await.json();
        let asked = world.vendor(name).requests().len();
        let with = count(&model, json!({"previous_response_id": kept["id"]})).await;
        assert!(with > alone + 50, "{name}: {with}");
        assert!(count(&model, json!({"instructions": "word ".repeat(100)})).await > alone + 50, "{name}");
        assert_eq!(world.vendor(name).requests().len(), asked, "{name}");
    }
    assert!(count("sandbox", json!({})).await > 0);
    let unknown = json!({"model": "to-own", "input": "hi", "previous_response_id": "resp_1"});
    let answer = admin.post("/v1/responses/input_tokens", &unknown).await;
    refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
}

async fn another_project_sees_nothing_of_it(store: Store) {
    let Some(world) = world_on(store).await else { return };
    world.server.admin().post("/api/v1/projects", &json!({"name": "other"})).await;
    let mine = world.server.create_key_with(json!({"name": "mine"})).await;
    let theirs = world.server.create_key_with(json!({"name": "theirs", "project": "other"})).await;
    let (mine, theirs) = (world.server.client(&mine.secret), world.server.client(&theirs.secret));
    let ask = async |client: &Client, more: Value| {
        let mut body = json!({"model": "to-anthropic", "input": "hi", "max_output_tokens": 64});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.post("/v1/responses", &body).await
    };
    let kept = ask(&mine, json!({})).await.json();
    let path = format!("/v1/responses/{}", id(&kept));
    for answer in [
        theirs.get(&path).await,
        theirs.get(&format!("{path}/input_items")).await,
        theirs.delete(&path).await,
        theirs.post(&format!("{path}/cancel"), &json!({})).await,
    ] {
        refused(&answer, 404, "not_found", None);
    }
    let answer = ask(&theirs, json!({"previous_response_id": kept["id"]})).await;
    refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
    let named = json!({"input": [{"type": "item_reference", "id": kept["output"][0]["id"]}]});
    refused(&ask(&theirs, named).await, 404, "not_found", Some("input[0].id"));
    // It is there all the same, for every key of its own project.
    assert_eq!(world.server.admin().get(&path).await.status, 200);
    assert_eq!(ask(&mine, json!({"previous_response_id": kept["id"]})).await.status, 200);
}

async fn an_answer_outlives_the_process(store: Store) {
    let Some(mut world) = world_on(store).await else { return };
    for stream in [false, true] {
        world.vendor("anthropic").next(chat().text("I am a gate."));
        let kept = response(stream, &world.ask("anthropic", stream, &json!({})).await);
        // Killed at once: the client has the last byte, so the answer is on disk.
        world.server.restart().await;
        let path = format!("/v1/responses/{}", id(&kept));
        assert_eq!(world.server.admin().get(&path).await.json(), kept);
        world.ask("anthropic", stream, &json!({"previous_response_id": kept["id"]})).await;
        assert!(world.vendor("anthropic").last_request().text().contains("I am a gate."));
    }
}

async fn what_is_kept_no_longer_is_gone(store: Store) {
    let (config, vendors) = declared().await;
    let config = config.head("[responses]\nretention = \"2s\"\n");
    let Some(server) = Steelyard::start_on(store, BINARY, &config, &[]).await else { return };
    let world = World { server, vendors };
    let kept = world.ask("anthropic", false, &json!({})).await.json();
    let path = format!("/v1/responses/{}", id(&kept));
    assert_eq!(world.server.admin().get(&path).await.status, 200);
    eventually("what has expired is swept", || {
        world.server.log().contains("stored answers have expired and are gone")
    })
    .await;
    refused(&world.server.admin().get(&path).await, 404, "not_found", None);
    let answer = world.ask("anthropic", false, &json!({"previous_response_id": kept["id"]})).await;
    refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
}

/// The words of a conversation are in no file in clear.
#[tokio::test]
async fn nothing_that_was_said_is_on_disk_in_clear() {
    let world = world().await;
    let secret = "Ahoy-from-the-Kontor";
    for stream in [false, true] {
        world.vendor("anthropic").next(chat().text(&format!("{secret}, said the gate.")));
        let more = json!({"input": format!("{secret}, said I."), "metadata": {"a": secret}});
        let kept = response(stream, &world.ask("anthropic", stream, &more).await);
        world.ask("anthropic", stream, &json!({"previous_response_id": kept["id"]})).await;
        assert!(world.vendor("anthropic").last_request().text().contains(secret));
    }
    let mut looked = 0;
    for file in std::fs::read_dir(world.server.data_dir()).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        looked += bytes.len();
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
    assert!(looked > 10_000);
    assert!(!world.server.log().contains(secret));
}

/// An answer that cannot be kept is served and says so; its entry is in the ledger.
#[tokio::test]
async fn an_answer_that_cannot_be_kept_says_so() {
    let world = world().await;
    let path = world.server.data_dir().join("steelyard.db");
    let aside = path.with_extension("aside");
    for stream in [false, true] {
        std::fs::rename(&path, &aside).unwrap();
        world.vendor("anthropic").next(chat().text("I am a gate.").usage(11, 7));
        let answer = world.ask("anthropic", stream, &json!({})).await;
        let got = response(stream, &answer);
        assert_eq!((said(&got).as_str(), &got["store"]), ("I am a gate.", &json!(false)));
        assert_eq!(answer.header("x-steelyard-loss"), (!stream).then_some("store"));
        let more = json!({"previous_response_id": format!("resp_{}", "0".repeat(32))});
        refused(&world.ask("anthropic", stream, &more).await, 503, "store_unavailable", None);
        std::fs::rename(&aside, &path).unwrap();
        let entry = world.server.entry(answer.request_id()).await;
        crate::app::charged(&entry, 11, 7);
        let path = format!("/v1/responses/{}", id(&got));
        refused(&world.server.admin().get(&path).await, 404, "not_found", None);
    }
    let metrics = world.server.metrics().await;
    assert_eq!(metrics.sum("steelyard_responses_failures_total"), Some(2.0));
}

#[tokio::test]
async fn a_server_can_be_told_to_store_nothing() {
    let (config, vendors) = declared().await;
    let config = config.head("[responses]\nstore = false\n");
    let world = World { server: serve(&config).await, vendors };
    for name in ["own", "anthropic"] {
        for stream in [false, true] {
            let got = response(stream, &world.ask(name, stream, &json!({"store": true})).await);
            assert_eq!(got["store"], false, "{name} {stream}");
            let more = json!({"previous_response_id": got["id"]});
            let answer = world.ask(name, stream, &more).await;
            refused(&answer, 400, "previous_response_not_found", Some("previous_response_id"));
        }
    }
    assert!(world.vendor("own").requests().iter().all(|sent| sent.json()["store"] == false));
}

/// A stream that broke off is nothing to go on from.
#[tokio::test]
async fn an_answer_that_broke_off_is_not_kept() {
    let world = world().await;
    for name in ["relayed", "anthropic"] {
        world.vendor(name).next(chat().text("one ").fail("the engine failed"));
        let answer = world.ask(name, true, &json!({})).await;
        let begun = events(&answer)[0]["response"]["id"].as_str().unwrap().to_owned();
        let last = events(&answer).pop().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["id"]),
            (&json!("response.failed"), &json!(begun)),
            "{name}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        let found = world.server.admin().get(&format!("/v1/responses/{begun}")).await;
        refused(&found, 404, "not_found", None);
    }
}
