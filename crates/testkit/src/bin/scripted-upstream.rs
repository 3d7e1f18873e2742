//! A scripted vendor as a process of its own, for tests that are not written in Rust.
//!
//! `scripted-upstream [PORT]` prints `listening on http://127.0.0.1:PORT/v1` and serves until it is killed. What it
//! answers depends on the model's name; see [`script`]. `GET /control/requests` gives the requests so far,
//! `GET /control/state` what is under way, `POST /control/reset` forgets both.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{End, Gate, Reply, Request, Upstream, chat, status};

#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).map_or(0, |port| port.parse().expect("PORT is a number"));
    let upstream = Upstream::start_on(SocketAddr::from(([127, 0, 0, 1], port))).await;
    upstream.otherwise(Reply::by(script));
    print_address(&upstream.base_url());
    std::future::pending::<()>().await;
}

#[expect(clippy::print_stdout, reason = "whoever started it reads the address there")]
fn print_address(url: &str) {
    println!("listening on {url}");
}

/// Model names and what they do.
fn script(request: &Request) -> Reply {
    if request.path.ends_with("/embeddings") {
        return steelyard_testkit::embeddings().vector(&[0.5, -1.0, 0.25]).into();
    }
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    match model {
        // An error event after some text.
        "fault-stream-error" => chat()
            .texts(["one ", "two "])
            .error_after(3, json!({ "error": { "message": "the vendor's engine failed", "type": "server_error", "param": null, "code": null } }))
            .into(),
        // A connection that breaks after some text.
        "fault-stream-cut" => chat().texts(["one ", "two ", "three "]).cut_after(3, End::Close).into(),
        // No answer at all.
        "fault-hang" => chat().late_until(&Gate::new()).into(),
        // A long answer, twenty words a second.
        "slow" => chat().texts((0..1200).map(|word| format!("{word} "))).pace(Duration::from_millis(50)).into(),
        // Every offered tool is called; once there are results, they are told.
        "tools" => tools(&body),
        // JSON that satisfies the schema of the tests.
        "structured" => chat().texts([r#"{"name":"Hansa","#, r#""cities":["Lübeck","Bergen"],"#, r#""year":1356}"#]).into(),
        "refusal" => chat().refusal("I will not do that.").into(),
        "reasoning" => chat().reasoning_text("Let me think.").text("42").usage(12, 40).reasoning(30).into(),
        "cached" => chat().text("warm").usage(1000, 5).cached(900).into(),
        // As many choices as `n` asks for.
        "many" => {
            let more = body["n"].as_u64().unwrap_or(1);
            (1..more).fold(chat().texts(["choice ", "0"]), |chat, index| {
                chat.choice().texts(["choice ", &index.to_string()])
            }).into()
        }
        // Says how many images came and what the first one is.
        "vision" => vision(&body),
        _ => match model.strip_prefix("fault-").and_then(|code| code.parse().ok()) {
            Some(code) => status(code).header("retry-after-ms", "20").header("retry-after", "1").into(),
            None => chat().text("You said: ").texts(last_user_text(&body).split_inclusive(' ')).into(),
        },
    }
}

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().map_or(&[], Vec::as_slice)
}

fn tools(body: &Value) -> Reply {
    let results: Vec<_> = messages(body)
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| text_of(&message["content"]))
        .collect();
    if !results.is_empty() {
        return chat().text("The tools say: ").text(&results.join("; ")).into();
    }
    let offered = body["tools"].as_array().map_or(&[][..], Vec::as_slice);
    let calls = offered.iter().filter_map(|tool| tool["function"]["name"].as_str());
    calls
        .enumerate()
        .fold(chat(), |chat, (index, name)| {
            chat.tool(&format!("call_{index}"), name, &json!({ "city": "Lübeck" }))
        })
        .into()
}

fn vision(body: &Value) -> Reply {
    let parts = messages(body).iter().filter_map(|message| message["content"].as_array()).flatten();
    let urls: Vec<_> = parts.filter_map(|part| part["image_url"]["url"].as_str()).collect();
    let first: String = urls.first().map(|url| url.chars().take(22).collect()).unwrap_or_default();
    chat().text(&format!("{} images, the first is {first}", urls.len())).into()
}

fn last_user_text(body: &Value) -> String {
    let last = messages(body).iter().rev().find(|message| message["role"] == "user");
    last.map(|message| text_of(&message["content"])).unwrap_or_default()
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
