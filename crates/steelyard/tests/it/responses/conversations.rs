//! Conversations of OpenAI's API, and calls in them at every vendor.

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Client, Gate, Store, chat};

use super::state::{id, listed, refused, world_on};
use super::{NAMES, declared, response, said, serve, world};
use crate::app::on_each_store;

on_each_store!(
    a_conversation_is_begun_changed_and_deleted,
    calls_of_a_conversation_know_what_was_said,
    items_are_added_paged_and_taken_out,
);

async fn begun(client: &Client, body: Value) -> Value {
    let answer = client.post("/v1/conversations", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": text})
}

async fn a_conversation_is_begun_changed_and_deleted(store: Store) {
    let Some(world) = world_on(store).await else { return };
    let admin = world.server.admin();
    let made = begun(&admin, json!({"metadata": {"topic": "Hansa"}, "items": [user("hi")]})).await;
    let path = format!("/v1/conversations/{}", id(&made));
    assert!(id(&made).starts_with("conv_") && made["created_at"].as_i64().unwrap() > 1_700_000_000, "{made}");
    assert_eq!((&made["object"], &made["metadata"]), (&json!("conversation"), &json!({"topic": "Hansa"})));
    assert_eq!(admin.get(&path).await.json(), made);
    let updated = admin.post(&path, &json!({"metadata": {"topic": "Baltic"}})).await.json();
    assert_eq!((&updated["metadata"]["topic"], &updated["id"]), (&json!("Baltic"), &made["id"]));
    assert_eq!(admin.get(&path).await.json(), updated);
    assert_eq!(listed(&admin.get(&format!("/openai{path}/items")).await.json()), ["hi"]);

    // Whoever is of another project sees none of it.
    admin.post("/api/v1/projects", &json!({"name": "other"})).await;
    let key = world.server.create_key_with(json!({"name": "theirs", "project": "other"})).await;
    let theirs = world.server.client(&key.secret);
    let item = admin.get(&format!("{path}/items")).await.json()["data"][0].clone();
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::POST, path.clone(), Some(json!({"metadata": {}}))),
        (Method::DELETE, path.clone(), None),
        (Method::GET, format!("{path}/items"), None),
        (Method::POST, format!("{path}/items"), Some(json!({"items": [user("x")]}))),
        (Method::GET, format!("{path}/items/{}", id(&item)), None),
        (Method::DELETE, format!("{path}/items/{}", id(&item)), None),
    ] {
        let request = theirs.request(method.clone(), &path);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        let answer = theirs.send(request).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        refused(&answer, 404, "not_found", None);
    }
    let call = json!({"model": "to-anthropic", "input": "hi", "conversation": made["id"]});
    refused(&theirs.post("/v1/responses", &call).await, 404, "not_found", Some("conversation"));
    assert_eq!(admin.get(&path).await.json(), updated);
    assert_eq!(world.server.stranger().get(&path).await.status, 401);

    let deleted = admin.delete(&path).await.json();
    assert_eq!(deleted, json!({"id": made["id"], "object": "conversation.deleted", "deleted": true}));
    for path in [path.clone(), format!("{path}/items"), format!("{path}/items/{}", id(&item))] {
        refused(&admin.get(&path).await, 404, "not_found", None);
    }
    refused(&admin.post("/v1/responses", &call).await, 404, "not_found", Some("conversation"));
    for body in [json!({"metadata": 7}), json!({"items": [{}]}), json!({"items": 7})] {
        assert_eq!(admin.post("/v1/conversations", &body).await.status, 400, "{body}");
    }
}

async fn calls_of_a_conversation_know_what_was_said(store: Store) {
    let Some(world) = world_on(store).await else { return };
    let admin = world.server.admin();
    for (name, _) in NAMES {
        let made = begun(&admin, json!({"items": [user("Who are you?")]})).await;
        let mut expected = vec!["Who are you?".to_owned()];
        for (number, stream) in [false, true, false].into_iter().enumerate() {
            let case = format!("{name} {number}");
            let (question, reply) = (format!("question-{number}"), format!("reply-{number}"));
            world.vendor(name).next(chat().text(&reply));
            // By its id, or by an object that has it.
            let named = if stream { json!({"id": made["id"]}) } else { made["id"].clone() };
            // Not to be stored is the answer; the conversation has it all the same.
            let more = json!({"input": question, "conversation": named, "store": number != 2});
            let answer = world.ask(name, stream, &more).await;
            let got = response(stream, &answer);
            assert_eq!(said(&got), reply, "{case}");
            assert_eq!(
                (&got["conversation"]["id"], &got["previous_response_id"]),
                (&made["id"], &Value::Null),
                "{case}"
            );
            expected.push(question);
            let sent = world.vendor(name).last_request().text();
            let places: Vec<_> = expected.iter().map(|text| sent.find(&format!("{text}\""))).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{case}: {sent}");
            expected.push(reply);
            let kept = admin.get(&format!("/v1/responses/{}", id(&got))).await;
            assert_eq!(kept.status, if number == 2 { 404 } else { 200 }, "{case}");
            let items = admin.get(&format!("/v1/conversations/{}/items?order=asc", id(&made))).await.json();
            assert_eq!(listed(&items), expected, "{case}");
            let ids: std::collections::BTreeSet<String> =
                items["data"].as_array().unwrap().iter().map(id).collect();
            assert_eq!(ids.len(), expected.len(), "{case}: {items}");
        }
    }
}

async fn items_are_added_paged_and_taken_out(store: Store) {
    let Some(world) = world_on(store).await else { return };
    let admin = world.server.admin();
    let made = begun(&admin, json!({})).await;
    let path = format!("/v1/conversations/{}/items", id(&made));
    for texts in [["one", "two", "three"], ["four", "five", "six"]] {
        let added = admin.post(&path, &json!({"items": texts.map(user)})).await.json();
        assert_eq!((listed(&added), &added["object"]), (texts.map(str::to_owned).to_vec(), &json!("list")));
    }
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.get(&format!("{path}?order=asc&limit=4{after}")).await.json();
        all.extend(listed(&page));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(all, ["one", "two", "three", "four", "five", "six"]);
    let newest = admin.get(&format!("{path}?limit=1")).await.json();
    assert_eq!((listed(&newest), &newest["has_more"]), (vec!["six".to_owned()], &json!(true)));
    let item = newest["first_id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("{path}/{item}")).await.json(), newest["data"][0]);
    assert_eq!(admin.delete(&format!("{path}/{item}")).await.json(), made);
    refused(&admin.get(&format!("{path}/{item}")).await, 404, "not_found", None);
    refused(&admin.delete(&format!("{path}/{item}")).await, 404, "not_found", None);
    refused(&admin.get(&format!("{path}?after={item}")).await, 400, "invalid_value", Some("after"));
    let more = json!({"input": "seven", "conversation": made["id"]});
    world.ask("anthropic", false, &more).await;
    let sent = world.vendor("anthropic").last_request().text();
    assert!(sent.contains("five") && !sent.contains("six"), "{sent}");
}

/// Two calls at once would not know of each other.
#[tokio::test]
async fn one_call_at_a_time_is_under_way() {
    let world = world().await;
    let admin = world.server.admin();
    let made = begun(&admin, json!({})).await;
    let gate = Gate::default();
    world.vendor("anthropic").next(chat().text("first ").wait(&gate).text("second"));
    let body = json!({"model": "to-anthropic", "input": "hi", "conversation": made["id"], "stream": true, "max_output_tokens": 64});
    let mut stream = admin.open(admin.request(Method::POST, "/v1/responses").json(&body)).await;
    stream.until_bytes("first ").await;
    let more = json!({"conversation": made["id"]});
    refused(&world.ask("own", false, &more).await, 400, "conversation_locked", Some("conversation"));
    gate.open();
    stream.finish().await;
    // With the last byte the next may come.
    assert_eq!(world.ask("own", false, &more).await.status, 200);
    // A call that its client left takes nobody's place, and leaves nothing.
    let gate = Gate::default();
    world.vendor("anthropic").next(chat().text("lost ").wait(&gate));
    let mut stream = admin.open(admin.request(Method::POST, "/v1/responses").json(&body)).await;
    stream.until_bytes("lost ").await;
    drop(stream);
    steelyard_testkit::until("the conversation is free again", async || {
        let answer = world.ask("own", false, &more).await;
        (answer.status == 200).then_some(())
    })
    .await;
    gate.open();
    let items = admin.get(&format!("/v1/conversations/{}/items?limit=100", id(&made))).await.text();
    assert!(items.contains("first second") && !items.contains("lost"), "{items}");
}

/// A conversation that lacks a turn would mislead whoever goes on in it, so the answer is withheld.
#[tokio::test]
async fn an_answer_that_its_conversation_cannot_take_is_withheld() {
    let world = world().await;
    let admin = world.server.admin();
    let made = begun(&admin, json!({})).await;
    let path = world.server.data_dir().join("steelyard.db");
    let aside = path.with_extension("aside");
    for stream in [false, true] {
        let gate = Gate::default();
        world.vendor("anthropic").next(chat().text("first ").wait(&gate).text("second").usage(11, 7));
        let body = json!({"model": "to-anthropic", "input": "hi", "conversation": made["id"], "stream": stream, "max_output_tokens": 64});
        let asked = {
            let admin = world.server.admin();
            tokio::spawn(async move { admin.post("/v1/responses", &body).await })
        };
        let requests = if stream { 2 } else { 1 };
        steelyard_testkit::eventually("the vendor is asked", || {
            world.vendor("anthropic").requests().len() == requests
        })
        .await;
        std::fs::rename(&path, &aside).unwrap();
        gate.open();
        let answer = asked.await.unwrap();
        std::fs::rename(&aside, &path).unwrap();
        if stream {
            let last = super::events(&answer).pop().unwrap();
            assert_eq!(
                (&last["type"], &last["response"]["error"]["code"]),
                (&json!("response.failed"), &json!("store_unavailable"))
            );
            assert!(!answer.text().contains("response.completed"));
        } else {
            refused(&answer, 503, "store_unavailable", None);
            assert_eq!(answer.header("x-should-retry"), Some("false"));
        }
        let entry = world.server.entry(answer.request_id()).await;
        crate::app::charged(&entry, 11, 7);
    }
    let items = admin.get(&format!("/v1/conversations/{}/items", id(&made))).await.json();
    assert_eq!(items["data"], json!([]));
}

#[tokio::test]
async fn a_server_that_stores_nothing_begins_none() {
    let (config, _vendors) = declared().await;
    let server = serve(&config.head("[responses]\nstore = false\n")).await;
    let answer = server.admin().post("/v1/conversations", &json!({})).await;
    refused(&answer, 400, "invalid_value", None);
}
