//! Calls that end while their vendor is still being connected to: nothing was sent, so nothing is charged.

use std::time::Duration;

use steelyard_testkit::{Config, Entry, Steelyard, Upstream, until};

use crate::app::{ask, ask_stream, refused, serve};

/// Vendors to whom no connection ever stands: no TCP, and no TLS.
struct Silent {
    deaf: Upstream,
    /// Its queue takes connections, and nobody says a word on them.
    mute: std::net::TcpListener,
}

impl Silent {
    async fn new() -> Self {
        let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { deaf: Upstream::deaf().await, mute }
    }

    /// Routes `deaf` and `mute`; both models are priced, so that what is charged shows.
    fn config(&self, limits: &str) -> Config {
        let mute = format!("base_url = \"https://{}/v1\"", self.mute.local_addr().unwrap());
        Config::new()
            .channel("deaf", &self.deaf, &format!("timeouts = {{ {limits} }}"))
            .toml(&format!(
                "[[channels]]\nname = \"mute\"\nprovider = \"compatible\"\n{mute}\napi_key = \"k\"\n\
                 timeouts = {{ {limits} }}\n"
            ))
            .price("deaf", "m", "1.00", "2.00", "")
            .price("mute", "m", "1.00", "2.00", "")
            .route("deaf", &["deaf/m"], "retries = 0")
            .route("mute", &["mute/m"], "retries = 0\non_disconnect = \"cut\"")
    }
}

const PATIENT: &str = r#"connect = "30s", first_byte = "40s""#;

async fn in_flight(server: &Steelyard, calls: f64) {
    until("the calls are in flight", || async {
        (server.metrics().await.sum("steelyard_calls_in_flight") == Some(calls)).then_some(())
    })
    .await;
    // The intent is durable, and the connection is being made.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[track_caller]
fn free(entry: &Entry, outcome: &str, status: &str) {
    assert_eq!((entry.outcome.as_str(), entry.statuses()), (outcome, vec![status]), "{entry:#?}");
    assert_eq!((entry.usage.len(), entry.pico()), (0, Some(0)), "nothing was sent: {entry:#?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_vendor_is_connected_to_pays_nothing() {
    let silent = Silent::new().await;
    let server = serve(&silent.config(PATIENT)).await;
    for (number, body) in [ask("deaf"), ask_stream("mute"), ask("mute")].iter().enumerate() {
        let (client, body) = (server.admin(), body.clone());
        let call = tokio::spawn(async move { client.chat(&body).await });
        in_flight(&server, 1.0).await;
        call.abort();
        let entries = server.has_entries(number + 1).await;
        free(&entries[number], "client_gone", "client_gone");
    }
}

#[tokio::test]
async fn a_shutdown_while_a_vendor_is_connected_to_charges_nothing() {
    let silent = Silent::new().await;
    let mut server = serve(&silent.config(PATIENT).head("[server]\ndrain_timeout = \"1s\"")).await;
    let calls = ["deaf", "mute"].map(|route| {
        let client = server.admin();
        tokio::spawn(async move { client.chat(&ask(route)).await })
    });
    in_flight(&server, 2.0).await;
    server.terminate();
    assert!(server.ended(Duration::from_secs(8)).await.is_some());
    for call in calls {
        refused(&call.await.unwrap(), 503, "SY0402");
    }
    server.restart().await;
    for entry in server.has_entries(2).await {
        free(&entry, "shutdown", "cut");
    }
}

/// Where the limit for an answer is shorter than that for a connection, it is still the connection that was missing.
#[tokio::test]
async fn a_limit_that_ends_connecting_charges_nothing() {
    let silent = Silent::new().await;
    let server = serve(&silent.config(r#"connect = "30s", first_byte = "400ms""#)).await;
    for (number, route) in ["deaf", "mute"].into_iter().enumerate() {
        refused(&server.admin().chat(&ask(route)).await, 502, "SY0301");
        let entries = server.has_entries(number + 1).await;
        free(&entries[number], "upstream_error", "connect_error");
    }
}
