//! `POST /v1/embeddings`.

use serde_json::{Value, json};
use steelyard_testkit::{embeddings, fault, status};

use crate::app::{app, charged, refused};

fn ask(input: &Value) -> Value {
    json!({ "model": "up/e", "input": input })
}

#[tokio::test]
async fn every_form_of_input_is_relayed_and_charged() {
    let app = app().await;
    for (input, vectors) in
        [(json!("one"), 1), (json!(["one", "two"]), 2), (json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)]
    {
        app.up.next(embeddings().tokens(5));
        let answer = app.server.admin().post("/v1/embeddings", &ask(&input)).await;
        assert_eq!(answer.status, 200, "{input}: {answer:?}");
        assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(vectors), "{input}");
        let sent = app.up.last_request();
        assert_eq!(sent.path, "/v1/embeddings");
        assert_eq!(sent.json(), json!({ "model": "e", "input": input }));
        let entry = app.server.entry(answer.request_id()).await;
        charged(&entry, 5, 0);
        assert_eq!(entry.route, "up/e");
    }
    app.is_clean().await;
}

#[tokio::test]
async fn base64_and_dimensions_are_left_alone() {
    let app = app().await;
    app.up.next(embeddings().vector(&[1.0, -2.0]));
    let mut body = ask(&json!("x"));
    body["encoding_format"] = json!("base64");
    body["dimensions"] = json!(2);
    let answer = app.server.admin().post("/v1/embeddings", &body).await;
    assert_eq!(answer.json()["data"][0]["embedding"], "AACAPwAAAMA=");
    assert_eq!(app.up.only_request().json()["dimensions"], 2);
}

#[tokio::test]
async fn faults_and_wrong_requests_end_as_for_chat() {
    let app = app().await;
    let client = app.server.admin();
    refused(&client.post("/v1/embeddings", &json!({ "input": "x" })).await, 400, "SY0003");
    refused(
        &client.post("/v1/embeddings", &json!({ "model": "nowhere", "input": "x" })).await,
        404,
        "SY0201",
    );
    assert_eq!(app.up.count(), 0);

    app.up.next(status(400).message("too long"));
    let answer = client.post("/v1/embeddings", &ask(&json!("x"))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("too long"), "{answer:?}");
    app.up.otherwise(fault::invalid_json());
    refused(&client.post("/v1/embeddings", &ask(&json!("x"))).await, 502, "SY0305");
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), 2, "{entries:#?}");
    assert!(entries.iter().all(|entry| entry.outcome == "upstream_error"), "{entries:#?}");
}
