//! Gemini's wire through the real binary: its clients before vendors of every wire, and clients of every wire before it,
//! whole and streamed, with the bill.

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Client, Config, End, Gate, Steelyard, Upstream, Wire, chat, status};

use crate::app::{charged, serve};

/// A server, and a vendor of each wire behind a route of its name.
struct World {
    server: Steelyard,
    vendors: Vec<Upstream>,
}

async fn world() -> World {
    let mut vendors = Vec::new();
    let mut config = Config::new();
    for wire in Wire::ALL {
        let vendor = Upstream::speaking(wire).await;
        let name = name(wire);
        config = config
            .channel(name, &vendor, r#"models = ["m"]"#)
            .price(name, "m", "1.00", "2.00", r#"cache_read = "0.10""#)
            .route(&format!("to-{name}"), &[&format!("{name}/m")], "retries = 0");
        vendors.push(vendor);
    }
    World { server: serve(&config).await, vendors }
}

const fn name(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAi => "openai",
        Wire::Anthropic => "anthropic",
        Wire::Bedrock => "bedrock",
        Wire::Gemini => "gemini",
    }
}

impl World {
    fn vendor(&self, wire: Wire) -> &Upstream {
        self.vendors.iter().find(|vendor| vendor.wire() == wire).unwrap()
    }

    /// Asks in Gemini's wire.
    async fn ask(&self, vendor: Wire, operation: &str, body: &Value) -> Answer {
        let path = format!("/v1beta/models/to-{}:{operation}", name(vendor));
        self.server.admin().post(&path, body).await
    }
}

const WHOLE: &str = "generateContent";
const STREAM: &str = "streamGenerateContent?alt=sse";
const ARRAY: &str = "streamGenerateContent";

fn hi() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
}

/// The answers of a stream, each as it came.
fn answers(operation: &str, answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    match operation {
        WHOLE => vec![serde_json::from_str(&text).unwrap()],
        ARRAY => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        _ => {
            let events = text
                .split("\n\n")
                .flat_map(|event| event.split("\r\n\r\n"))
                .filter(|event| !event.is_empty());
            events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
        }
    }
}

/// What is said, and the last answer.
fn heard(operation: &str, answer: &Answer) -> (String, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let all = answers(operation, answer);
    let parts = all
        .iter()
        .flat_map(|one| one["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default());
    let said = parts.filter_map(|part| part["text"].as_str().map(str::to_owned)).collect();
    (said, all.last().unwrap().clone())
}

#[tokio::test]
async fn a_gemini_client_is_answered_by_every_vendor_and_billed() {
    let world = world().await;
    for vendor in Wire::ALL {
        for operation in [WHOLE, STREAM, ARRAY] {
            world.vendor(vendor).next(chat().texts(["On the ", "Baltic."]).usage(11, 7));
            let answer = world.ask(vendor, operation, &hi()).await;
            let (said, last) = heard(operation, &answer);
            let case = format!("{vendor:?} {operation}");
            assert_eq!(said, "On the Baltic.", "{case}");
            assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{case}");
            let used = &last["usageMetadata"];
            assert_eq!(
                (&used["promptTokenCount"], &used["candidatesTokenCount"]),
                (&json!(11), &json!(7)),
                "{case}"
            );
            let kind = if operation == STREAM { "text/event-stream" } else { "application/json" };
            assert!(answer.header("content-type").unwrap().starts_with(kind), "{case}");
            let entry = world.server.entry(answer.request_id()).await;
            charged(&entry, 11, 7);
            let dialect = if operation == ARRAY { "gemini_generate_array" } else { "gemini_generate" };
            assert_eq!(entry.dialect, dialect, "{case}");
        }
    }
    // Its own vendor gets the client's words as they are, and is asked for events alone.
    let asked = world.vendor(Wire::Gemini).requests();
    let paths: Vec<&str> = asked.iter().map(|request| request.path.as_str()).collect();
    let events = "/v1beta/models/m:streamGenerateContent?alt=sse";
    assert_eq!(paths, ["/v1beta/models/m:generateContent", events, events]);
    assert!(asked.iter().all(|request| request.json() == hi()));
    let header =
        |name: &str| asked[0].headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((header("x-goog-api-key"), header("authorization")), (Some("vendor-key-gemini"), None));
}

/// A question in a client's wire, and where the answer's words and figures stand.
async fn asked(client: &Client, wire: Wire, stream: bool) -> Answer {
    let messages = json!([{"role": "user", "content": "hi"}]);
    match wire {
        Wire::OpenAi => {
            let mut body = json!({"model": "to-gemini", "messages": messages, "stream": stream});
            if stream {
                body["stream_options"] = json!({"include_usage": true});
            }
            client.chat(&body).await
        }
        Wire::Anthropic => {
            let body =
                json!({"model": "to-gemini", "messages": messages, "max_tokens": 64, "stream": stream});
            client.post("/v1/messages", &body).await
        }
        Wire::Bedrock => {
            let operation = if stream { "converse-stream" } else { "converse" };
            let body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
            client.post(&format!("/model/to-gemini/{operation}"), &body).await
        }
        Wire::Gemini => unreachable!("it is asked elsewhere"),
    }
}

#[tokio::test]
async fn clients_of_every_wire_are_answered_by_gemini_and_billed() {
    let world = world().await;
    for wire in [Wire::OpenAi, Wire::Anthropic, Wire::Bedrock] {
        for stream in [false, true] {
            world.vendor(Wire::Gemini).next(chat().texts(["On the ", "Baltic."]).usage(11, 7));
            let answer = asked(&world.server.admin(), wire, stream).await;
            assert_eq!(answer.status, 200, "{wire:?}: {}", answer.text());
            let text = answer.text();
            assert!(text.contains("On the ") && text.contains("Baltic."), "{wire:?}: {text}");
            let figure = match wire {
                Wire::OpenAi => "\"prompt_tokens\":11",
                Wire::Anthropic => "\"input_tokens\":11",
                Wire::Bedrock | Wire::Gemini => "\"inputTokens\":11",
            };
            assert!(text.contains(figure), "{wire:?}: {text}");
            charged(&world.server.entry(answer.request_id()).await, 11, 7);
        }
    }
}

#[tokio::test]
async fn thoughts_and_what_came_from_a_cache_are_billed_once() {
    let world = world().await;
    for operation in [WHOLE, STREAM, ARRAY] {
        let scripted =
            chat().reasoning_text("A port.").text("Baltic.").usage(100, 30).cached(40).reasoning(20);
        world.vendor(Wire::Gemini).next(scripted);
        let answer = world.ask(Wire::Gemini, operation, &hi()).await;
        let (_, last) = heard(operation, &answer);
        // The vendor's words go through as they are: thoughts beside the answer.
        assert_eq!(last["usageMetadata"]["candidatesTokenCount"], 10, "{operation}");
        let entry = world.server.entry(answer.request_id()).await;
        let used = ["input", "cache_read", "output", "reasoning"].map(|class| entry.used(class));
        assert_eq!(used, [60, 40, 10, 20], "{operation}");
        assert_eq!(entry.pico(), Some(60 * 1_000_000 + 40 * 100_000 + 30 * 2_000_000), "{operation}");
    }
}

#[tokio::test]
async fn tools_are_called_and_answered_over_every_wire() {
    let world = world().await;
    let city = json!({"city": "Kiel"});
    for vendor in Wire::ALL {
        for operation in [WHOLE, STREAM, ARRAY] {
            world.vendor(vendor).next(chat().tool("call_a", "find", &city).tool("call_b", "find", &city));
            let tools = json!([{"functionDeclarations": [{"name": "find", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]}]);
            let mut body = hi();
            body["tools"] = tools;
            let answer = world.ask(vendor, operation, &body).await;
            let case = format!("{vendor:?} {operation}: {}", answer.text());
            let parts: Vec<Value> = answers(operation, &answer)
                .iter()
                .flat_map(|one| one["candidates"][0]["content"]["parts"].as_array().cloned().unwrap())
                .filter(|part| !part["functionCall"].is_null())
                .collect();
            assert_eq!(parts.len(), 2, "{case}");
            assert!(parts.iter().all(|part| part["functionCall"]["args"] == city), "{case}");
            // As Google's SDKs send it back: without ids, by name and order.
            let result =
                |word: &str| json!({"functionResponse": {"name": "find", "response": {"output": word}}});
            let call = json!({"functionCall": {"name": "find", "args": city}});
            let mut contents = body["contents"].as_array().unwrap().clone();
            contents.push(json!({"role": "model", "parts": [call, call]}));
            contents.push(json!({"role": "user", "parts": [result("54 N"), result("10 E")]}));
            body["contents"] = json!(contents);
            world.vendor(vendor).next(chat().text("There."));
            let answer = world.ask(vendor, operation, &body).await;
            assert_eq!(heard(operation, &answer).0, "There.", "{vendor:?} {operation}");
            let sent = world.vendor(vendor).last_request().text();
            assert!(sent.find("54 N").unwrap() < sent.find("10 E").unwrap(), "{vendor:?}: {sent}");
        }
    }
}

#[tokio::test]
async fn a_key_works_in_every_form_and_an_unknown_one_is_refused_in_googles_words() {
    let world = world().await;
    let stranger = world.server.client("");
    let path = "/gemini/v1beta/models/to-gemini:generateContent";
    let send = |path: String, header: Option<(&'static str, String)>| {
        let mut request = reqwest::Client::new().post(world.server.url(&path)).json(&hi());
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        stranger.send(request)
    };
    let key = world.server.admin_key().to_owned();
    assert_eq!(send(path.to_owned(), Some(("x-goog-api-key", key.clone()))).await.status, 200);
    assert_eq!(send(format!("{path}?key={key}"), None).await.status, 200);
    let v1 = "/v1/models/to-gemini:generateContent".to_owned();
    assert_eq!(send(v1, Some(("x-goog-api-key", key.clone()))).await.status, 200);
    for (path, header, status, name) in [
        (path.to_owned(), Some(("x-goog-api-key", "wrong".to_owned())), 401, "UNAUTHENTICATED"),
        (path.to_owned(), None, 401, "UNAUTHENTICATED"),
        (
            "/v1beta/models/nobody:generateContent".to_owned(),
            Some(("x-goog-api-key", key.clone())),
            404,
            "NOT_FOUND",
        ),
        ("/v1beta/models/to-gemini:countTokens".to_owned(), None, 404, "NOT_FOUND"),
        ("/v1beta/nowhere".to_owned(), None, 404, "NOT_FOUND"),
    ] {
        let answer = send(path.clone(), header).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status, &error["code"], &error["status"]),
            (status, &json!(status), &json!(name)),
            "{path}"
        );
        assert!(error["steelyard"]["code"].is_string() && !answer.request_id().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_vendors_refusal_reads_as_each_client_expects_it() {
    let world = world().await;
    let gemini = world.vendor(Wire::Gemini);
    let refusal = || status(400).message("Invalid value at 'contents'");
    gemini.next(refusal());
    let answer = world.ask(Wire::Gemini, WHOLE, &hi()).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["message"].as_str()),
        (400, Some("Invalid value at 'contents'"))
    );
    gemini.next(refusal());
    let answer = world.ask(Wire::Gemini, ARRAY, &hi()).await;
    assert_eq!((answer.status, &answer.json()[0]["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    gemini.next(refusal());
    let answer = asked(&world.server.admin(), Wire::OpenAi, false).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Invalid value at 'contents'"), "{}", answer.text());
    // A bad key of ours is no fault of the caller's.
    let bad_key = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}});
    gemini.next(status(400).body("application/json", bad_key.to_string()));
    let answer = world.ask(Wire::Gemini, WHOLE, &hi()).await;
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
    assert!(!answer.text().contains("API key"), "{}", answer.text());
    world.vendor(Wire::Anthropic).next(status(400).message("max_tokens: too large"));
    let answer = world.ask(Wire::Anthropic, WHOLE, &hi()).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(error["message"].as_str().unwrap().contains("max_tokens: too large"), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_never_looks_complete() {
    let world = world().await;
    for vendor in [Wire::Gemini, Wire::OpenAi] {
        for operation in [STREAM, ARRAY] {
            for fault in [chat().text("one ").cut(End::Close), chat().text("one ").fail("the engine failed")]
            {
                world.vendor(vendor).next(fault);
                let answer = world.ask(vendor, operation, &hi()).await;
                let all = answers(operation, &answer);
                let (first, last) = (&all[0], all.last().unwrap());
                let case = format!("{vendor:?} {operation}: {all:?}");
                assert_eq!(first["candidates"][0]["content"]["parts"][0]["text"], "one ", "{case}");
                assert!(last["error"]["message"].is_string() && last["candidates"].is_null(), "{case}");
                assert!(!answer.text().contains("finishReason"), "{case}");
                let entry = world.server.entry(answer.request_id()).await;
                assert_eq!(
                    (entry.outcome.as_str(), entry.basis.as_deref()),
                    ("upstream_error", Some("counted")),
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn pieces_pass_when_they_come_and_the_last_waits_for_the_books() {
    let world = world().await;
    for vendor in [Wire::Gemini, Wire::Anthropic] {
        for operation in [STREAM, ARRAY] {
            let gate = Gate::default();
            world.vendor(vendor).next(chat().text("first ").wait(&gate).text("second"));
            let path = format!("/v1beta/models/to-{}:{operation}", name(vendor));
            let admin = world.server.admin();
            let mut stream = admin.open(admin.request(Method::POST, &path).json(&hi())).await;
            stream.until_bytes("first ").await;
            gate.open();
            let answer = stream.finish().await;
            assert_eq!(heard(operation, &answer).0, "first second", "{vendor:?} {operation}");
        }
    }
}

#[tokio::test]
async fn the_models_are_listed_in_googles_shape() {
    let world = world().await;
    let all = world.server.admin().get("/v1beta/models").await.json();
    let names: Vec<&str> =
        all["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"models/to-gemini"), "{names:?}");
    let one = world.server.admin().get("/gemini/v1beta/models/to-gemini").await.json();
    assert_eq!((&one["name"], &one["displayName"]), (&json!("models/to-gemini"), &json!("to-gemini")));
    // Google's SDKs ask on a path of OpenAI's, and say who they are.
    let admin = world.server.admin();
    let theirs =
        |path: &str| admin.request(Method::GET, path).header("x-goog-api-client", "google-genai-sdk/3.4.0");
    assert_eq!(admin.send(theirs("/v1/models")).await.json(), all);
    assert_eq!(admin.send(theirs("/v1/models/to-gemini")).await.json(), one);
    assert!(admin.get("/v1/models").await.json()["data"].is_array());
    let none = world.server.admin().get("/v1beta/models/nobody").await;
    assert_eq!((none.status, &none.json()["error"]["status"]), (404, &json!("NOT_FOUND")));
}
