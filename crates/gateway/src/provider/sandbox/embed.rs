//! The stand-in's embeddings: unit vectors drawn from a hash of the text. Equal texts have equal vectors; nothing else
//! about them means anything.

use bytes::Bytes;
use steelyard_core::{ApiError, Usage, UsageClass};
use steelyard_dialect::openai_embeddings::{
    EmbeddingsInput, EmbeddingsResponse, decode_request, encode_response,
};

use super::{Answer, tokens};
use crate::account::Passed;

const DIMENSIONS: u64 = 256;
const MAX_DIMENSIONS: u64 = 4096;

pub(super) fn answer(body: &Bytes) -> Result<Answer, ApiError> {
    let request = decode_request(body)?;
    let length = request.dimensions.unwrap_or(DIMENSIONS).clamp(1, MAX_DIMENSIONS);
    let mut usage = Usage::ZERO;
    let mut vectors = Vec::with_capacity(request.input.len());
    for input in &request.input {
        let (bytes, count) = match input {
            EmbeddingsInput::Text(text) => (text.as_bytes().to_vec(), tokens(text)),
            EmbeddingsInput::Tokens(ids) => {
                (ids.iter().flat_map(|id| id.to_le_bytes()).collect(), ids.len() as u64)
            }
        };
        usage[UsageClass::Input] += count;
        vectors.push(vector(&bytes, length));
    }
    let response = EmbeddingsResponse { model: request.model, vectors, usage };
    let passed = Passed { usage: Some(usage), ..Passed::default() };
    Ok(Answer::Whole { body: encode_response(&response, request.encoding), passed })
}

fn vector(text: &[u8], length: u64) -> Vec<f32> {
    let mut stream = blake3::Hasher::new().update(text).finalize_xof();
    let mut raw = Vec::new();
    for _ in 0..length {
        let mut bytes = [0; 2];
        stream.fill(&mut bytes);
        raw.push(f32::from(i16::from_le_bytes(bytes)));
    }
    let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| x / norm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_equal_unit_vectors() {
        let one = vector(b"ship", 64);
        assert_eq!(one, vector(b"ship", 64));
        assert_ne!(one, vector(b"boat", 64));
        assert!((one.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-3);
    }
}
