//! What a collector of OpenTelemetry's gets to see, and what the vendor is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use steelyard_testkit::{Config, End, Gate, Steelyard, Upstream, chat, status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{BINARY, ask, ask_stream, broke_off, refused};
use crate::translate::{Pair, hi, world_with};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A span as it was exported.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    kind: SpanKind,
    trace: String,
    id: String,
    parent: String,
    failed: bool,
    micros: u64,
    facts: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Got {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
    heads: Vec<String>,
}

/// Takes OTLP over HTTP.
struct Collector {
    addr: SocketAddr,
    got: Arc<Mutex<Got>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Got::default()));
        let shared = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&shared)));
            }
        });
        Self { addr, got }
    }

    /// Waits until `count` spans have come, and gives them in the order of their beginnings: parents first.
    async fn has_spans(&self, count: usize) -> Vec<Span> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let spans = self.got.lock().unwrap().spans.clone();
            if spans.len() >= count {
                assert_eq!(spans.len(), count, "{spans:#?}");
                return spans;
            }
            assert!(Instant::now() < end, "not {count} spans but {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(mut stream: TcpStream, got: Arc<Mutex<Got>>) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap_or_else(|| panic!("no length: {head}")).parse().unwrap();
        while read.len() < end + 4 + length {
            assert!(matches!(stream.read_buf(&mut read).await, Ok(1..)), "the body breaks off");
        }
        let body: Vec<u8> = read.drain(..end + 4 + length).skip(end + 4).collect();
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let mut got = got.lock().unwrap();
        got.heads.push(head);
        for resource in request.resource_spans {
            got.resource = facts(&resource.resource.unwrap().attributes);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            got.spans.extend(spans.map(read_span));
            got.spans.sort_by_key(|span| {
                (span.kind != SpanKind::Server, span.facts.get("steelyard.attempt").cloned())
            });
        }
    }
}

fn read_span(span: opentelemetry_proto::tonic::trace::v1::Span) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Span {
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        micros: (span.end_time_unix_nano - span.start_time_unix_nano) / 1000,
        facts: facts(&span.attributes),
        name: span.name,
    }
}

fn facts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(yes) => yes.to_string(),
        any_value::Value::ArrayValue(list) => {
            let texts = list.values.iter().map(|value| match value.value.as_ref().unwrap() {
                any_value::Value::StringValue(text) => text.as_str(),
                other => panic!("{other:?} in a list of texts"),
            });
            format!("[{}]", texts.collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

impl Span {
    #[track_caller]
    fn has(&self, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(self.facts.get(*key).map(String::as_str), Some(*value), "{key} of {self:#?}");
        }
    }
}

async fn traced(up: &Upstream, more: &[(&str, &str)], collector: SocketAddr) -> Steelyard {
    let endpoint = format!("http://{collector}");
    let mut environment =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    environment.extend(more);
    let config = Config::simple(up).route("again", &["up/m"], "retries = 1");
    Steelyard::start_with(BINARY, &config, &environment).await
}

#[tokio::test]
async fn a_call_is_a_span_beneath_its_callers_with_one_beneath_for_each_attempt() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let more = [("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue"), ("OTEL_SERVICE_NAME", "gateway-eu")];
    let server = traced(&up, &more, collector.addr).await;
    up.next(chat().text("hello").usage(10, 5).cached(4).reasoning(2).model("m-2026-11"));
    let request = server.admin().request(reqwest::Method::POST, "/v1/chat/completions");
    let request = request.header("traceparent", PARENT).header("tracestate", "shop=7").json(&ask("smart"));
    let answer = server.admin().send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let spans = collector.has_spans(2).await;
    let [call, attempt] = spans.as_slice() else { panic!("{spans:#?}") };
    assert_eq!((&*call.name, call.kind, call.failed), ("chat smart", SpanKind::Server, false));
    assert_eq!((&*call.trace, &*call.parent), (TRACE, "b7ad6b7169203331"));
    assert_eq!((&*attempt.name, attempt.kind, attempt.failed), ("chat m", SpanKind::Client, false));
    assert_eq!((&attempt.trace, &attempt.parent), (&call.trace, &call.id));
    assert!(call.micros > 0 && call.micros < 60_000_000 && attempt.micros <= call.micros, "{spans:#?}");
    call.has(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "smart"),
        ("steelyard.request_id", answer.request_id()),
        ("steelyard.outcome", "ok"),
        ("steelyard.attempts", "1"),
        ("steelyard.cost.pico_usd", "20000000"),
    ]);
    attempt.has(&[
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "compatible"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.request.stream", "false"),
        ("gen_ai.response.model", "m-2026-11"),
        ("gen_ai.usage.input_tokens", "10"),
        ("gen_ai.usage.output_tokens", "5"),
        ("gen_ai.usage.cache_read.input_tokens", "4"),
        ("gen_ai.usage.reasoning.output_tokens", "2"),
        ("server.address", "127.0.0.1"),
        ("server.port", &up.addr().port().to_string()),
        ("http.response.status_code", "200"),
        ("steelyard.channel", "up"),
        ("steelyard.basis", "reported"),
        ("steelyard.cost.pico_usd", "20000000"),
    ]);
    assert!(!call.facts.contains_key("gen_ai.usage.input_tokens"), "it would be counted twice: {call:#?}");

    let sent = up.only_request();
    assert_eq!(sent.header("traceparent"), Some(&*format!("00-{TRACE}-{}-01", attempt.id)));
    assert_eq!(sent.header("tracestate"), Some("shop=7"));
    let got = collector.got.lock().unwrap();
    assert_eq!(got.resource.get("service.name").map(String::as_str), Some("gateway-eu"));
    assert!(got.resource.contains_key("service.version"), "{:?}", got.resource);
    assert!(
        got.heads[0].starts_with("post /v1/traces ") && got.heads[0].contains("x-tenant: blue"),
        "{got:?}"
    );
    // Nothing of what was said, nobody's name, no key.
    let all = format!("{:?}", got.spans);
    for secret in ["hello", "\"hi\"", "vendor-key-up", server.admin_key(), "admin", "key_"] {
        assert!(!all.contains(secret), "`{secret}` is in {all}");
    }
}

/// Relayed and translated, whole and streamed.
#[tokio::test]
async fn what_the_vendor_says_of_its_answer_is_in_the_span_on_every_pair_of_wires() {
    let collector = Collector::start().await;
    let endpoint = format!("[telemetry]\notlp_endpoint = \"http://{}\"\n", collector.addr);
    let world = world_with(|config| config.head(&endpoint)).await;
    let pairs: Vec<_> = Pair::all().collect();
    for (reply, reason) in
        [(chat().text("hello"), "[stop]"), (chat().text("hel").finish("length"), "[length]")]
    {
        collector.got.lock().unwrap().spans.clear();
        for pair in &pairs {
            world.vendor(pair.vendor).next(reply.clone());
            let answer = world.ask(*pair, &hi(pair.client)).await;
            assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
        }
        let spans = collector.has_spans(2 * pairs.len()).await;
        for span in spans.iter().filter(|span| span.kind == SpanKind::Client) {
            span.has(&[("gen_ai.response.finish_reasons", reason)]);
            let id = match &*span.facts["steelyard.channel"] {
                "openai" => Some("chatcmpl-scripted"),
                "anthropic" => Some("msg_scripted"),
                "gemini" => Some("scripted"),
                // Converse has none.
                _ => None,
            };
            assert_eq!(span.facts.get("gen_ai.response.id").map(String::as_str), id, "{span:#?}");
        }
    }
}

#[tokio::test]
async fn failed_attempts_and_refusals_say_why() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let server = traced(&up, &[], collector.addr).await;
    up.next(status(503));
    up.next(chat().text("hello").usage(10, 5));
    let answer = server.admin().chat(&ask_stream("again")).await;
    assert_eq!(answer.content(), "hello");
    let spans = collector.has_spans(3).await;
    let [call, first, second] = spans.as_slice() else { panic!("{spans:#?}") };
    call.has(&[("steelyard.attempts", "2"), ("steelyard.outcome", "ok")]);
    assert!(!call.failed && first.failed && !second.failed, "{spans:#?}");
    assert!(call.parent.is_empty(), "nobody sent a context: {call:#?}");
    first.has(&[
        ("error.type", "503"),
        ("http.response.status_code", "503"),
        ("steelyard.attempt", "1"),
        ("steelyard.cost.pico_usd", "0"),
    ]);
    second.has(&[("steelyard.attempt", "2"), ("gen_ai.request.stream", "true")]);
    let sent = up.requests();
    for (request, attempt) in sent.iter().zip([first, second]) {
        assert_eq!(
            request.header("traceparent"),
            Some(&*format!("00-{}-{}-01", call.trace, attempt.id)),
            "each attempt has its own"
        );
    }

    collector.got.lock().unwrap().spans.clear();
    refused(&server.admin().chat(&ask("nowhere-at-all")).await, 404, "SY0201");
    let spans = collector.has_spans(1).await;
    assert_eq!((&*spans[0].name, spans[0].failed), ("chat", true), "a strange name names no span");
    spans[0].has(&[("error.type", "SY0201")]);

    collector.got.lock().unwrap().spans.clear();
    up.next(status(500));
    refused(&server.admin().chat(&ask("smart")).await, 502, "SY0304");
    let spans = collector.has_spans(2).await;
    spans[0].has(&[("error.type", "upstream_error"), ("steelyard.outcome", "upstream_error")]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("\"call failed\"")).expect(&log);
    assert!(line.contains(&format!("\"trace_id\":\"{}\"", spans[0].trace)), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_spans() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let server = traced(&up, &[], collector.addr).await;
    up.next(chat().text("heard").wait(&Gate::new()));
    let mut stream = server.admin().stream(&ask_stream("smart")).await;
    stream.until("heard").await;
    drop(stream);
    let spans = collector.has_spans(2).await;
    for span in &spans {
        span.has(&[("error.type", "client_gone")]);
    }
    spans[1].has(&[("steelyard.basis", "counted")]);
}

#[tokio::test]
async fn a_stream_that_breaks_off_failed_and_is_logged_with_its_trace() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let server = traced(&up, &[], collector.addr).await;
    up.next(chat().texts(["one", "two", "three"]).cut_after(2, End::Close));
    let request = server.admin().request(reqwest::Method::POST, "/v1/chat/completions");
    let answer = server.admin().send(request.header("traceparent", PARENT).json(&ask_stream("smart"))).await;
    broke_off(&answer, "SY0306");
    let spans = collector.has_spans(2).await;
    spans[0].has(&[("error.type", "upstream_error")]);
    spans[1].has(&[
        ("error.type", "cut"),
        ("http.response.status_code", "200"),
        ("steelyard.basis", "counted"),
    ]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("\"stream broke off\"")).expect(&log);
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
}

#[tokio::test]
async fn the_callers_decision_and_the_configured_share_are_followed() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let config = Config::simple(&up)
        .head(&format!("[telemetry]\notlp_endpoint = \"http://{}\"\nsample_ratio = 0.0", collector.addr));
    let server = Steelyard::start_with(BINARY, &config, &[("OTEL_BSP_SCHEDULE_DELAY", "100")]).await;
    let ask_with = async |parent: &str| {
        let request = server.admin().request(reqwest::Method::POST, "/v1/chat/completions");
        let answer = server.admin().send(request.header("traceparent", parent).json(&ask("smart"))).await;
        assert_eq!(answer.status, 200);
        up.last_request().header("traceparent").unwrap().to_owned()
    };
    // Not sampled: the vendor is told so, in the same trace.
    let told = ask_with("00-11111111111111111111111111111111-b7ad6b7169203331-00").await;
    assert!(told.starts_with("00-11111111111111111111111111111111-") && told.ends_with("-00"), "{told}");
    assert!(server.admin().chat(&ask("smart")).await.status == 200, "of the share of none");
    ask_with(PARENT).await;
    // What cannot be read counts as nothing.
    ask_with("00-not-a-context").await;
    let spans = collector.has_spans(2).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    tokio::time::sleep(Duration::from_millis(400)).await;
    collector.has_spans(2).await;
}

#[tokio::test]
async fn without_an_endpoint_the_context_goes_on_unchanged() {
    let up = Upstream::start().await;
    let server = Steelyard::start_with(
        BINARY,
        &Config::simple(&up),
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_SDK_DISABLED", "true")],
    )
    .await;
    let admin = server.admin();
    let request = admin.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("smart"));
    admin.send(request.header("traceparent", PARENT).header("tracestate", "shop=7")).await;
    let sent = up.last_request();
    assert_eq!((sent.header("traceparent"), sent.header("tracestate")), (Some(PARENT), Some("shop=7")));

    for (name, value) in [("traceparent", "00-none-of-it"), ("tracestate", "shop=7"), ("x-other", "1")] {
        let request = admin.request(reqwest::Method::POST, "/v1/chat/completions").json(&ask("smart"));
        assert_eq!(admin.send(request.header(name, value)).await.status, 200);
        let sent = up.last_request();
        assert_eq!((sent.header("traceparent"), sent.header("tracestate")), (None, None), "{name}");
    }
    assert!(!server.log().contains("traces"), "{}", server.log());
}

/// Calls while the collector is not there, and the end; with how long the end took.
async fn calls_without_a_collector(collector: SocketAddr) -> (Duration, String) {
    let up = Upstream::start().await;
    let mut server = traced(&up, &[], collector).await;
    let client = server.admin();
    let begun = Instant::now();
    let calls = (0..100).map(|_| {
        let admin = client.clone();
        async move { admin.chat(&ask("smart")).await.status }
    });
    assert!(futures_util::future::join_all(calls).await.iter().all(|status| *status == 200));
    // A batch is given up after ten: no call waited for one.
    assert!(begun.elapsed() < Duration::from_secs(9), "calls took {:?}", begun.elapsed());
    // So that a batch is on its way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.chat(&ask("smart")).await.status, 200);
    server.terminate();
    let begun = Instant::now();
    let status = server.ended(Duration::from_secs(10)).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    (begun.elapsed(), server.log())
}

#[tokio::test]
async fn a_collector_that_is_down_harms_nobody() {
    let (took, log) = calls_without_a_collector(Upstream::refusing().await).await;
    assert!(took < Duration::from_secs(8), "the end took {took:?}");
    assert_eq!(log.matches("traces cannot be exported").count(), 1, "said once: {log}");
}

#[tokio::test]
async fn a_collector_that_never_answers_harms_nobody() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let (took, log) = calls_without_a_collector(addr).await;
    assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(8), "the end took {took:?}");
    assert!(log.contains("the last traces could not be exported"), "{log}");
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let (up, collector) = (Upstream::start().await, Collector::start().await);
    let mut server = traced(&up, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")], collector.addr).await;
    server.admin().chat(&ask("smart")).await;
    assert!(collector.got.lock().unwrap().spans.is_empty(), "they wait for more");
    server.terminate();
    let status = server.ended(Duration::from_secs(5)).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    collector.has_spans(2).await;
}
