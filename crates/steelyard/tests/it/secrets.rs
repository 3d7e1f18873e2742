//! Credentials at vendors in the vault: `vault:NAME`.

use serde_json::json;
use steelyard_testkit::{Config, Steelyard, Store, Upstream};

use crate::app::{BINARY, ask, on_each_store};

on_each_store!(a_channel_waits_for_its_secret_and_takes_a_new_one_at_once);

fn config(up: &Upstream) -> Config {
    Config::new()
        .toml(&format!(
            "[[channels]]\nname = \"up\"\nprovider = \"compatible\"\nbase_url = \"http://{}/v1\"\n\
             api_key = \"vault:vendor\"\nmodels = [\"m\"]\n",
            up.addr()
        ))
        .route("smart", &["up/m"], "retries = 0")
        .sandbox()
}

async fn a_channel_waits_for_its_secret_and_takes_a_new_one_at_once(store: Store) {
    let up = Upstream::start().await;
    let Some(mut server) = Steelyard::start_on(store, BINARY, &config(&up), &[]).await else { return };
    let key = server.create_key("app").await.secret;
    let client = server.client(&key);

    // It serves everything else, and says what is missing.
    assert_eq!(client.chat(&ask("sandbox")).await.status, 200);
    let locked = client.chat(&ask("smart")).await;
    assert_eq!(
        (locked.status, locked.json()["error"]["steelyard"]["code"].as_str()),
        (502, Some("SY0303")),
        "{locked:?}"
    );
    assert!(!locked.text().contains("vault:"), "callers do not learn where secrets are: {locked:?}");
    assert!(
        server
            .log()
            .contains("the vault holds no secret `vendor`: put it there with `steelyard secrets set vendor`")
    );
    let channels = server.admin().get("/api/v1/channels").await.json();
    assert_eq!(channels["data"][0]["credential"], "vault:vendor");
    assert!(channels["data"][0]["locked"].as_str().unwrap().contains("no secret `vendor`"), "{channels}");
    assert_eq!(up.count(), 0);

    let set = server.cli().input("hush-one\n").ok(&["secrets", "set", "vendor"]).await;
    assert!(set.stdout.contains("vault:vendor") && !set.stdout.contains("hush"), "{set:?}");
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    assert_eq!(up.last_request().header("authorization"), Some("Bearer hush-one"));

    server.cli().env("VENDOR", "hush-two").ok(&["secrets", "set", "vendor", "--from-env", "VENDOR"]).await;
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    assert_eq!(up.last_request().header("authorization"), Some("Bearer hush-two"));

    // A value with which the channel cannot be built changes nothing.
    let admin = server.admin();
    let put =
        admin.request(reqwest::Method::PUT, "/api/v1/secrets/vendor").json(&json!({ "value": "a\u{7}b" }));
    let refused = admin.send(put).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["param"].as_str()),
        (400, Some("value")),
        "{refused:?}"
    );
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    assert_eq!(up.last_request().header("authorization"), Some("Bearer hush-two"));

    let used = server.cli().run(&["secrets", "delete", "vendor"]).await;
    assert_eq!(used.code, 1);
    assert!(used.stderr.contains("is used by the channel `up`"), "{used:?}");
    let listed = server.cli().ok(&["secrets", "list"]).await.stdout;
    assert!(listed.contains("vendor") && !listed.contains("hush"), "{listed}");

    server.restart().await;
    let client = server.client(&key);
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    assert_eq!(up.last_request().header("authorization"), Some("Bearer hush-two"));
    assert!(!server.log().contains("hush"), "a secret is in the log");
    for file in std::fs::read_dir(server.data_dir()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"hush-"), "{} holds it", file.path().display());
    }
}
