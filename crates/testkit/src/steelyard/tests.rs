//! The kit against a stand-in for the binary: a shell script that points at a scripted HTTP server.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Config, Reply, Request, Steelyard, Upstream, status};

/// Writes an executable script; the directory keeps it.
fn script(text: &str) -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("steelyard");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (home, path)
}

fn entry(seq: u64) -> Value {
    json!({
        "id": format!("ent_{seq}"), "seq": seq, "request_id": format!("req_{seq}"), "time": "2026-11-21T00:00:00Z",
        "project": "default", "key": null, "principal": "admin", "route": "r", "model": "m", "channel": "c",
        "dialect": "openai_chat", "outcome": "ok", "usage": { "input": 2 }, "basis": "reported",
        "attempts": [{ "number": 1, "channel": "c", "model": "m", "upstream_model": "m", "status": "ok", "amount": "7" }],
        "tags": {}, "losses": [], "adjusts": null, "amount_pusd": "7", "amount_usd": "0.000000000007",
    })
}

fn answer(request: &Request) -> Reply {
    let authorized = request.header("authorization") == Some("Bearer secret");
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/readyz") => Reply::json(200, &json!({})),
        ("GET", "/metrics") => status(200).body("text/plain", "steelyard_calls_in_flight 0\n").into(),
        _ if !authorized => status(401).into(),
        ("POST", "/api/v1/keys") => {
            Reply::json(201, &json!({ "id": "key_1", "name": request.json()["name"], "secret": "s" }))
        }
        ("GET", "/api/v1/ledger/entries?after=0&limit=200") => {
            Reply::json(200, &json!({ "data": [entry(1), entry(2)], "next": 2 }))
        }
        ("GET", "/api/v1/ledger/entries?after=2&limit=200") => {
            Reply::json(200, &json!({ "data": [entry(3)], "next": null }))
        }
        ("GET", "/api/v1/ledger/entries?request_id=req_2") => {
            Reply::json(200, &json!({ "data": [entry(2)], "next": null }))
        }
        _ => status(404).into(),
    }
}

#[tokio::test]
async fn a_server_is_started_asked_stopped_and_started_again() {
    let http = Upstream::start().await;
    http.otherwise(Reply::by(answer));
    let text = "mkdir -p \"$7\"; echo secret > \"$7/admin.key\"; echo \"$FAKE_ADDR\" > \"$7/listen.addr\"; echo \"life $*\"; exec sleep 60";
    let (_home, binary) = script(text);
    let addr = http.addr().to_string();
    let config = Config::new().head("[server]").toml("[[routes]]");
    let mut server = Steelyard::start_with(&binary, &config, &[("FAKE_ADDR", &addr)]).await;

    assert_eq!((server.addr(), server.admin_key()), (http.addr(), "secret"));
    assert_eq!(std::fs::read_to_string(server.config_path()).unwrap().trim(), "[server]\n\n[[routes]]");
    assert!(server.log().contains("life serve --listen 127.0.0.1:0 --config"), "{}", server.log());
    assert!(server.resident_kib() > 0 && server.peak_resident_kib() >= server.resident_kib());
    assert_eq!(server.create_key("app").await.secret, "s");
    let entries = server.entries().await;
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((entries[0].pico(), entries[0].used("input"), entries[0].used("output")), (Some(7), 2, 0));
    assert_eq!((entries[0].statuses(), entries[0].channels()), (vec!["ok"], vec!["c"]));
    assert_eq!(server.entry("req_2").await.seq, 2);
    assert_eq!(server.settled_entries().await.len(), 3);
    assert_eq!(server.stranger().get("/api/v1/keys").await.status, 401);
    let mut raw = server.raw().await;
    raw.write("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.read_until("{}").await.starts_with("HTTP/1.1 200"));

    server.rewrite_config(&Config::new().toml("changed"));
    assert_eq!(std::fs::read_to_string(server.config_path()).unwrap().trim(), "changed");
    assert!(server.ended(Duration::from_millis(50)).await.is_none());
    server.limit_file_size(Some(1 << 20));
    server.terminate();
    assert!(server.ended(Duration::from_secs(5)).await.is_some_and(|status| !status.success()));
    server.restart().await;
    assert_eq!(server.log().matches("life serve").count(), 2);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test has no shutdown that could wait for a task")]
async fn a_server_that_dies_at_once_fails_the_test_with_its_log() {
    let (_home, binary) = script("echo the reason why >&2; exit 3");
    let started = tokio::spawn(async move { Steelyard::start(&binary, &Config::new()).await });
    let panic = started.await.unwrap_err().into_panic();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("exit status: 3") && message.contains("the reason why"), "{message}");
}

#[tokio::test]
async fn a_command_is_run_with_its_own_environment_and_input() {
    let (_home, binary) =
        script("read line; echo \"$1 $line $WORD ${OPENAI_API_KEY:-none}\"; echo oops >&2; exit 2");
    let run = crate::Cli::new(&binary).env("WORD", "yes").input("typed\n").run(&["argument"]).await;
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (2, "argument typed yes none\n", "oops\n")
    );
}
