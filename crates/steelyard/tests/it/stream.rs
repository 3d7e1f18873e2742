//! `POST /v1/chat/completions` with `stream`: the relay, and the usage that is asked for on the quiet.

use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{Client, End, Gate, chat, sse};

use crate::app::{App, app, ask_stream, ask_usage, broke_off, charged};

/// What the vendor itself answers to this request when nobody stands between.
async fn direct(app: &App, body: &Value) -> String {
    let mut body = body.clone();
    body["model"] = json!("m");
    let client = Client::new(format!("http://{}", app.up.addr()), None);
    client.chat(&body).await.text()
}

#[tokio::test]
async fn a_stream_with_usage_asked_for_is_relayed_byte_by_byte() {
    let app = app().await;
    app.up.on("m", chat().texts(["Good ", "day, ", "ünï"]).usage(12, 3).model("m-2026").tier("default"));
    let body = ask_usage("smart");
    let answer = app.server.admin().chat(&body).await;
    assert!(answer.complete);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.text(), direct(&app, &body).await);
    assert_eq!(answer.content(), "Good day, ünï");
    charged(&app.only_entry().await, 12, 3);
}

#[tokio::test]
async fn usage_that_was_not_asked_for_is_asked_upstream_and_hidden_again() {
    let app = app().await;
    app.up.on("m", chat().texts(["Good ", "day"]).usage(12, 3));
    for options in
        [Value::Null, json!({}), json!({ "include_usage": false }), json!({ "include_obfuscation": false })]
    {
        let mut body = ask_stream("smart");
        body["stream_options"] = options.clone();
        let answer = app.server.admin().chat(&body).await;
        assert_eq!(answer.text(), direct(&app, &body).await, "with stream_options {options}");
        assert!(!answer.text().contains("usage"), "{}", answer.text());
        let sent =
            app.up.requests().into_iter().rev().nth(1).expect("one request by way of steelyard, one direct");
        assert_eq!(sent.json()["stream_options"]["include_usage"], true);
        if !options["include_obfuscation"].is_null() {
            assert_eq!(
                sent.json()["stream_options"]["include_obfuscation"],
                false,
                "the caller's own options stay"
            );
        }
    }
    let body = ask_stream("smart");
    let answer = app.server.admin().chat(&body).await;
    assert_eq!(answer.text(), direct(&app, &body).await, "without stream_options");
    for entry in app.server.has_entries(5).await {
        charged(&entry, 12, 3);
    }
}

#[tokio::test]
async fn the_body_with_the_injected_wish_differs_in_nothing_else() {
    let app = app().await;
    let body = "{ \"stream\" :true,\n\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\"}], \"model\":\"smart\", \"x\":1.0 }";
    let answer = app.server.admin().post_bytes("/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = app.up.only_request();
    let mut expected: Value = serde_json::from_str(body).unwrap();
    expected["model"] = json!("m");
    expected["stream_options"] = json!({ "include_usage": true });
    assert_eq!(sent.json(), expected);
    assert!(sent.text().contains("[{\"role\":\"user\",\"content\":\"\\u00e9\"}]"), "{}", sent.text());
    assert!(sent.text().contains("\"x\":1.0"), "{}", sent.text());
}

#[tokio::test]
async fn null_usage_keys_are_cut_out_wherever_they_stand() {
    let app = app().await;
    let delta = r#""choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]"#;
    let stop = r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#;
    app.up.next(
        sse()
            .data(&format!(r#"{{"usage":null,"id":"1",{delta}}}"#))
            .data(&format!(r#"{{"id":"1", "usage" : null , {delta}}}"#))
            .data(&format!(r#"{{"id":"1",{delta},"usage":null}}"#))
            .data(r#"{"id":"1","choices":[{"index":0,"delta":{"content":"\"usage\":null"},"finish_reason":null}],"usage":null}"#)
            .data(&format!(r#"{{"id":"1",{stop},"usage":null}}"#))
            .data(r#"{"id":"1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}}"#)
            .done(),
    );
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    assert_eq!(answer.content(), r#"aaa"usage":null"#);
    for event in answer.events().iter().filter(|event| *event != "[DONE]") {
        let event: Value =
            serde_json::from_str(event).unwrap_or_else(|_| panic!("broken by the cut: {event}"));
        assert_eq!(event.get("usage"), None, "{event}");
        assert_ne!(event["choices"], json!([]), "the extra chunk came through");
    }
    assert_eq!(answer.events().len(), 6);
    charged(&app.only_entry().await, 5, 4);
}

#[tokio::test]
async fn an_empty_choices_chunk_of_the_vendors_own_passes() {
    let app = app().await;
    // Azure opens with one that carries its filter results.
    let first = r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}],"id":"","model":""}"#;
    app.up.next(
        sse()
            .data(first)
            .data(r#"{"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#)
            .data(r#"{"id":"1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}}"#)
            .done(),
    );
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    assert_eq!(answer.events()[0], first);
    assert_eq!(answer.events().len(), 3);
    charged(&app.only_entry().await, 5, 4);
}

#[tokio::test]
async fn tools_choices_reasoning_and_logprobs_stream_through() {
    let app = app().await;
    app.up.on(
        "m",
        chat()
            .reasoning_text("hm")
            .text("a")
            .text("b")
            .choice()
            .tool("call_1", "f", &json!({ "city": "Lübeck", "deep": { "x": [1, 2] } }))
            .tool("call_2", "g", &json!({}))
            .usage(20, 30)
            .reasoning(11)
            .cached(8),
    );
    let mut body = ask_usage("smart");
    body["n"] = json!(2);
    body["logprobs"] = json!(true);
    let answer = app.server.admin().chat(&body).await;
    assert_eq!(answer.text(), direct(&app, &body).await);
    let entry = app.only_entry().await;
    let used = ["input", "cache_read", "output", "reasoning"].map(|class| entry.used(class));
    assert_eq!(used, [12, 8, 19, 11], "{entry:#?}");
}

#[tokio::test]
async fn every_line_end_comment_and_split_is_borne() {
    let app = app().await;
    let pieces = || chat().text("ünï").comment("ping").text("cødé 😀").usage(6, 2);
    for (name, reply) in [
        ("crlf", pieces().crlf()),
        ("one byte at a time", pieces().drip(1, Duration::ZERO)),
        ("seven bytes at a time, crlf", pieces().crlf().drip(7, Duration::ZERO)),
        ("no space after the colon", pieces().raw("data:{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":null}]}\n\n")),
        ("event and id lines", pieces().raw("event: message\nid: 7\nretry: 100\ndata: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":null}]}\n\n")),
    ] {
        app.up.next(reply);
        let answer = app.server.admin().chat(&ask_stream("smart")).await;
        assert!(answer.complete, "{name}");
        assert!(answer.content().starts_with("ünïcødé 😀"), "{name}: {}", answer.text());
        assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"), "{name}");
        charged(&app.server.entry(answer.request_id()).await, 6, 2);
    }
    app.is_clean().await;
}

#[tokio::test]
async fn a_megabyte_in_one_event_passes() {
    let app = app().await;
    let long = "x".repeat(1 << 20);
    app.up.next(chat().text("a").text(&long).usage(6, 2));
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    assert_eq!(answer.content().len(), long.len() + 1);
    charged(&app.only_entry().await, 6, 2);
}

#[tokio::test]
async fn vendors_report_usage_in_their_own_ways() {
    let app = app().await;
    for (name, reply) in [
        ("running totals in every chunk", chat().texts(["a", "b", "c"]).usage(9, 3).usage_in_every_chunk()),
        ("with the finish reason", chat().texts(["a", "b", "c"]).usage(9, 3).usage_with_finish()),
        ("in a chunk of its own", chat().texts(["a", "b", "c"]).usage(9, 3)),
    ] {
        for body in [ask_stream("smart"), ask_usage("smart")] {
            app.up.next(reply.clone());
            let answer = app.server.admin().chat(&body).await;
            assert_eq!(answer.content(), "abc", "{name}");
            assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"), "{name}");
            charged(&app.server.entry(answer.request_id()).await, 9, 3);
        }
    }
}

#[tokio::test]
async fn chunks_go_out_as_they_come_in() {
    let app = app().await;
    let gate = Gate::new();
    app.up.next(chat().text("first").wait(&gate).text("second"));
    let mut stream = app.server.admin().stream(&ask_stream("smart")).await;
    stream.until("first").await;
    assert_eq!(app.up.answering(), 1, "the rest is still held back");
    gate.open();
    let answer = stream.finish().await;
    assert_eq!(answer.content(), "firstsecond");
}

#[tokio::test]
async fn a_quiet_stream_is_kept_open_by_comments_that_no_client_minds() {
    let app = app().await;
    app.up.next(chat().text("before").pause(Duration::from_secs(17)).text(" after").usage(10, 5));
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    let comments = answer.text().lines().filter(|line| line.starts_with(':')).count();
    assert_eq!(comments, 1, "one in 17 seconds: {}", answer.text());
    assert_eq!(answer.content(), "before after");
    charged(&app.only_entry().await, 10, 5);
}

#[tokio::test]
async fn a_finished_stream_without_done_is_completed() {
    let app = app().await;
    app.up.next(chat().text("a").usage(9, 3).without_done());
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    assert_eq!(answer.content(), "a");
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    charged(&app.only_entry().await, 9, 3);
}

#[tokio::test]
async fn a_stream_that_stops_early_never_looks_complete() {
    let app = app().await;
    for (name, reply) in [
        ("in order, without finish reason", sse().json(&json!({ "id": "1", "choices": [{ "index": 0, "delta": { "content": "a" }, "finish_reason": null }] }))),
        ("in order, in the middle of an event", sse().json(&json!({ "id": "1", "choices": [{ "index": 0, "delta": { "content": "a" }, "finish_reason": null }] })).raw("data: {\"id\":\"1\",\"cho")),
    ] {
        app.up.next(reply);
        let answer = app.server.admin().chat(&ask_stream("smart")).await;
        broke_off(&answer, "SY0306");
        assert_eq!(answer.content(), "a", "{name}");
        assert_eq!(app.server.entry(answer.request_id()).await.outcome, "upstream_error", "{name}");
    }
    for end in [End::Close, End::Reset] {
        for events in 1..=3 {
            app.up.next(chat().texts(["a", "b", "c"]).cut_after(events, end));
            let answer = app.server.admin().chat(&ask_stream("smart")).await;
            broke_off(&answer, "SY0306");
            assert_eq!(
                app.server.entry(answer.request_id()).await.outcome,
                "upstream_error",
                "{end:?} after {events}"
            );
        }
    }
    app.is_clean().await;
}

#[tokio::test]
async fn the_vendors_own_error_event_reaches_the_caller_and_ends_the_stream() {
    let app = app().await;
    let error = json!({ "error": { "message": "the engine is on fire", "type": "server_error", "param": null, "code": null } });
    app.up.next(chat().texts(["a", "b"]).error_after(3, error));
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    assert_eq!(answer.content(), "ab");
    let events = answer.events();
    assert!(events.last().is_some_and(|event| event.contains("on fire")), "{events:?}");
    assert!(!events.iter().any(|event| event == "[DONE]"), "{events:?}");
    let entry = app.only_entry().await;
    assert_eq!(entry.outcome, "upstream_error", "{entry:#?}");
    assert_eq!(entry.basis.as_deref(), Some("counted"), "{entry:#?}");
}

#[tokio::test]
async fn invalid_utf8_in_an_event_is_not_passed_off_as_whole() {
    let app = app().await;
    let bad = b"data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\xfe\"},\"finish_reason\":null}]}\n\n";
    app.up.next(chat().text("a").raw(&bad[..]).text("b").usage(3, 3));
    let answer = app.server.admin().chat(&ask_stream("smart")).await;
    let entry = app.only_entry().await;
    if answer.events().last().is_some_and(|event| event == "[DONE]") {
        // Relayed untouched: then it must be the vendor's bytes, and charged as such.
        assert!(answer.body.windows(2).any(|bytes| bytes == [0xff, 0xfe]), "{}", answer.text());
        charged(&entry, 3, 3);
    } else {
        broke_off(&answer, "SY0305");
        assert_eq!(entry.outcome, "upstream_error", "{entry:#?}");
    }
}

#[tokio::test]
async fn two_hundred_streams_at_once_each_get_their_own() {
    let app = app().await;
    app.up.on(
        "m",
        steelyard_testkit::Reply::by(|request| {
            let text = request.json()["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
            chat().texts(text.split_inclusive(' ')).pace(Duration::from_millis(5)).usage(7, 4).into()
        }),
    );
    let client = app.server.admin();
    let calls = (0..200).map(|number| {
        let client = client.clone();
        async move {
            let text = format!("this is number {number} of them all");
            let mut body = ask_stream("smart");
            body["messages"][0]["content"] = json!(text);
            let answer = client.chat(&body).await;
            assert_eq!(answer.content(), text);
            answer.request_id().to_owned()
        }
    });
    let mut ids = futures_util::future::join_all(calls).await;
    let entries = app.server.settled_entries().await;
    let mut recorded: Vec<_> = entries.iter().map(|entry| entry.request_id.clone()).collect();
    ids.sort();
    recorded.sort();
    assert_eq!(recorded, ids);
    for entry in &entries {
        charged(entry, 7, 4);
    }
}
