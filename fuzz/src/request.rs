//! Requests and whole answers: no body makes a peek, a splice or a decoder panic, and what was decoded can be encoded for
//! every wire and read there.

use bytes::Bytes;
use steelyard_dialect::{
    Dialect, LossKind, Outside, Target, embeddings_usage, openai_embeddings, peek_embeddings, relay_body,
};

/// OpenAI's wire.
pub fn peek(body: &[u8]) {
    request(Dialect::OpenAiChat, body, &outside(Dialect::OpenAiChat, None));
    let _ = peek_embeddings(body);
    let _ = openai_embeddings::decode_request(body);
    let _ = embeddings_usage(body);
}

/// Anthropic's wire, in both of its versions.
pub fn anthropic_request(body: &[u8]) {
    for version in [None, Some("2026-10-21")] {
        request(Dialect::AnthropicMessages, body, &outside(Dialect::AnthropicMessages, version));
    }
}

/// OpenAI's Responses.
pub fn responses_request(body: &[u8]) {
    request(Dialect::OpenAiResponses, body, &outside(Dialect::OpenAiResponses, None));
    let _ = Dialect::OpenAiResponses.echo(body);
}

/// Bedrock's Converse.
pub fn converse(body: &[u8]) {
    request(Dialect::BedrockConverse, body, &outside(Dialect::BedrockConverse, None));
}

/// Gemini's `generateContent`.
pub fn gemini_request(body: &[u8]) {
    request(Dialect::GeminiGenerate, body, &outside(Dialect::GeminiGenerate, None));
}

fn outside(dialect: Dialect, version: Option<&'static str>) -> Outside<'static> {
    let in_path = matches!(dialect, Dialect::BedrockConverse | Dialect::GeminiGenerate);
    Outside { model: in_path.then_some("m"), stream: in_path, version, headers: None }
}

/// The wires that an answer can go to.
pub(crate) const CLIENTS: [Dialect; 5] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::GeminiGenerate,
];

/// The wires that a request can go to, with models that take different things.
const TARGETS: [(Dialect, &str, bool); 10] = [
    (Dialect::OpenAiResponses, "gpt-6-sol", false),
    (Dialect::OpenAiChat, "gpt-6-sol", false),
    (Dialect::OpenAiChat, "gpt-oss-120b", true),
    (Dialect::AnthropicMessages, "claude-sonnet-4-5", false),
    (Dialect::AnthropicMessages, "claude-opus-5-5", false),
    (Dialect::BedrockConverse, "anthropic.claude-opus-4-6-v1", false),
    (Dialect::BedrockConverse, "amazon.nova-pro-v1:0", false),
    (Dialect::BedrockConverse, "openai.gpt-oss-120b-1:0", false),
    (Dialect::GeminiGenerate, "gemini-3.8-flash", false),
    (Dialect::GeminiGenerate, "gemini-2.5-pro", false),
];

fn request(dialect: Dialect, body: &[u8], outside: &Outside<'_>) {
    if let Ok(peek) = dialect.peek(body, outside) {
        let whole = Bytes::copy_from_slice(body);
        let relayed = relay_body(&whole, &peek.model_at, "other \"model\"", peek.inject_usage());
        let again = dialect.peek(&relayed, outside).expect("a spliced body is still a request");
        if outside.model.is_none() {
            assert_eq!(again.model, "other \"model\"");
        }
        assert_eq!((again.output_cap, again.choices), (peek.output_cap, peek.choices));
    }
    if let Ok(request) = dialect.decode_request(body, outside) {
        for (wire, model, compatible) in TARGETS {
            let target = Target { model, max_output: None, compatible };
            let (sent, losses) = wire.encode_request(&request, &target);
            let outside = self::outside(wire, None);
            // What is refused is not sent.
            if losses.iter().any(|loss| loss.kind == LossKind::Refused) {
                continue;
            }
            match wire.decode_request(&sent, &outside) {
                Ok(again) if wire == dialect => {
                    let (twice, _) = wire.encode_request(&again, &target);
                    assert_eq!(
                        twice,
                        wire.encode_request(&wire.decode_request(&twice, &outside).unwrap(), &target).0
                    );
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    if let Ok(answer) = dialect.decode_response(body) {
        let context = steelyard_dialect::ReplyContext {
            id: "id".into(),
            model: "m".into(),
            created: 7,
            include_usage: true,
            elapsed_ms: 7,
            echo: Dialect::OpenAiResponses.echo(body),
        };
        for client in CLIENTS {
            let written = client.encode_response(&answer, &context);
            client.decode_response(&written).expect("what is written for a client can be read");
        }
    }
    let _ = dialect.usage_of_reply(body);
    let _ = dialect.vendor_fault(&http::HeaderMap::new(), body);
}
