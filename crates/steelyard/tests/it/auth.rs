//! Who may call: every form of a credential, and every way it can be wrong.

use reqwest::Method;
use serde_json::json;
use steelyard_testkit::Client;

use crate::app::{App, app, ask, refused};

async fn call(
    app: &App,
    form: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> steelyard_testkit::Answer {
    let client = app.server.stranger();
    let request = client.request(Method::POST, "/v1/chat/completions").json(&ask("smart"));
    client.send(form(request)).await
}

#[tokio::test]
async fn every_bearer_form_is_taken() {
    let app = app().await;
    let key = app.server.create_key("app").await;
    for secret in [key.secret.as_str(), app.server.admin_key()] {
        for form in ["authorization", "x-api-key", "api-key", "x-goog-api-key"] {
            let value = if form == "authorization" { format!("Bearer {secret}") } else { secret.to_owned() };
            let answer = call(&app, |request| request.header(form, value)).await;
            assert_eq!(answer.status, 200, "{form}: {answer:?}");
        }
        let client = app.server.stranger();
        let answer = client.post(&format!("/v1/chat/completions?alt=sse&key={secret}"), &ask("smart")).await;
        assert_eq!(answer.status, 200, "?key=: {answer:?}");
        let answer = call(&app, |request| request.header("authorization", format!("bearer {secret}"))).await;
        assert_eq!(answer.status, 200, "the scheme is not case sensitive: {answer:?}");
    }
    assert_eq!(app.up.count(), 12);
    for sent in app.up.requests() {
        assert!(!sent.path.contains("key="), "the key went upstream: {}", sent.path);
    }
    assert!(!app.server.log().contains(&key.secret), "the key is in the log");
    assert!(!app.server.metrics().await.text().contains(&key.secret), "the key is in the metrics");
}

#[tokio::test]
async fn of_several_credentials_the_one_that_is_valid_counts() {
    let app = app().await;
    let key = app.server.create_key("app").await;
    let answer = call(&app, |request| {
        request.header("authorization", "Bearer sk-other").header("x-api-key", &key.secret)
    })
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = call(&app, |request| request.header("x-api-key", "sk-other").bearer_auth(&key.secret)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_missing_or_wrong_credential_is_401_and_reaches_nobody() {
    let app = app().await;
    let key = app.server.create_key("app").await;
    refused(&call(&app, |request| request).await, 401, "SY0101");
    let mut almost = key.secret.clone();
    let last = almost.pop().unwrap();
    almost.push(if last == 'a' { 'b' } else { 'a' });
    for wrong in ["", "sk-proj-abc", &almost, &key.id, &key.secret.to_uppercase(), &"x".repeat(5000)] {
        let answer = call(&app, |request| request.header("authorization", format!("Bearer {wrong}"))).await;
        assert_eq!(answer.status, 401, "{wrong}: {answer:?}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error", "{answer:?}");
        assert!(wrong.is_empty() || !answer.text().contains(wrong), "the answer repeats the credential");
    }
    refused(
        &call(&app, |request| request.header("authorization", "Basic dXNlcjpwYXNz")).await,
        401,
        "SY0101",
    );
    refused(&call(&app, |request| request.header("x-api-key", &b"\xff\xfe"[..])).await, 401, "SY01");
    assert_eq!(app.up.count(), 0);
    assert_eq!(app.server.settled_entries().await, [], "a refused call makes no entry");
}

#[tokio::test]
async fn a_strangers_body_is_not_read() {
    let app = app().await;
    let mut raw = app.server.raw().await;
    // 900 MB are announced and never come: the refusal does not wait for them.
    raw.write("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000000\r\n\r\n{").await;
    let answer = raw.read_until("SY0101").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_is_kept_unless_a_body_was_left_unread() {
    let app = app().await;
    let mut raw = app.server.raw().await;
    raw.write("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = raw.read_until("SY0101").await;
    assert!(!answer.contains("connection:"), "{answer}");
    // Clients send the head before the body: the answer can be out before the latter comes.
    raw.write("POST /v1/no/such/path HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n").await;
    let answer = raw.read_until("SY0007").await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn an_expired_key_is_told_apart() {
    let app = app().await;
    let soon = time_from_now(2);
    let key = app.server.create_key_with(json!({ "name": "brief", "expires_at": soon })).await;
    let client = app.server.client(&key.secret);
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    refused(&client.chat(&ask("smart")).await, 401, "SY0103");
    assert_eq!(app.up.count(), 1);

    // It lives again when its end is moved or taken away.
    let patched = app.server.admin().patch("/api/v1/keys/brief", &json!({ "expires_at": null })).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
}

#[tokio::test]
async fn revocation_acts_on_the_next_call() {
    let app = app().await;
    for round in 0..10 {
        let key = app.server.create_key(&format!("app-{round}")).await;
        let client = app.server.client(&key.secret);
        assert_eq!(client.chat(&ask("smart")).await.status, 200, "a key works as soon as it is made");
        assert_eq!(app.server.admin().delete(&format!("/api/v1/keys/{}", key.id)).await.status, 204);
        refused(&client.chat(&ask("smart")).await, 401, "SY0102");
    }
    assert_eq!(app.up.count(), 10);
}

#[tokio::test]
async fn rotation_replaces_the_secret_with_or_without_grace() {
    let app = app().await;
    let key = app.server.create_key("app").await;
    let admin = app.server.admin();

    let rotated = admin.post("/api/v1/keys/app/rotate", &json!({})).await;
    assert!((200..=201).contains(&rotated.status), "{rotated:?}");
    let second = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(rotated.json()["id"], key.id.as_str());
    refused(&app.server.client(&key.secret).chat(&ask("smart")).await, 401, "SY0102");
    assert_eq!(app.server.client(&second).chat(&ask("smart")).await.status, 200);

    let rotated = admin.post(&format!("/api/v1/keys/{}/rotate", key.id), &json!({ "grace": "2s" })).await;
    let third = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(app.server.client(&second).chat(&ask("smart")).await.status, 200, "within its grace");
    assert_eq!(app.server.client(&third).chat(&ask("smart")).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(app.server.client(&second).chat(&ask("smart")).await.status, 401, "after its grace");
    assert_eq!(app.server.client(&third).chat(&ask("smart")).await.status, 200);

    // Revoking ends every secret of the key.
    assert_eq!(admin.delete("/api/v1/keys/app").await.status, 204);
    assert_eq!(app.server.client(&third).chat(&ask("smart")).await.status, 401);
}

#[tokio::test]
async fn an_ordinary_key_may_not_manage() {
    let app = app().await;
    let key = app.server.create_key("app").await;
    let client = app.server.client(&key.secret);
    for path in
        ["/api/v1/keys", "/api/v1/projects", "/api/v1/ledger/entries", "/api/v1/usage", "/api/v1/channels"]
    {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "SY0104", "{path}");
        let answer = app.server.stranger().get(path).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("SY0101")), "{path}");
    }
    assert_eq!(client.post("/api/v1/keys", &json!({ "name": "mine" })).await.status, 403);
}

#[tokio::test]
async fn calls_are_booked_on_the_key_and_its_project() {
    let app = app().await;
    let project = app.server.admin().post("/api/v1/projects", &json!({ "name": "lab" })).await;
    assert_eq!(project.status, 201, "{project:?}");
    let key = app.server.create_key_with(json!({ "name": "bench", "project": "lab" })).await;
    let answer = app.server.client(&key.secret).chat(&ask("smart")).await;
    let entry = app.server.entry(answer.request_id()).await;
    assert_eq!((entry.project.as_str(), entry.principal.as_str()), ("lab", "bench"));
    assert_eq!(entry.key.as_deref(), Some(key.id.as_str()));
}

#[tokio::test]
async fn the_admin_key_can_be_given_and_otherwise_is_kept_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let app = app().await;
    let path = app.server.data_dir().join("admin.key");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    assert!(app.server.admin_key().len() >= 32, "too short to be random");

    let config = steelyard_testkit::Config::simple(&app.up);
    let given = [("STEELYARD_ADMIN_KEY", "given-by-the-operator-0123456789abcdef")];
    let server = steelyard_testkit::Steelyard::start_with(crate::app::BINARY, &config, &given).await;
    let client = Client::new(server.url(""), Some(given[0].1.to_owned()));
    assert_eq!(client.get("/api/v1/keys").await.status, 200);
    assert!(!server.log().contains(given[0].1), "a given admin key is in the log");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_named_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let mut app = app().await;
    app.server.cli().input("hush\n").ok(&["secrets", "set", "vendor"]).await;
    assert!(!app.server.log().contains("chmod"), "{}", app.server.log());
    let files = ["admin.key", "vault.key"].map(|name| app.server.data_dir().join(name));
    for file in &files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    app.server.restart().await;
    for file in files {
        let file = file.canonicalize().unwrap();
        let (file, log) = (file.display(), app.server.log());
        let said = format!(
            "{file} has mode 0644, so others than its owner may have the key in it: `chmod 600 {file}`"
        );
        assert!(log.contains(&said), "{log}");
    }
}

/// RFC 3339, so many seconds from now.
pub(crate) fn time_from_now(seconds: u64) -> String {
    let at = steelyard_core::Clock::System.now().plus(std::time::Duration::from_secs(seconds));
    at.to_string()
}
