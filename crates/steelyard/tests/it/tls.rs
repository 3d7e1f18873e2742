//! The listener that speaks TLS, beside the plain one: the same calls, limits and shutdown.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Version;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use steelyard_testkit::{Client, Gate, Steelyard, chat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{App, app_with, ask, ask_stream, charged, cli, refused};

const SELF_SIGNED: &str = "[server.tls]\nlisten = \"127.0.0.1:0\"\nself_signed = true\n";

/// A server with a self-signed certificate.
async fn secured(more: &str) -> App {
    app_with(|config| config.head(&format!("{more}\n{SELF_SIGNED}"))).await
}

fn address(server: &Steelyard) -> SocketAddr {
    let text = std::fs::read_to_string(server.data_dir().join("listen-tls.addr")).unwrap();
    text.trim().parse().unwrap()
}

fn own_certificate(server: &Steelyard) -> PathBuf {
    server.data_dir().join("tls/cert.pem")
}

/// A client with the admin key that trusts one certificate.
fn trusting(server: &Steelyard, certificate: &Path, http: reqwest::ClientBuilder) -> Client {
    let pem = std::fs::read(certificate).unwrap();
    let certificate = reqwest::Certificate::from_pem(&pem).unwrap();
    let http = http.no_proxy().tls_certs_only([certificate]).build().unwrap();
    server.admin().at(&format!("https://localhost:{}", address(server).port()), http)
}

/// A TLS connection on which a test writes its own bytes; with the certificate that was shown.
async fn connect(
    server: &Steelyard,
    certificate: &Path,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address(server)).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn both_versions_of_http_by_alpn_and_the_plain_port_beside() {
    let app = secured("").await;
    let certificate = own_certificate(&app.server);
    for (http, version) in [
        (reqwest::Client::builder().http1_only(), Version::HTTP_11),
        (reqwest::Client::builder(), Version::HTTP_2),
    ] {
        let client = trusting(&app.server, &certificate, http);
        let response = client.request(reqwest::Method::GET, "/readyz").send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        let whole = client.chat(&ask("smart")).await;
        assert_eq!((whole.status, whole.content().as_str()), (200, "hello"), "{whole:?}");
        assert!(whole.request_id().starts_with("req_"));
        let streamed = client.chat(&ask_stream("smart")).await;
        assert_eq!(streamed.content(), "hello");
        assert!(streamed.complete);
        refused(&client.chat(&ask("nowhere")).await, 404, "SY0201");
    }
    assert_eq!(app.server.admin().chat(&ask("smart")).await.content(), "hello", "in clear");
    for entry in app.server.has_entries(5).await {
        charged(&entry, 10, 5);
    }
}

#[tokio::test]
async fn every_own_name_is_in_the_certificate_and_a_strange_one_gets_it_too() {
    let app = app_with(|config| config.head(&format!("{SELF_SIGNED}names = [\"gateway.example\"]"))).await;
    let certificate = own_certificate(&app.server);
    for name in ["localhost", "127.0.0.1", "::1", "gateway.example"] {
        let mut stream = connect(&app.server, &certificate, name).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{name}: {text}");
    }
    // The server shows what it has, and it is the client that refuses it, by the name.
    let error = connect(&app.server, &certificate, "strange.example").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let port = address(&app.server);
    let careless = reqwest::Client::builder()
        .no_proxy()
        .resolve("strange.example", port)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let client = app.server.admin().at(&format!("https://strange.example:{}", port.port()), careless);
    assert_eq!(client.chat(&ask("smart")).await.content(), "hello");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_before_the_connection_closes() {
    let app = secured("[server]\nmax_body = \"1KiB\"").await;
    let client = trusting(&app.server, &own_certificate(&app.server), reqwest::Client::builder());
    for http in [reqwest::Client::builder().http1_only(), reqwest::Client::builder()] {
        let client = trusting(&app.server, &own_certificate(&app.server), http);
        let answer = client.post_bytes("/v1/chat/completions", vec![b'x'; 3 << 20]).await;
        assert_eq!(answer.status, 413, "{answer:?}");
    }
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_closed_and_logged() {
    let app = secured("").await;
    let mut stream = TcpStream::connect(address(&app.server)).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(reading.is_ok(), "it is not closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let log = app.server.log();
    let line = log.lines().find(|line| line.contains("no TLS handshake")).expect(&log);
    assert!(line.contains("\"level\":\"DEBUG\"") && line.contains("speaks plain HTTP"), "{line}");
}

#[tokio::test]
async fn silent_clients_are_closed_before_and_after_the_handshake() {
    let app = secured("[server]\nheader_timeout = \"500ms\"").await;
    let begun = Instant::now();
    for first in [&b""[..], b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(address(&app.server)).await.unwrap();
        stream.write_all(first).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{first:?}: {closed:?}");
    }
    let certificate = own_certificate(&app.server);
    for first in ["", "P", "PRI * HT", "GET / HT"] {
        let mut stream = connect(&app.server, &certificate, "localhost").await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "`{first}` is kept");
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "closed too early: {:?}", begun.elapsed());
}

/// A certificate for `localhost` in two files.
fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [("cert.pem", made.cert.pem()), ("key.pem", made.signing_key.serialize_pem())] {
        let draft = folder.join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, folder.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_to_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let cert = folder.path().join("cert.pem");
    write_certificate(folder.path());
    let app = app_with(|config| {
        let path = folder.path().display();
        config.head(&format!(
            "[server.tls]\nlisten = \"127.0.0.1:0\"\ncert = \"{path}/cert.pem\"\nkey = \"{path}/key.pem\""
        ))
    })
    .await;
    assert!(!own_certificate(&app.server).exists(), "none is made where one is given");
    let gate = Gate::new();
    app.up.next(chat().text("begun").wait(&gate).text(" and finished").usage(10, 5));
    let old = trusting(&app.server, &cert, reqwest::Client::builder());
    let mut stream = old.stream(&ask_stream("smart")).await;
    stream.until("begun").await;

    write_certificate(folder.path());
    let taken = tokio::time::timeout(Duration::from_secs(10), async {
        while connect(&app.server, &cert, "localhost").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    taken.await.expect("the new certificate is shown");
    let new = trusting(&app.server, &cert, reqwest::Client::builder());
    assert_eq!(new.chat(&ask("smart")).await.content(), "hello");
    gate.open();
    assert_eq!(stream.finish().await.content(), "begun and finished", "the old connection lives on");

    std::fs::write(&cert, "half a file").unwrap();
    let said = tokio::time::timeout(Duration::from_secs(10), async {
        while !app.server.log().contains("the old one stays in force") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    said.await.expect("the log says what is wrong");
    let log = app.server.log();
    let line = log.lines().find(|line| line.contains("the old one stays in force")).unwrap();
    assert!(line.contains(cert.to_str().unwrap()) && line.contains("BEGIN CERTIFICATE"), "{line}");
    assert_eq!(new.chat(&ask("smart")).await.content(), "hello");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_ends_the_start_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    write_certificate(&other);
    std::fs::write(folder.path().join("text.txt"), "no certificate").unwrap();
    let config = folder.path().join("steelyard.toml");
    let cases = [
        ("cert = \"gone.pem\"\nkey = \"key.pem\"", vec!["gone.pem", "cannot be read", "No such file"]),
        ("cert = \"text.txt\"\nkey = \"key.pem\"", vec!["text.txt", "BEGIN CERTIFICATE"]),
        ("cert = \"cert.pem\"\nkey = \"text.txt\"", vec!["text.txt", "BEGIN PRIVATE KEY"]),
        (
            "cert = \"cert.pem\"\nkey = \"other/key.pem\"",
            vec!["other/key.pem", "does not belong", "cert.pem"],
        ),
        ("", vec!["no certificate", "self_signed = true"]),
        ("cert = \"cert.pem\"", vec!["steelyard.toml:3", "cert is given without its key"]),
        ("self_signed = true\nnames = [\"a:1\"]", vec!["steelyard.toml:4", "`a:1` is no host name"]),
    ];
    for (lines, words) in cases {
        std::fs::write(&config, format!("[server.tls]\nlisten = \"127.0.0.1:0\"\n{lines}\n")).unwrap();
        let (config, data) = (config.to_str().unwrap(), folder.path().join("data"));
        let data = data.to_str().unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", data];
        let run = cli().run(&serve).await;
        assert_eq!(run.code, 1, "{run:#?}");
        for word in words {
            assert!(run.stderr.contains(word), "`{word}` is missing for {lines}: {}", run.stderr);
        }
    }
}

#[tokio::test]
async fn sigterm_lets_a_tls_stream_finish() {
    let mut app = secured("").await;
    let gate = Gate::new();
    app.up.next(chat().text("begun").wait(&gate).text(" and finished").usage(10, 5));
    let certificate = own_certificate(&app.server);
    let client = trusting(&app.server, &certificate, reqwest::Client::builder());
    let mut stream = client.stream(&ask_stream("smart")).await;
    stream.until("begun").await;
    let before = std::fs::read(&certificate).unwrap();

    app.server.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refusal = client.chat(&ask("smart")).await;
    refused(&refusal, 503, "SY0402");
    assert!(app.server.ended(Duration::from_millis(500)).await.is_none(), "it waits for the stream");
    gate.open();
    let answer = stream.finish().await;
    assert!(answer.complete && answer.text().contains("[DONE]"), "{answer:?}");
    let ended = app.server.ended(Duration::from_secs(5)).await.expect("it ends once the stream has");
    assert_eq!(ended.code(), Some(0));
    assert!(!app.server.data_dir().join("listen-tls.addr").exists());

    app.server.restart().await;
    assert_eq!(std::fs::read(&certificate).unwrap(), before, "a restart keeps the certificate");
    charged(&app.server.only_entry().await, 10, 5);
}
