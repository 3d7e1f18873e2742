//! What a stranger once showed to be wrong, so that it stays mended.

use std::time::Duration;

use serde_json::json;
use steelyard_testkit::{Config, Upstream, fault, status};

use crate::app::{ask, is_openai_error, refused, serve};

#[tokio::test]
async fn a_client_that_only_holds_a_connection_is_not_kept() {
    let server = serve(&Config::new().sandbox().head("[server]\nheader_timeout = \"1s\"")).await;
    for begun in ["", "PRI * HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let mut raw = server.raw().await;
        if !begun.is_empty() {
            raw.write(begun).await;
        }
        let (_, closed) = raw.read_to_end(Duration::from_secs(5)).await;
        assert!(closed, "held open after {begun:?}");
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = serve(&Config::new().sandbox().head("[server]\nmax_body = \"64KiB\"")).await;
    for _ in 0..5 {
        let mut raw = server.raw().await;
        let key = server.admin_key();
        raw.write(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
        .await;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..64 {
            raw.write(&chunk).await;
        }
        let (answer, _) = raw.read_to_end(Duration::from_secs(5)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("SY0004"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_not_http_is_told_so() {
    let server = serve(&Config::new().sandbox()).await;
    for (head, status, code) in [
        ("GET /healthz HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "SY0012"),
        ("POST\r\n\r\n".to_owned(), 400, "SY0012"),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000)), 414, "SY0011"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx-y: {}\r\n\r\n", "y".repeat(1 << 20)), 431, "SY0011"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x-y: z\r\n".repeat(101)), 431, "SY0011"),
    ] {
        let mut raw = server.raw().await;
        raw.write(head).await;
        let (answer, closed) = raw.read_to_end(Duration::from_secs(5)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(closed && answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let error = serde_json::from_str::<serde_json::Value>(body).unwrap()["error"].take();
        is_openai_error(&error);
        assert_eq!(error["steelyard"]["code"], code, "{answer}");
        let id = error["steelyard"]["request_id"].as_str().unwrap();
        assert!(head.lines().any(|line| line == format!("x-steelyard-request-id: {id}")), "{head}");
        for name in ["content-length: ", "connection: close", "date: "] {
            assert_eq!(head.matches(name).count(), 1, "{name}: {head}");
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_the_shape_of_its_path() {
    let server = serve(&Config::new().sandbox()).await;
    for client in [server.admin(), server.admin().over_http2()] {
        for (path, word) in [
            ("/v1/chat/completions", "invalid_request_error"),
            ("/v1/messages", "invalid_request_error"),
            ("/model/m/converse", "SY0011"),
            ("/api/v1/keys", "SY0011"),
        ] {
            let large = |bytes| {
                let request =
                    client.request(reqwest::Method::POST, path).header("x-large", "x".repeat(bytes));
                client.send(request.json(&ask("sandbox")))
            };
            let answer = large(70_000).await;
            assert_eq!(answer.status, 431, "{answer:?}");
            assert!(answer.request_id().starts_with("req_") && answer.text().contains(word), "{answer:?}");
            assert!(answer.text().contains("SY0011"), "{answer:?}");
            assert_ne!(large(60_000).await.status, 431);
        }
    }
}

#[tokio::test]
async fn what_the_sandbox_refuses_is_no_call() {
    let server = serve(&Config::new().sandbox()).await;
    let admin = server.admin();
    let mut body = ask("sandbox");
    body["temperature"] = json!("hot");
    refused(&admin.chat(&body).await, 400, "SY0002");
    let mut body = ask("sandbox");
    body["logit_bias"] = json!({ "50256": -100 });
    let strict = admin
        .request(reqwest::Method::POST, "/v1/chat/completions")
        .header("x-steelyard-strict", "true")
        .json(&body);
    refused(&admin.send(strict).await, 400, "SY0203");
    assert_eq!(server.settled_entries().await, [], "neither was dispatched");
    let answer = admin.chat(&body).await;
    assert_eq!((answer.status, answer.header("x-steelyard-loss")), (200, Some("logit_bias")));
}

#[tokio::test]
async fn the_limits_of_an_own_price_bound_the_hold() {
    let up = Upstream::start().await;
    up.otherwise(fault::hang_before_head());
    let config = Config::new()
        .channel("up", &up, "")
        .price("up", "m", "1.00", "2.00", "max_output = 1000\ncontext_window = 10000")
        .route("r", &["up/m"], "");
    let mut server = serve(&config).await;
    let client = server.admin();
    let call = tokio::spawn(async move {
        client.open(client.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("r"))).await
    });
    up.has_requests(1).await;
    server.kill().await;
    call.abort();
    server.restart().await;
    let entry = server.only_entry().await;
    assert_eq!((entry.outcome.as_str(), entry.basis.as_deref()), ("unsettled", Some("hold")));
    let pico = entry.pico().expect("the worst case is known");
    assert!(
        (2_000_000_000..20_000_000_000).contains(&pico),
        "1000 tokens out and a short prompt, not {pico}"
    );
}

#[tokio::test]
async fn a_redirect_of_the_vendor_is_the_operators_to_mend() {
    let up = Upstream::start().await;
    up.otherwise(status(302).header("location", "http://127.0.0.1:9/elsewhere"));
    let server = serve(&Config::simple(&up)).await;
    refused(&server.admin().chat(&ask("smart")).await, 502, "SY0304");
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_in_its_owners_shape() {
    let server = serve(&Config::new().sandbox()).await;
    refused(&server.admin().get("/v1/models/%ff").await, 404, "SY0201");
    let answer = server.admin().get("/api/v1/keys/%ff").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("SY0502")), "{answer:?}");
}
