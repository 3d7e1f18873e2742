//! What an answer is said to have used: a stream tells it as the whole answer does.

use serde_json::{Map, Value};
use steelyard_dialect::Dialect;

use super::answers::Answers;
use super::pairs;
use super::streams::{data, of};
use crate::wire::{context, decoded, encoded};

/// The figures of a whole answer.
fn whole(client: Dialect, answer: &Value) -> Map<String, Value> {
    let name = if client == Dialect::GeminiGenerate { "usageMetadata" } else { "usage" };
    answer[name].as_object().cloned().unwrap_or_default()
}

/// The figures of a stream, put together as the client's SDK does: the later ones over the earlier ones.
fn in_stream(client: Dialect, stream: &[u8]) -> Map<String, Value> {
    let mut told = Map::new();
    for event in data(client, stream) {
        let answer = match client.name() {
            "openai_responses" => &event["response"],
            "anthropic_messages" if event["message"].is_object() => &event["message"],
            "bedrock_converse" => &event["metadata"],
            _ => &event,
        };
        let mut figures = whole(client, answer);
        if client == Dialect::AnthropicMessages && event["message"].is_null() {
            // The SDKs take it from the beginning alone.
            figures.remove("cache_creation");
        }
        told.extend(figures);
    }
    told
}

#[test]
fn a_stream_tells_the_figures_of_the_whole_answer() {
    for (client, vendor) in pairs() {
        let all = Answers::of(vendor);
        for row in all.rows.iter().filter(|row| !row.is_whole()) {
            let body = all.body(row);
            let answer = vendor.decode_response(body.to_string().as_bytes()).unwrap();
            let bytes = client.encode_response(&answer, &context());
            let mut of_whole = whole(client, &serde_json::from_slice(&bytes).unwrap());
            let (events, _) = decoded(vendor, &[&of(vendor, &body)]);
            let mut of_stream = in_stream(client, &encoded(client, &events));
            if client == Dialect::AnthropicMessages {
                // Told when a stream begins, which may be before the vendor tells it; the rows of the matrix say so.
                for told in [&mut of_whole, &mut of_stream] {
                    told.remove("service_tier");
                    told.remove("speed");
                }
                // Where the beginning could not know it, it is left out rather than told as none.
                if !of_stream.contains_key("cache_creation") {
                    of_whole.remove("cache_creation");
                }
            }
            let pair = format!("{} → {}: {}", vendor.name(), client.name(), row.field);
            assert!(of_whole.len() > 2, "{pair}");
            assert_eq!(of_whole, of_stream, "{pair}");
        }
    }
}
