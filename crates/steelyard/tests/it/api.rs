//! The rest of `/api/v1`.

use serde_json::json;
use steelyard_testkit::Config;

use crate::app::{app, app_with};

#[tokio::test]
async fn channels_routes_and_models_are_shown_without_secrets() {
    let app = app_with(Config::sandbox).await;
    let admin = app.server.admin();
    let channels = admin.get("/api/v1/channels").await;
    assert_eq!(channels.status, 200);
    assert!(!channels.text().contains("vendor-key-up"), "{channels:?}");
    let names: Vec<_> =
        channels.json()["data"].as_array().unwrap().iter().map(|channel| channel["name"].clone()).collect();
    assert_eq!(names, [json!("up"), json!("sandbox")]);

    let routes = admin.get("/api/v1/routes").await.json();
    let smart =
        routes["data"].as_array().unwrap().iter().find(|route| route["name"] == "smart").unwrap().clone();
    assert_eq!(smart["targets"][0]["channel"], "up");
    assert_eq!(smart["targets"][0]["model"], "m");

    let models = admin.get("/api/v1/models").await.json();
    let model = models["data"].as_array().unwrap().iter().find(|model| model["id"] == "m").unwrap().clone();
    assert_eq!(model["offers"][0]["prices"], json!({ "input": "1", "output": "2" }), "{model}");
}

#[tokio::test]
async fn projects() {
    let app = app().await;
    let admin = app.server.admin();
    let made = admin.post("/api/v1/projects", &json!({ "name": "lab" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("prj_"));
    let twice = admin.post("/api/v1/projects", &json!({ "name": "lab" })).await;
    assert_eq!((twice.status, twice.json()["error"]["code"].as_str()), (409, Some("SY0501")), "{twice:?}");
    let list = admin.get("/api/v1/projects").await.json();
    let names: Vec<_> =
        list["data"].as_array().unwrap().iter().filter_map(|project| project["name"].as_str()).collect();
    assert!(names.contains(&"default") && names.contains(&"lab"), "{names:?}");

    // References take the id as well as the name; one name may stand in two projects.
    let by_id = app.server.create_key_with(json!({ "name": "app", "project": id })).await;
    let by_default = app.server.create_key("app").await;
    assert_ne!(by_id.id, by_default.id);
    let listed = admin.get("/api/v1/keys?project=lab").await.json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test]
async fn errors_have_one_shape() {
    let app = app().await;
    let admin = app.server.admin();
    for (status, code, answer) in [
        (404, "SY0007", admin.get("/api/v1/nowhere").await),
        (405, "SY0008", admin.delete("/api/v1/usage").await),
        (400, "SY0001", admin.post_bytes("/api/v1/keys", "{").await),
        (400, "SY0002", admin.post("/api/v1/keys", &json!({ "name": "a", "colour": 1 })).await),
        (401, "SY0102", app.server.client("x").get("/api/v1/keys").await),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{answer:?}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(error["request_id"].as_str(), Some(answer.request_id()));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}
