//! The table of faults: what the caller gets, what the ledger says, and that nothing is left behind.

use serde_json::Value;
use steelyard_testkit::{Config, End, Reply, Steelyard, Upstream, Wire, chat, fault, status};

use crate::app::{Account, ask, ask_stream, serve};

struct Case {
    name: &'static str,
    reply: Reply,
    stream: bool,
    /// What the caller gets: the status, or 200 with a broken stream.
    status: u16,
    outcome: &'static str,
    basis: &'static str,
}

fn cases(wire: Wire) -> Vec<Case> {
    let case = |name, reply: Reply, stream, status, outcome, basis| Case {
        name,
        reply,
        stream,
        status,
        outcome,
        basis,
    };
    let mut cases = vec![
        case("whole", chat().text("a").usage(3, 2).into(), false, 200, "ok", "reported"),
        case("streamed", chat().text("a").usage(3, 2).into(), true, 200, "ok", "reported"),
        case(
            "no usage, whole",
            chat().text("some words of an answer").no_usage().into(),
            false,
            200,
            "ok",
            "counted",
        ),
        case(
            "no usage, streamed",
            chat().text("some words of an answer").no_usage().into(),
            true,
            200,
            "ok",
            "counted",
        ),
        case("web page", fault::html(), false, 502, "upstream_error", "counted"),
        case("cut JSON", fault::invalid_json(), false, 502, "upstream_error", "counted"),
        case("closed in the body", fault::close_in_body(), false, 502, "upstream_error", "counted"),
        case("unterminated", fault::unterminated("{}"), false, 502, "upstream_error", "counted"),
        case("hung in the body", fault::hang_in_body(), false, 504, "timeout", "counted"),
        case(
            "cut stream",
            chat().texts(["a", "b"]).cut_after(2, End::Close).into(),
            true,
            200,
            "upstream_error",
            "counted",
        ),
        case(
            "reset stream",
            chat().texts(["a", "b"]).cut_after(2, End::Reset).into(),
            true,
            200,
            "upstream_error",
            "counted",
        ),
        case(
            "hung stream",
            chat().texts(["a", "b"]).cut_after(2, End::Hang).into(),
            true,
            200,
            "timeout",
            "counted",
        ),
    ];
    // Google marks no end: its last event has the reason, and its figures.
    if wire == Wire::OpenAi {
        cases.push(case(
            "cut before DONE, with usage",
            chat().text("a").usage(3, 2).cut_after(4, End::Close).into(),
            true,
            200,
            "upstream_error",
            "reported",
        ));
    }
    // In the form of a stream where one answer was asked for, or as what it is not.
    let error = "data: {\"error\":{\"code\":500,\"message\":\"on fire\",\"status\":\"INTERNAL\",\"type\":\"server_error\"}}\n\n";
    for (kind, stream) in
        [("text/event-stream", false), ("application/json", false), ("application/json", true)]
    {
        for end in ["", "data: [DONE]\n\n"] {
            let reply = status(200).body(kind, format!("{error}{end}")).into();
            cases.push(case("error event", reply, stream, 502, "upstream_error", "reported"));
        }
    }
    for stream in [false, true] {
        for code in [400, 404, 409, 413, 422, 429] {
            cases.push(case(
                "status",
                status(code).into(),
                stream,
                match code {
                    409 => 502,
                    // Another wire's refusal is told as a refusal; what is too large is so on all.
                    422 if wire != Wire::OpenAi => 400,
                    _ => code,
                },
                "upstream_error",
                "reported",
            ));
        }
        for code in [401, 403, 408, 500, 502, 503, 504, 529] {
            let told = match code {
                408 | 504 => 504,
                // Google has no such status.
                529 if wire == Wire::Gemini => 502,
                503 | 529 => 503,
                _ => 502,
            };
            cases.push(case("status", status(code).into(), stream, told, "upstream_error", "reported"));
        }
        cases.push(case(
            "closed before the head",
            fault::close_before_head(),
            stream,
            502,
            "upstream_error",
            "counted",
        ));
        cases.push(case(
            "reset before the head",
            fault::reset_before_head(),
            stream,
            502,
            "upstream_error",
            "counted",
        ));
        cases.push(case(
            "closed in the head",
            fault::close_in_head(),
            stream,
            502,
            "upstream_error",
            "counted",
        ));
        cases.push(case("garbage", fault::garbage(), stream, 502, "upstream_error", "counted"));
        cases.push(case(
            "hung before the head",
            fault::hang_before_head(),
            stream,
            504,
            "timeout",
            "counted",
        ));
    }
    cases
}

/// One server for the whole table; every case has a model of its own, so that circuits do not meddle.
async fn run(account: Account, cases: &[Case]) -> (Steelyard, Upstream) {
    let up = Upstream::speaking(account.wire).await;
    // All calls come at once: whoever answers is given the time for it, and only who hangs is cut short.
    let config =
        (account.declare)(Config::new(), "up", &up, r#"timeouts = { first_byte = "20s", idle = "20s" }"#);
    let mut config =
        (account.declare)(config, "hangs", &up, r#"timeouts = { first_byte = "3s", idle = "3s" }"#);
    for (number, case) in cases.iter().enumerate() {
        let model = format!("m{number}");
        let channel = if case.outcome == "timeout" { "hangs" } else { "up" };
        up.on(&model, case.reply.clone());
        config = config.price(channel, &model, "1.00", "2.00", "").route(
            &format!("r{number}"),
            &[&format!("{channel}/{model}")],
            "retries = 0",
        );
    }
    (serve(&config).await, up)
}

#[tokio::test]
async fn every_fault_ends_in_the_right_error_and_one_right_entry() {
    every_fault_of(Account::COMPATIBLE).await;
}

#[tokio::test]
async fn every_fault_of_azures_too() {
    every_fault_of(Account::AZURE).await;
}

#[tokio::test]
async fn every_fault_of_geminis_too() {
    every_fault_of(Account::GEMINI).await;
}

async fn every_fault_of(account: Account) {
    let cases = cases(account.wire);
    let (server, up) = run(account, &cases).await;
    let client = server.admin();
    let calls = cases.iter().enumerate().map(|(number, case)| {
        let body = if case.stream { ask_stream(&format!("r{number}")) } else { ask(&format!("r{number}")) };
        let client = client.clone();
        async move { client.chat(&body).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let entries = server.settled_entries().await;
    assert_eq!(entries.len(), cases.len(), "one entry for each call");

    for (case, answer) in cases.iter().zip(&answers) {
        let name = format!("{} {:?} (stream: {})", case.name, case.reply, case.stream);
        assert_eq!(answer.status, case.status, "{name}: {answer:?}");
        let entry = entries
            .iter()
            .find(|entry| entry.request_id == answer.request_id())
            .unwrap_or_else(|| panic!("{name}: no entry"));
        assert_eq!(entry.outcome, case.outcome, "{name}: {entry:#?}");
        assert_eq!(entry.basis.as_deref(), Some(case.basis), "{name}: {entry:#?}");
        let pico = i128::from(entry.used("input")) * 1_000_000 + i128::from(entry.used("output")) * 2_000_000;
        assert_eq!(entry.pico(), Some(pico), "{name}: the amount is not usage times price: {entry:#?}");
        if case.basis == "counted" {
            assert!(entry.used("input") > 0, "{name}: what was sent counts: {entry:#?}");
        }
        if case.status == 200 {
            let done = answer.text().contains("[DONE]");
            assert!(!case.stream || done == (case.outcome == "ok"), "{name}: {}", answer.text());
        } else {
            let error: Value = answer.json();
            crate::app::is_openai_error(&error["error"]);
        }
    }
    up.is_idle(cases.len()).await;
    assert_eq!(server.metrics().await.sum("steelyard_calls_in_flight"), Some(0.0));
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn cached_tokens_beyond_the_prompt_are_never_negative() {
    let up = Upstream::start().await;
    let server = serve(&Config::simple(&up)).await;
    up.on("m", chat().text("a").usage(10, 4).cached(25).reasoning(9));
    for body in [ask("smart"), ask_stream("smart")] {
        let answer = server.admin().chat(&body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let entry = server.entry(answer.request_id()).await;
        assert_eq!((entry.used("input"), entry.used("output")), (0, 0), "{entry:#?}");
        assert!(entry.used("cache_read") <= 25 && entry.used("reasoning") <= 9, "{entry:#?}");
        assert!(entry.pico() > Some(0), "{entry:#?}");
    }
}

#[tokio::test]
async fn nonsense_in_usage_is_not_charged_as_such() {
    let up = Upstream::start().await;
    let server = serve(&Config::simple(&up)).await;
    for usage in [
        r#""lots""#,
        "null",
        "{}",
        r#"{"prompt_tokens":-5,"completion_tokens":1.5}"#,
        r#"{"prompt_tokens":1e30}"#,
    ] {
        let body = format!(
            r#"{{"id":"1","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"some words"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        );
        up.next(status(200).body("application/json", body.clone()));
        let answer = server.admin().chat(&ask("smart")).await;
        let entry = server.entry(answer.request_id()).await;
        if answer.status == 200 {
            assert_eq!(answer.text(), body);
            assert_eq!(entry.basis.as_deref(), Some("counted"), "{usage}: {entry:#?}");
            assert!(entry.used("output") > 0 && entry.used("output") < 1000, "{usage}: {entry:#?}");
        } else {
            assert_eq!(
                (answer.status, entry.outcome.as_str()),
                (502, "upstream_error"),
                "{usage}: {answer:?}"
            );
        }
    }
}
