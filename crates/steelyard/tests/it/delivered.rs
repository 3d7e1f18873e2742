//! What the vendor has generated is charged by its own figures where they can be read, also where the caller gets none of
//! it; a prompt that is counted here is not charged for its pictures' base64.

use serde_json::{Value, json};
use steelyard_testkit::{Config, End, Entry, Reply, Sse, Steelyard, Upstream, Wire, chat, sse, status};

use crate::app::{ask, ask_stream, serve};

/// A vendor of a wire, and a server before it.
async fn world(wire: Wire) -> (Upstream, Steelyard) {
    let up = Upstream::speaking(wire).await;
    let config = Config::new().channel("up", &up, r#"models = ["m"]"#).price("up", "m", "1.00", "2.00", "");
    let server = serve(&config.route("smart", &["up/m"], "retries = 0")).await;
    (up, server)
}

#[track_caller]
fn charged(entry: &Entry, basis: &str, input: u64, output: u64) {
    let found = (entry.outcome.as_str(), entry.basis.as_deref(), entry.used("input"), entry.used("output"));
    assert_eq!(found, ("upstream_error", Some(basis), input, output), "{entry:#?}");
}

fn messages() -> Value {
    json!({ "model": "smart", "max_tokens": 100, "stream": true, "messages": [{ "role": "user", "content": "hi" }] })
}

#[tokio::test]
async fn final_figures_hold_for_a_stream_that_breaks_behind_them_relayed_or_translated() {
    let (up, server) = world(Wire::OpenAi).await;
    for (path, body) in [("/v1/chat/completions", ask_stream("smart")), ("/v1/messages", messages())] {
        up.next(chat().text("a").usage(11, 7).cut_after(4, End::Reset));
        let answer = server.admin().post(path, &body).await;
        charged(&server.entry(answer.request_id()).await, "reported", 11, 7);
    }
    let (up, server) = world(Wire::Gemini).await;
    let last = json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": [{ "text": "a" }] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18 },
    });
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let relayed = "/v1beta/models/smart:streamGenerateContent?alt=sse";
    for (path, body) in [(relayed, contents), ("/v1/messages", messages())] {
        up.next(sse().json(&last).end(End::Reset));
        let answer = server.admin().post(path, &body).await;
        charged(&server.entry(answer.request_id()).await, "reported", 11, 7);
    }
}

#[tokio::test]
async fn an_answer_without_words_is_charged_by_its_figures() {
    for (wire, body) in [
        (
            Wire::OpenAi,
            json!({ "id": "x", "model": "m", "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 } }),
        ),
        (
            Wire::Anthropic,
            json!({ "id": "x", "type": "message", "usage": { "input_tokens": 11, "output_tokens": 7 } }),
        ),
        (Wire::Bedrock, json!({ "usage": { "inputTokens": 11, "outputTokens": 7, "totalTokens": 18 } })),
        (
            Wire::Gemini,
            json!({ "usageMetadata": { "promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18 } }),
        ),
    ] {
        let (up, server) = world(wire).await;
        up.next(status(200).body("application/json", body.to_string()));
        let answer = server.admin().chat(&ask("smart")).await;
        assert_eq!(answer.status, 502, "{wire:?}: {answer:?}");
        charged(&server.entry(answer.request_id()).await, "reported", 11, 7);
    }
}

/// The caller cannot use it, but the vendor has generated it.
#[tokio::test]
async fn an_answer_in_the_other_form_is_an_error_that_is_charged_by_what_came() {
    let (up, server) = world(Wire::OpenAi).await;
    let chunk = |more: Value| {
        let mut chunk = json!({ "id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [] });
        chunk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("data: {chunk}\n\n")
    };
    let words = chunk(
        json!({ "choices": [{ "index": 0, "delta": { "content": "some words here" }, "finish_reason": null }] }),
    );
    let finish = chunk(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }));
    let usage =
        chunk(json!({ "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 } }));
    let whole = json!({
        "id": "x", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "some words here" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
    });
    let events = |body: String| status(200).body("text/event-stream", body);
    let one = || status(200).body("application/json", whole.to_string());
    let counted = (serde_json::to_string(&ask("smart")).unwrap().len() as u64).div_ceil(4);
    for (reply, body, basis, input, output) in [
        (events(format!("{words}{finish}{usage}data: [DONE]\n\n")), ask("smart"), "reported", 11, 7),
        (events(format!("{words}{finish}data: [DONE]\n\n")), ask("smart"), "counted", counted, 4),
        (one(), ask_stream("smart"), "reported", 11, 7),
    ] {
        up.next(reply);
        let answer = server.admin().chat(&body).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        charged(&server.entry(answer.request_id()).await, basis, input, output);
    }
}

#[tokio::test]
async fn a_picture_is_counted_as_one_and_not_as_its_base64() {
    let (up, server) = world(Wire::OpenAi).await;
    let url = format!("data:image/png;base64,{}", "A".repeat(2_000_000));
    let mut body = ask("smart");
    body["max_completion_tokens"] = json!(10);
    body["messages"][0]["content"] =
        json!([{ "type": "text", "text": "hi" }, { "type": "image_url", "image_url": { "url": url } }]);
    up.next(chat().text("a").no_usage());
    let entry = server.entry(server.admin().chat(&body).await.request_id()).await;
    assert_eq!(entry.basis.as_deref(), Some("counted"), "{entry:#?}");
    assert!((1_600..1_700).contains(&entry.used("input")), "{entry:#?}");
    // A dollar a million tokens: 50,000 for the picture, 1,024 of overhead, the text, and 10 of output at twice the price.
    let hold: i128 = entry.attempts[0].hold.as_deref().unwrap().parse().unwrap();
    assert!((51_000_000_000..51_500_000_000).contains(&hold), "{entry:#?}");
}

fn words(count: usize) -> impl Iterator<Item = Value> {
    (0..count).map(|_| {
        let choice = json!({ "index": 0, "delta": { "content": "word" }, "finish_reason": null });
        json!({ "id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice] })
    })
}

fn figures(input: u64, output: u64) -> Value {
    json!({ "id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [],
        "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output } })
}

#[tokio::test]
async fn figures_hold_if_no_text_came_behind_them_relayed_or_translated() {
    let stop = json!({ "id": "x", "object": "chat.completion.chunk", "model": "m",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let with_words = |stream: Sse| words(20).fold(stream, |stream, word| stream.json(&word));
    let cases = [
        // The last event is the figures, and nothing says why the answer ended but its end.
        (with_words(sse()).json(&figures(10, 5)).done(), "reported", 5),
        (with_words(sse()).json(&stop).json(&figures(10, 5)).done(), "reported", 5),
        // The first event is the figures.
        (with_words(sse().json(&figures(10, 0))).json(&stop).done(), "counted", 20),
        (with_words(sse().json(&figures(10, 1))).json(&stop).done(), "counted", 20),
        // They know of more than was seen.
        (with_words(sse().json(&figures(10, 50))).json(&stop).done(), "reported", 50),
        // Nothing was generated, they say beside twenty words.
        (with_words(sse()).json(&stop).json(&figures(10, 0)).done(), "counted", 20),
    ];
    let (up, server) = world(Wire::OpenAi).await;
    for (number, (reply, basis, output)) in cases.into_iter().enumerate() {
        for (path, body) in [("/v1/chat/completions", ask_stream("smart")), ("/v1/messages", messages())] {
            up.next(reply.clone());
            let answer = server.admin().post(path, &body).await;
            let entry = server.entry(answer.request_id()).await;
            let found =
                (entry.outcome.as_str(), entry.basis.as_deref(), entry.used("input"), entry.used("output"));
            assert_eq!(found, ("ok", Some(basis), 10, output), "{number} {path}: {entry:#?}");
        }
    }
}

#[tokio::test]
async fn anthropics_figures_of_the_beginning_do_not_count_the_answer() {
    let (up, server) = world(Wire::Anthropic).await;
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "usage": { "input_tokens": 10, "output_tokens": 1 } });
    let begun = sse()
        .event("message_start", &json!({ "type": "message_start", "message": message }))
        .event(
            "content_block_start",
            &json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        );
    let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "word" } });
    let said = (0..8).fold(begun, |stream, _| stream.event("content_block_delta", &delta));
    let reply = said
        .event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 }))
        .event("message_delta", &json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }))
        .event("message_stop", &json!({ "type": "message_stop" }));
    for (path, body) in [("/v1/chat/completions", ask_stream("smart")), ("/v1/messages", messages())] {
        up.next(reply.clone());
        let entry = server.entry(server.admin().post(path, &body).await.request_id()).await;
        let found =
            (entry.outcome.as_str(), entry.basis.as_deref(), entry.used("input"), entry.used("output"));
        assert_eq!(found, ("ok", Some("counted"), 10, 8), "{path}: {entry:#?}");
    }
}

#[tokio::test]
async fn half_figures_are_completed_and_a_total_alone_is_the_prompt_of_embeddings() {
    let (up, server) = world(Wire::OpenAi).await;
    let whole = |usage: Value| {
        json!({ "id": "x", "object": "chat.completion", "model": "m", "usage": usage,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "some words here" }, "finish_reason": "stop" }] })
    };
    let counted = (serde_json::to_string(&ask("smart")).unwrap().len() as u64).div_ceil(4);
    for (usage, basis, input, output) in [
        (json!({ "prompt_tokens": 10 }), "counted", 10, 4),
        (json!({ "prompt_tokens": 10, "completion_tokens": 0 }), "counted", 10, 4),
        (json!({ "completion_tokens": 5, "total_tokens": 15 }), "reported", 10, 5),
        (json!({ "total_tokens": 15 }), "counted", counted, 4),
    ] {
        up.next(Reply::json(200, &whole(usage.clone())));
        let answer = server.admin().chat(&ask("smart")).await;
        let entry = server.entry(answer.request_id()).await;
        let found =
            (entry.basis.as_deref(), entry.used("input"), entry.used("output"), entry.used("reasoning"));
        assert_eq!(found, (Some(basis), input, output, 0), "{usage}: {entry:#?}");
    }
    for usage in [json!({ "total_tokens": 1000 }), json!({ "prompt_tokens": 0, "total_tokens": 1000 })] {
        let vectors = json!({ "object": "list", "model": "m", "usage": usage,
            "data": [{ "object": "embedding", "index": 0, "embedding": [0.5] }] });
        up.next(Reply::json(200, &vectors));
        let answer = server.admin().post("/v1/embeddings", &json!({ "model": "smart", "input": "x" })).await;
        let entry = server.entry(answer.request_id()).await;
        let found = (entry.basis.as_deref(), entry.used("input"), entry.used("reasoning"), entry.pico());
        assert_eq!(found, (Some("reported"), 1000, 0, Some(1_000_000_000)), "{usage}: {entry:#?}");
    }
}
