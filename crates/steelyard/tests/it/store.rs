//! The store in trouble: the database locked or gone, the spool full, the disk full.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use steelyard_testkit::postgres::Database;
use steelyard_testkit::{Config, Gate, Steelyard, Store, Upstream, chat, until};

use crate::app::{
    App, BINARY, app, app_on, app_with, ask, ask_stream, broke_off, charged, on_each_store, refused,
};

/// The ledger's database: the SQLite file that has a table of entries.
fn database(server: &Steelyard) -> PathBuf {
    let files = std::fs::read_dir(server.data_dir()).unwrap().flatten().map(|file| file.path());
    let mut found: Vec<_> = files
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")))
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().contains("spool")))
        .collect();
    assert_eq!(found.len(), 1, "which is the database? {found:?}");
    found.remove(0)
}

/// Keeps a server from its database until it is dropped: the file is locked, or PostgreSQL lets nobody in.
enum Held {
    File { _locked: rusqlite::Connection },
    Server(Arc<Database>),
}

impl Drop for Held {
    fn drop(&mut self) {
        match self {
            Self::File { .. } => {}
            Self::Server(database) => database.mend(),
        }
    }
}

fn hold(server: &Steelyard) -> Held {
    if let Some(database) = server.database() {
        database.cut();
        return Held::Server(database);
    }
    let connection = rusqlite::Connection::open(database(server)).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    Held::File { _locked: connection }
}

on_each_store!(
    calls_are_served_and_kept_while_the_database_is_locked,
    a_locked_database_at_the_kill_loses_nothing,
    management_says_that_the_database_does_not_answer,
);

async fn calls_are_served_and_kept_while_the_database_is_locked(store: Store) {
    let Some(app) = app_on(store).await else { return };
    app.up.on("m", chat().text("a").usage(10, 5));
    let client = app.server.admin();
    client.chat(&ask("smart")).await;
    app.server.has_entries(1).await;

    let held = hold(&app.server);
    let begun = Instant::now();
    let mut ids = Vec::new();
    while begun.elapsed() < Duration::from_secs(7) {
        for body in [ask("smart"), ask_stream("smart")] {
            let call = Instant::now();
            let answer = client.chat(&body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(
                call.elapsed() < Duration::from_secs(2),
                "a call waited {:?} for the database",
                call.elapsed()
            );
            ids.push(answer.request_id().to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(app.server.stranger().get("/readyz").await.status, 200, "it still takes calls");
    drop(held);
    let entries = app.server.has_entries(1 + ids.len()).await;
    assert_eq!(entries.len(), 1 + ids.len());
    for entry in &entries {
        charged(entry, 10, 5);
    }
    for id in ids {
        assert_eq!(entries.iter().filter(|entry| entry.request_id == id).count(), 1, "{id}");
    }
}

async fn a_locked_database_at_the_kill_loses_nothing(store: Store) {
    let Some(mut app) = app_on(store).await else { return };
    app.up.on("m", chat().text("a").usage(10, 5));
    app.server.admin().chat(&ask("smart")).await;
    app.server.has_entries(1).await;
    let held = hold(&app.server);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(app.server.admin().chat(&ask_stream("smart")).await.request_id().to_owned());
    }
    app.server.kill().await;
    drop(held);
    app.server.restart().await;
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), 21);
    for id in ids {
        charged(entries.iter().find(|entry| entry.request_id == id).expect("it was answered"), 10, 5);
    }
}

async fn management_says_that_the_database_does_not_answer(store: Store) {
    let Some(app) = app_on(store).await else { return };
    let held = hold(&app.server);
    let answer = app.server.admin().post("/api/v1/keys", &json!({ "name": "app" })).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("SY0403")), "{answer:?}");
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200, "known keys still call");
    let ready = app.server.stranger().get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["database"]), (200, &json!("unreachable")), "{ready:?}");
    drop(held);
    app.server.create_key("app").await;
    until("the database is well", || async {
        (app.server.stranger().get("/readyz").await.json()["database"] == "ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_spool_refuses_new_calls_before_money_is_spent() {
    let app = app_with(|config| config.head("[ledger]\ncapacity = 20")).await;
    let client = app.server.admin();
    client.chat(&ask("smart")).await;
    app.server.has_entries(1).await;
    let held = hold(&app.server);
    let mut served = 0;
    let refusal = loop {
        let answer = client.chat(&ask("smart")).await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 200, "the spool never fills");
    };
    refused(&refusal, 503, "SY0401");
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    assert!((10..=40).contains(&served), "{served} calls fit into a spool of 20");
    assert_eq!(app.up.count(), 1 + served, "the refused call was not sent");
    let ready = app.server.stranger().get("/readyz").await;
    let told = ready.json()["ledger"].clone();
    assert_eq!((ready.status, told), (503, json!("the spool is full (ledger.capacity)")), "{ready:?}");
    drop(held);
    until("room in the spool", || async { (client.chat(&ask("smart")).await.status == 200).then_some(()) })
        .await;
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), app.up.count(), "what was sent is on the bill, once");
}

#[tokio::test]
async fn a_database_that_was_deleted_does_not_lose_what_comes_after() {
    let Some(mut app) = app_on(Store::Sqlite).await else { return };
    app.up.on("m", chat().text("a").usage(10, 5));
    app.server.admin().chat(&ask("smart")).await;
    app.server.has_entries(1).await;
    let path = database(&app.server);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        // The write-ahead files exist only while there is something in them.
        let _ = std::fs::remove_file(name);
    }
    let answer = app.server.admin().chat(&ask("smart")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    app.server.restart().await;
    // The old ledger is gone with its file; the server starts with a new one and serves.
    let after = app.server.admin().chat(&ask("smart")).await;
    assert_eq!(after.status, 200, "{after:?}");
    charged(&app.server.entry(after.request_id()).await, 10, 5);
}

const LOG: &str = "log";

/// A server that a shell starts in this way. A full disk is simulated by the limit on the size of files it may write.
async fn from_a_shell(exec: &str) -> (tempfile::TempDir, App) {
    let home = tempfile::tempdir().unwrap();
    let wrapper = home.path().join("steelyard");
    std::fs::write(&wrapper, format!("#!/bin/sh\ncd {}\n{exec}\n", home.path().display())).unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let up = Upstream::start().await;
    let server = Steelyard::start(&wrapper, &Config::simple(&up)).await;
    (home, App { server, up })
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_full_disk() {
    // Of 512 bytes each, or of 1 KiB: shells differ.
    let (_home, app) = from_a_shell(&format!("ulimit -f 512; exec {BINARY} \"$@\"")).await;
    let client = app.server.admin();
    let body = ask("smart");
    let refusal = until("the spool and the database are at the limit", || async {
        let answers = futures_util::future::join_all((0..40).map(|_| client.chat(&body))).await;
        answers.into_iter().find(|answer| answer.status != 200)
    })
    .await;
    refused(&refusal, 503, "SY0401");
    // The log alone, which can be emptied, takes no more than some dozens of calls.
    assert!(app.up.count() > 80, "{} calls were served", app.up.count());
    let stranger = app.server.stranger();
    assert_eq!(stranger.get("/healthz").await.status, 200, "the process lives");
    for _ in 0..30 {
        assert_eq!(stranger.get("/readyz").await.status, 503, "the next call would be refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_calls_and_heals() {
    let app = app().await;
    let client = app.server.admin();
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    app.server.limit_file_size(Some(100));
    let refusal = client.chat(&ask("smart")).await;
    refused(&refusal, 503, "SY0401");
    assert_eq!(app.up.count(), 1, "nothing was sent");
    assert_eq!(app.server.stranger().get("/healthz").await.status, 200);
    app.server.limit_file_size(None);
    until("room again", || async { (client.chat(&ask("smart")).await.status == 200).then_some(()) }).await;
    let entries = app.server.settled_entries().await;
    assert_eq!(entries.len(), app.up.count(), "{entries:#?}");
}

/// The log is on the same disk, as with `steelyard serve 2>> FILE`.
#[tokio::test]
async fn a_log_that_cannot_be_written_harms_nothing() {
    let (home, app) = from_a_shell(&format!("exec {BINARY} \"$@\" 2>>{LOG}")).await;
    let client = app.server.admin();
    app.server.limit_file_size(Some(100));
    refused(&client.chat(&ask("smart")).await, 503, "SY0401");
    app.server.limit_file_size(None);
    until("room again", || async { (client.chat(&ask("smart")).await.status == 200).then_some(()) }).await;
    assert!(
        std::fs::metadata(home.path().join(LOG)).is_ok_and(|log| log.len() > 100),
        "the log is elsewhere"
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_booked_is_not_passed_off_as_whole() {
    let app = app().await;
    let client = app.server.admin();
    let gate = Gate::new();
    app.up.otherwise(chat().text("begun").wait(&gate).text("end").usage(10, 5));
    let mut stream = client.stream(&ask_stream("smart")).await;
    stream.until("begun").await;
    let id = stream.request_id();
    let whole = tokio::spawn({
        let client = client.clone();
        async move { client.chat(&ask("smart")).await }
    });
    app.up.has_requests(2).await;
    app.server.limit_file_size(Some(100));
    gate.open();
    let answer = stream.finish().await;
    broke_off(&answer, "SY0401");
    let whole = whole.await.unwrap();
    refused(&whole, 503, "SY0401");
    app.server.limit_file_size(None);
    // What was used is on the bill all the same, once there is room.
    for id in [id.as_str(), whole.request_id()] {
        charged(&app.server.entry(id).await, 10, 5);
    }
    assert_eq!(app.server.settled_entries().await.len(), 2);
}
