//! Embeddings, as in OpenAI's API reference ("Create embeddings").

use base64::Engine;
use serde_json::{Value, json};

use super::reply::{Reply, Step};
use super::request::Request;

/// Vectors for every input: `[i + 0.5, -1.0, 0.25]` for input number `i`, unless given.
#[derive(Debug, Clone)]
pub struct Embeddings {
    vector: Option<Vec<f32>>,
    tokens: u64,
}

/// An answer that counts 8 tokens.
pub fn embeddings() -> Embeddings {
    Embeddings { vector: None, tokens: 8 }
}

impl Embeddings {
    /// The vector of every input.
    #[must_use]
    pub fn vector(mut self, vector: &[f32]) -> Self {
        self.vector = Some(vector.to_vec());
        self
    }

    /// The tokens to report.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }

    pub(super) fn steps(&self, request: &Request) -> Vec<Step> {
        let asked = request.json();
        let inputs = match &asked["input"] {
            Value::Array(inputs) if !inputs.first().is_some_and(Value::is_number) => inputs.len(),
            _ => 1,
        };
        let data: Vec<Value> = (0..inputs)
            .map(|index| {
                let vector = self.vector.clone().unwrap_or_else(|| {
                    vec![f32::from(u16::try_from(index).unwrap_or(u16::MAX)) + 0.5, -1.0, 0.25]
                });
                let embedding = if asked["encoding_format"] == "base64" {
                    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
                } else {
                    json!(vector)
                };
                json!({ "object": "embedding", "index": index, "embedding": embedding })
            })
            .collect();
        let usage = json!({ "prompt_tokens": self.tokens, "total_tokens": self.tokens });
        let body = json!({ "object": "list", "data": data, "model": asked["model"], "usage": usage });
        Reply::json(200, &body).steps(request)
    }
}
