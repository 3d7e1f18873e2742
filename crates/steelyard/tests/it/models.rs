//! `GET /v1/models` and `/v1/models/{id}`.

use steelyard_testkit::{Config, Upstream};

use crate::app::{app, app_with, refused, serve};

#[tokio::test]
async fn routes_and_models_are_listed() {
    let app = app_with(Config::sandbox).await;
    let answer = app.server.admin().get("/v1/models").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.request_id().starts_with("req_"));
    let list = answer.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for name in ["smart", "m", "e", "sandbox"] {
        assert!(ids.contains(&name), "{name} is not listed: {ids:?}");
    }
    for model in list["data"].as_array().unwrap() {
        assert_eq!(model["object"], "model");
        assert!(model["created"].is_i64() && model["owned_by"].is_string(), "{model}");
    }
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "a name is listed twice: {ids:?}");
}

#[tokio::test]
async fn one_model_is_shown_by_any_of_its_names() {
    let app = app().await;
    for path in ["smart", "m", "up/m", "up%2Fm"] {
        let answer = app.server.admin().get(&format!("/v1/models/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.json()["id"], path.replace("%2F", "/"));
    }
    refused(&app.server.admin().get("/v1/models/nowhere").await, 404, "SY0201");
}

#[tokio::test]
async fn listing_needs_a_key_and_asks_no_vendor() {
    let app = app().await;
    refused(&app.server.stranger().get("/v1/models").await, 401, "SY0101");
    refused(&app.server.client("sk-wrong").get("/v1/models/smart").await, 401, "SY0102");
    assert_eq!(app.up.count(), 0);
}

#[tokio::test]
async fn an_openai_channel_offers_what_the_catalog_knows() {
    let up = Upstream::start().await;
    let server = serve(&Config::new().toml(&format!(
        "[[channels]]\nname = \"openai\"\nprovider = \"openai\"\nbase_url = \"{}\"\napi_key = \"k\"\n",
        up.base_url()
    )))
    .await;
    let list = server.admin().get("/v1/models").await.json();
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.iter().any(|id| id.starts_with("gpt-")), "{ids:?}");
}
