//! Every client's wire against every vendor's, through the real binary.
//!
//! One server stands before four vendors, one of each wire; route `to-openai` leads to the first, and so on. Start
//! reading at [`world`] and [`read`]: what is asked, and how a strict client of each wire reads the answer.

mod absent;
mod answers;
mod broken;
mod drain;
mod edges;
mod failing;
mod inbound;
mod losses;
mod nasty;
mod read;
mod reasoning;
mod requests;
mod signed;
mod tools;

use reqwest::Method;
use serde_json::{Value, json};
use steelyard_testkit::{Answer, Client, Config, Steelyard, Stream, Upstream, Wire};

use crate::app::serve;

/// A server, and a vendor of each wire behind it.
pub(crate) struct World {
    pub(crate) server: Steelyard,
    vendors: [Upstream; 4],
}

/// How an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Whole,
    Streamed,
}

/// A client's wire, a vendor's, and how the answer comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) client: Wire,
    pub(crate) vendor: Wire,
    pub(crate) mode: Mode,
}

impl Pair {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Wire::ALL.into_iter().flat_map(|client| {
            Wire::ALL.into_iter().flat_map(move |vendor| {
                [Mode::Whole, Mode::Streamed].map(|mode| Self { client, vendor, mode })
            })
        })
    }

    /// Those whose wires differ.
    pub(crate) fn translated() -> impl Iterator<Item = Self> {
        Self::all().filter(|pair| pair.client != pair.vendor)
    }

    pub(crate) fn streamed() -> impl Iterator<Item = Self> {
        Self::all().filter(|pair| pair.mode == Mode::Streamed)
    }
}

/// The route that leads to the vendor of a wire.
pub(crate) fn route(vendor: Wire) -> &'static str {
    match vendor {
        Wire::OpenAi => "to-openai",
        Wire::Anthropic => "to-anthropic",
        Wire::Gemini => "to-gemini",
        Wire::Bedrock => "to-bedrock",
    }
}

pub(crate) async fn world() -> World {
    world_with(|config| config).await
}

pub(crate) async fn world_with(change: impl FnOnce(Config) -> Config) -> World {
    world_of("", change).await
}

/// With further lines for each channel.
pub(crate) async fn world_of(lines: &str, change: impl FnOnce(Config) -> Config) -> World {
    let vendors = [
        Upstream::speaking(Wire::OpenAi).await,
        Upstream::speaking(Wire::Anthropic).await,
        Upstream::speaking(Wire::Bedrock).await,
        Upstream::speaking(Wire::Gemini).await,
    ];
    let mut config = Config::new();
    for vendor in &vendors {
        let name = route(vendor.wire()).trim_start_matches("to-");
        let more = "cache_read = \"0.10\"\ncache_write_5m = \"1.25\"\ncache_write_1h = \"2.00\"";
        config = config
            .channel(name, vendor, &format!("models = [\"m\"]\n{lines}"))
            .price(name, "m", "1.00", "2.00", more)
            .route(route(vendor.wire()), &[&format!("{name}/m")], "retries = 0");
    }
    World { server: serve(&change(config)).await, vendors }
}

impl World {
    pub(crate) fn vendor(&self, wire: Wire) -> &Upstream {
        self.vendors.iter().find(|vendor| vendor.wire() == wire).unwrap()
    }

    /// Asks in the client's wire, with a body as that wire has it for a whole answer, without model.
    pub(crate) async fn ask(&self, pair: Pair, body: &Value) -> Answer {
        self.ask_with(pair, body, &[]).await
    }

    pub(crate) async fn ask_with(&self, pair: Pair, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.open(pair, body, headers).await.finish().await
    }

    pub(crate) async fn open(&self, pair: Pair, body: &Value, headers: &[(&str, &str)]) -> Stream {
        let client = self.server.admin();
        let mut request = request(&client, pair.client, route(pair.vendor), pair.mode, body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.open(request).await
    }
}

/// A request in a client's wire.
pub(crate) fn request(
    client: &Client,
    wire: Wire,
    model: &str,
    mode: Mode,
    body: &Value,
) -> reqwest::RequestBuilder {
    let mut body = body.clone();
    let path = match (wire, mode) {
        (Wire::OpenAi, _) => "/v1/chat/completions".to_owned(),
        (Wire::Anthropic, _) => "/v1/messages".to_owned(),
        (Wire::Bedrock, Mode::Whole) => format!("/model/{model}/converse"),
        (Wire::Gemini, Mode::Whole) => format!("/v1beta/models/{model}:generateContent"),
        (Wire::Gemini, Mode::Streamed) => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
        (Wire::Bedrock, Mode::Streamed) => format!("/model/{model}/converse-stream"),
    };
    if matches!(wire, Wire::OpenAi | Wire::Anthropic) {
        body["model"] = json!(model);
        if mode == Mode::Streamed {
            body["stream"] = json!(true);
        }
    }
    if mode == Mode::Streamed && wire == Wire::OpenAi {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let request = client.request(Method::POST, &path).json(&body);
    if wire == Wire::Anthropic { request.header("anthropic-version", "2023-06-01") } else { request }
}

/// The shortest request of a wire.
pub(crate) fn hi(wire: Wire) -> Value {
    match wire {
        Wire::OpenAi => json!({ "messages": [{ "role": "user", "content": "hi" }] }),
        Wire::Anthropic => json!({ "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] }),
        Wire::Gemini => json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] }),
        Wire::Bedrock => json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] }),
    }
}

/// The same with two tools on offer, `f` and `g`.
pub(crate) fn hi_with_tools(wire: Wire) -> Value {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let mut body = hi(wire);
    match wire {
        Wire::OpenAi => {
            let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "description": "d", "parameters": schema } });
            body["tools"] = json!([tool("f"), tool("g")]);
        }
        Wire::Anthropic => {
            let tool = |name: &str| json!({ "name": name, "description": "d", "input_schema": schema });
            body["tools"] = json!([tool("f"), tool("g")]);
        }
        Wire::Gemini => {
            let tool =
                |name: &str| json!({ "name": name, "description": "d", "parametersJsonSchema": schema });
            body["tools"] = json!([{ "functionDeclarations": [tool("f"), tool("g")] }]);
        }
        Wire::Bedrock => {
            let tool = |name: &str| json!({ "toolSpec": { "name": name, "description": "d", "inputSchema": { "json": schema } } });
            body["toolConfig"] = json!({ "tools": [tool("f"), tool("g")] });
        }
    }
    body
}

/// The member of a request that holds the conversation.
pub(crate) const fn conversation(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAi | Wire::Anthropic | Wire::Bedrock => "messages",
        Wire::Gemini => "contents",
    }
}
