//! `/api/v1/keys`.

use serde_json::{Value, json};

use steelyard_testkit::Store;

use crate::app::{app, app_on, ask, on_each_store};
use crate::auth::time_from_now;

on_each_store!(
    a_secret_is_shown_once,
    a_pair_for_awss_sdks_is_shown_once,
    names_are_unique_in_a_project_and_can_be_changed,
    keys_outlive_the_process,
    many_keys_made_at_once_all_work,
);

async fn a_secret_is_shown_once(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let admin = app.server.admin();
    let made = admin.post("/api/v1/keys", &json!({ "name": "app" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.len() >= 40, "256 random bits need more than {} characters", secret.len());
    assert!(made["id"].as_str().unwrap().starts_with("key_"));
    assert_eq!((made["name"].as_str(), made["project"].as_str()), (Some("app"), Some("default")));
    assert!(made["created_at"].is_string());
    assert_eq!(made["expires_at"], Value::Null);
    let hint = made["hint"].as_str().unwrap();
    assert!(!hint.is_empty() && hint.len() < 20, "{hint}");

    for path in [
        "/api/v1/keys".to_owned(),
        "/api/v1/keys/app".to_owned(),
        format!("/api/v1/keys/{}", made["id"].as_str().unwrap()),
    ] {
        let shown = admin.get(&path).await;
        assert_eq!(shown.status, 200, "{path}: {shown:?}");
        assert!(shown.text().contains("\"app\""), "{path}");
        assert!(
            !shown.text().contains(secret) && !shown.text().contains("\"secret\""),
            "{path} shows the secret"
        );
    }
    // Nor does it stand in any file of the data directory.
    for file in std::fs::read_dir(app.server.data_dir()).unwrap().flatten() {
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "the secret stands in {}", file.path().display());
        }
    }
}

async fn a_pair_for_awss_sdks_is_shown_once(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let admin = app.server.admin();
    let made = admin.post("/api/v1/keys", &json!({ "name": "boto", "aws": true })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let text = |answer: &Value, field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let (id, secret) = (text(&made, "aws_access_key_id"), text(&made, "aws_secret_access_key"));
    assert!(id.len() == 20 && id.starts_with("AKSY"), "{made}");
    assert_eq!(secret.len(), 40, "{made}");
    let client = app.server.client(&text(&made, "secret"));
    assert_eq!(client.chat(&ask("smart")).await.status, 200, "its other secret is as any key's");

    let shown = admin.get("/api/v1/keys/boto").await;
    assert_eq!(text(&shown.json(), "aws_access_key_id"), id);
    assert!(!shown.text().contains(&secret), "{shown:?}");
    let rotated = admin.post("/api/v1/keys/boto/rotate", &json!({ "grace": "1m" })).await.json();
    assert_ne!(text(&rotated, "aws_access_key_id"), id);
    assert_ne!(text(&rotated, "aws_secret_access_key"), secret);
    assert_eq!(text(&rotated, "aws_secret_access_key").len(), 40);

    let plain = admin.post("/api/v1/keys", &json!({ "name": "plain", "aws": false })).await.json();
    assert!(plain.get("aws_access_key_id").is_none() && plain.get("aws_secret_access_key").is_none());
    let again = admin.post("/api/v1/keys/plain/rotate", &json!({})).await.json();
    assert!(again.get("aws_access_key_id").is_none(), "a rotation adds no pair: {again}");

    let files: Vec<_> = std::fs::read_dir(app.server.data_dir()).unwrap().flatten().collect();
    for file in files {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{}",
            file.path().display()
        );
    }
    assert!(!app.server.log().contains(&secret));
}

async fn names_are_unique_in_a_project_and_can_be_changed(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let admin = app.server.admin();
    let key = app.server.create_key("app").await;
    let twice = admin.post("/api/v1/keys", &json!({ "name": "app" })).await;
    assert_eq!((twice.status, twice.json()["error"]["code"].as_str()), (409, Some("SY0501")), "{twice:?}");
    let renamed = admin.patch(&format!("/api/v1/keys/{}", key.id), &json!({ "name": "web" })).await;
    assert_eq!((renamed.status, renamed.json()["name"].as_str()), (200, Some("web")), "{renamed:?}");
    assert_eq!(admin.get("/api/v1/keys/web").await.status, 200);
    assert_eq!(admin.get("/api/v1/keys/app").await.status, 404);
    assert_eq!(app.server.client(&key.secret).chat(&ask("smart")).await.status, 200, "its secret stays");
    let entry = app.server.only_entry().await;
    assert_eq!(entry.principal, "web");
}

#[tokio::test]
async fn wrong_input_is_named() {
    let app = app().await;
    let admin = app.server.admin();
    for (body, word) in [
        (json!({}), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a", "expire_at": "2030-01-01" }), "expire_at"),
        (json!({ "name": "a", "expires_at": "soon" }), "soon"),
        (json!({ "name": "a", "expires_at": "2020-01-01" }), "expires_at"),
        (json!({ "name": 7 }), "7"),
        (json!([]), ""),
    ] {
        let answer = admin.post("/api/v1/keys", &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let error = &answer.json()["error"];
        assert!(error["code"].as_str().unwrap().starts_with("SY000"), "{body}: {error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{body}: {error}");
        assert_eq!(error["request_id"].as_str(), Some(answer.request_id()), "{body}");
    }
    let answer = admin.post("/api/v1/keys", &json!({ "name": "a", "project": "nowhere" })).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("SY0502")), "{answer:?}");
    for answer in [
        admin.get("/api/v1/keys/nobody").await,
        admin.delete("/api/v1/keys/nobody").await,
        admin.patch("/api/v1/keys/nobody", &json!({ "name": "x" })).await,
        admin.post("/api/v1/keys/nobody/rotate", &json!({})).await,
    ] {
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (404, Some("SY0502")),
            "{answer:?}"
        );
    }
    assert_eq!(admin.get("/api/v1/keys").await.json()["data"], json!([]));
}

async fn keys_outlive_the_process(store: Store) {
    let Some(mut app) = app_on(store).await else { return };
    let kept = app.server.create_key("kept").await;
    let gone = app.server.create_key("gone").await;
    let brief = app.server.create_key_with(json!({ "name": "brief", "expires_at": time_from_now(1) })).await;
    app.server.admin().delete("/api/v1/keys/gone").await;
    app.server.restart().await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(app.server.client(&kept.secret).chat(&ask("smart")).await.status, 200);
    assert_eq!(app.server.client(&gone.secret).chat(&ask("smart")).await.status, 401);
    assert_eq!(app.server.client(&brief.secret).chat(&ask("smart")).await.status, 401);
}

async fn many_keys_made_at_once_all_work(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let making = (0..50).map(|number| {
        let server = &app.server;
        async move {
            let key = server.create_key(&format!("app-{number}")).await;
            assert_eq!(server.client(&key.secret).chat(&ask("smart")).await.status, 200);
        }
    });
    futures_util::future::join_all(making).await;
    assert_eq!(
        app.server.admin().get("/api/v1/keys").await.json()["data"].as_array().map(Vec::len),
        Some(50)
    );
}
