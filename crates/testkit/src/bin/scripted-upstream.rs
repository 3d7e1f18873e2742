//! A scripted vendor as a process of its own, for tests that are not written in Rust.
//!
//! `scripted-upstream [--wire openai|anthropic|bedrock|gemini] [PORT]` prints `listening on URL`, where URL is what goes into a
//! channel's `base_url`, and serves until it is killed. What it answers depends on the model's name, the same on every
//! wire; see [`script`]. `GET /control/requests` gives the requests so far, `GET /control/state` what is under way,
//! `POST /control/reset` forgets both.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{End, Gate, Reply, Request, Upstream, Wire, chat, status};

#[tokio::main]
async fn main() {
    let (mut wire, mut port) = (Wire::OpenAi, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--wire" {
            let name = arguments.next();
            let named = match name.as_deref() {
                Some("openai") => Some(Wire::OpenAi),
                Some("anthropic") => Some(Wire::Anthropic),
                Some("bedrock") => Some(Wire::Bedrock),
                Some("gemini") => Some(Wire::Gemini),
                _ => None,
            };
            wire = named.expect("--wire is openai, anthropic, bedrock or gemini");
        } else {
            port = argument.parse().expect("PORT is a number");
        }
    }
    let upstream = Upstream::speaking_on(wire, SocketAddr::from(([127, 0, 0, 1], port))).await;
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
    if request.bare_path().ends_with("/embeddings") {
        return steelyard_testkit::embeddings().vector(&[0.5, -1.0, 0.25]).into();
    }
    if request.method == "GET" {
        return Reply::usual(request);
    }
    let body = request.json();
    let model = request.model().unwrap_or_default();
    // Some of Bedrock's words are for Claude alone, which is known by its name.
    let model = model.strip_prefix("anthropic.claude-").unwrap_or(&model);
    match model {
        // An error after some text.
        "fault-stream-error" => chat().texts(["one ", "two "]).fail("the vendor's engine failed").into(),
        // A connection that breaks after some text.
        "fault-stream-cut" => chat().texts(["one ", "two "]).cut(End::Close).into(),
        // No answer at all.
        "fault-hang" => chat().late_until(&Gate::new()).into(),
        // A long answer, twenty words a second.
        "slow" => {
            chat().texts((0..1200).map(|word| format!("{word} "))).pace(Duration::from_millis(50)).into()
        }
        // Every offered tool is called; once there are results, they are told.
        "tools" => tools(request),
        // JSON that satisfies the schema of the tests.
        "structured" => structured(request),
        // Answers that end otherwise than by themselves.
        "length" => chat().text("You said").finish("length").into(),
        "filtered" => chat().text("You").finish("content_filter").into(),
        "stopped" => chat().text("You said").stop_sequence("END").into(),
        "refusal" => chat().refusal("I will not do that.").into(),
        // What Azure answers to a prompt that its filter stops.
        "prompt-filtered" => Reply::json(
            400,
            &json!({ "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                "type": null,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
            } }),
        ),
        // Thinks aloud, and signs where the wire has signatures.
        "reasoning" => {
            let thoughts = chat().reasoning_text("Let me think.").signature("c2lnbmVk");
            thoughts.text("42").usage(12, 40).reasoning(30).into()
        }
        "cached" => chat().text("warm").usage(1000, 5).cached(900).into(),
        // As many choices as `n` asks for.
        "many" => {
            let more = body["n"].as_u64().unwrap_or(1);
            (1..more)
                .fold(chat().texts(["choice ", "0"]), |chat, index| {
                    chat.choice().texts(["choice ", &index.to_string()])
                })
                .into()
        }
        // Says how many images came and what the first one is.
        "vision" => vision(request),
        _ => match model.strip_prefix("fault-").and_then(|code| code.parse().ok()) {
            Some(code) => status(code).header("retry-after-ms", "20").header("retry-after", "1").into(),
            None => chat().text("You said: ").texts(last_user_text(&body).split_inclusive(' ')).into(),
        },
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The parts of every message; on wires with content blocks, the blocks.
fn parts(body: &Value) -> impl Iterator<Item = &Value> {
    let messages = list(&body["messages"]).iter().flat_map(|message| list(&message["content"]));
    let items = list(&body["input"]).iter().flat_map(|item| list(&item["content"]));
    messages.chain(items).chain(list(&body["contents"]).iter().flat_map(|content| list(&content["parts"])))
}

/// What the tools have answered, in order.
fn results(request: &Request) -> Vec<String> {
    let body = request.json();
    match request.wire {
        Wire::OpenAi => {
            let messages = list(&body["messages"]).iter().filter(|message| message["role"] == "tool");
            let told = messages.map(|message| text_of(&message["content"]));
            let items = list(&body["input"]).iter().filter(|item| item["type"] == "function_call_output");
            told.chain(items.map(|item| text_of(&item["output"]))).collect()
        }
        Wire::Anthropic => {
            let blocks = parts(&body).filter(|block| block["type"] == "tool_result");
            blocks.map(|block| text_of(&block["content"])).collect()
        }
        Wire::Gemini => {
            let results = parts(&body).filter_map(|part| part["functionResponse"].get("response"));
            results
                .map(|response| {
                    response["output"].as_str().map_or_else(|| response.to_string(), str::to_owned)
                })
                .collect()
        }
        Wire::Bedrock => {
            let blocks = parts(&body).filter_map(|block| block.get("toolResult"));
            blocks.map(|result| text_of(&result["content"])).collect()
        }
    }
}

/// The names of the tools on offer.
fn offered(request: &Request) -> Vec<String> {
    let body = request.json();
    let (tools, name) = match request.wire {
        Wire::OpenAi if body["input"].is_null() => (&body["tools"], "/function/name"),
        Wire::OpenAi | Wire::Anthropic => (&body["tools"], "/name"),
        Wire::Bedrock => (&body["toolConfig"]["tools"], "/toolSpec/name"),
        Wire::Gemini => (&body["tools"][0]["functionDeclarations"], "/name"),
    };
    list(tools).iter().filter_map(|tool| tool.pointer(name)?.as_str().map(str::to_owned)).collect()
}

fn tools(request: &Request) -> Reply {
    let results = results(request);
    if !results.is_empty() {
        return chat().text("The tools say: ").text(&results.join("; ")).into();
    }
    let names = offered(request);
    let calls = names.iter().enumerate();
    let city = json!({ "city": "Lübeck" });
    calls.fold(chat(), |chat, (index, name)| chat.tool(&format!("call_{index}"), name, &city)).into()
}

/// The answer as text, or as the input of the one tool that must be called.
fn structured(request: &Request) -> Reply {
    let body = request.json();
    let forced = match request.wire {
        Wire::OpenAi => {
            body.pointer("/tool_choice/function/name").or_else(|| body.pointer("/tool_choice/name"))
        }
        Wire::Anthropic => body.pointer("/tool_choice/name"),
        Wire::Bedrock => body.pointer("/toolConfig/toolChoice/tool/name"),
        Wire::Gemini => body.pointer("/toolConfig/functionCallingConfig/allowedFunctionNames/0"),
    };
    match forced.and_then(Value::as_str) {
        Some(name) => {
            let answer = json!({ "name": "Hansa", "cities": ["Lübeck", "Bergen"], "year": 1356 });
            chat().tool("call_0", name, &answer).into()
        }
        None => chat()
            .texts([r#"{"name":"Hansa","#, r#""cities":["Lübeck","Bergen"],"#, r#""year":1356}"#])
            .into(),
    }
}

fn vision(request: &Request) -> Reply {
    let body = request.json();
    let text_at = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let url = |part: &Value| match request.wire {
        Wire::OpenAi => text_at(part, "/image_url/url").or_else(|| text_at(part, "/image_url")),
        Wire::Anthropic => {
            let inline = text_at(part, "/source/data").zip(text_at(part, "/source/media_type"));
            let inline = inline.map(|(data, kind)| format!("data:{kind};base64,{data}"));
            inline.or_else(|| text_at(part, "/source/url"))
        }
        Wire::Gemini => {
            let data = part.get("inlineData")?;
            let (data, kind) = text_at(data, "/data").zip(text_at(data, "/mimeType"))?;
            Some(format!("data:{kind};base64,{data}"))
        }
        Wire::Bedrock => {
            let image = part.get("image")?;
            let (data, format) = text_at(image, "/source/bytes").zip(text_at(image, "/format"))?;
            Some(format!("data:image/{format};base64,{data}"))
        }
    };
    let urls: Vec<_> = parts(&body).filter_map(url).collect();
    let first: String = urls.first().map(|url| url.chars().take(22).collect()).unwrap_or_default();
    chat().text(&format!("{} images, the first is {first}", urls.len())).into()
}

fn last_user_text(body: &Value) -> String {
    let contents = list(&body["contents"]).iter().rev();
    if let Some(last) = contents.clone().find(|content| content["role"] == "user") {
        return text_of(&last["parts"]);
    }
    if body["input"].is_string() {
        return text_of(&body["input"]);
    }
    let said = list(&body["messages"]).iter().chain(list(&body["input"]));
    let last = said.rev().find(|message| message["role"] == "user");
    last.map(|message| text_of(&message["content"])).unwrap_or_default()
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
