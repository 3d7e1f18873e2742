//! OpenAI Embeddings (`POST /v1/embeddings`), after OpenAI's API reference.
//!
//! The endpoint is relayed; only the sandbox answers itself, so only its side is decoded and encoded.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use steelyard_core::{ApiError, Usage, UsageClass};

use crate::chat::Extra;
use crate::error::WireError;
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Fields, Mapped, Object, elements, string, utf8};
use crate::openai_chat::facts::fault;
use crate::openai_chat::usage;
use crate::peek::{InputBound, ModelAt, given, model, top_level};

/// Facts of an embeddings request. Spans are byte ranges of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingsPeek<'a> {
    /// The model the client calls.
    pub model: Cow<'a, str>,
    /// The JSON string of the model, its quotes included.
    pub model_at: ModelAt,
    /// How much the request can cost at most.
    pub bound: InputBound,
}

/// A request for vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingsRequest {
    /// The model as the client called it.
    pub model: String,
    /// What to embed, one vector for each.
    pub input: Vec<EmbeddingsInput>,
    /// The length of the vectors; none: the model's own.
    pub dimensions: Option<u64>,
    /// How the vectors are written.
    pub encoding: VectorEncoding,
    /// The end user.
    pub user: Option<String>,
    /// Members without a name above.
    pub extra: Extra,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingsInput {
    /// Text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorEncoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Base64 of little-endian 32-bit floats. OpenAI's SDKs ask for it.
    Base64,
}

/// Vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingsResponse {
    /// The model as the client called it.
    pub model: String,
    /// One vector for each input.
    pub vectors: Vec<Vec<f32>>,
    /// What was used.
    pub usage: Usage,
}

/// One borrowed pass over a request for what the relay must know. Errors as for
/// [`Dialect::peek`](crate::Dialect::peek).
pub fn peek_embeddings(body: &[u8]) -> Result<EmbeddingsPeek<'_>, ApiError> {
    let [name, input] = top_level(body, ["model", "input"])?;
    let (model, model_at) = model(body, name)?;
    given(input).ok_or_else(|| Fault::missing(&At::Root.field("input")))?;
    let bound = InputBound { bytes: body.len() as u64, ..InputBound::default() };
    Ok(EmbeddingsPeek { model, model_at: ModelAt::Body(model_at), bound })
}

/// What the ledger needs of a vendor's answer. Its vectors are skipped, not read.
pub fn embeddings_usage(body: &[u8]) -> Result<ReplyFacts, WireError> {
    #[derive(Deserialize)]
    struct Sighting<'a> {
        #[serde(default)]
        data: Option<Vec<Mapped<IgnoredAny>>>,
        #[serde(borrow, default)]
        model: Option<&'a RawValue>,
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(utf8(body)?)
        .map_err(|error| Fault::invalid(&At::Root, format!("not a list of embeddings: {error}")))?;
    if let Some(fault) = sighting.error.and_then(fault) {
        return Err(WireError::Upstream(fault));
    }
    if sighting.data.is_none() {
        return Err(Fault::missing(&At::Root.field("data")).into());
    }
    Ok(ReplyFacts {
        usage: sighting.usage.and_then(|raw| usage::decode_of_prompt(raw.get())),
        model: sighting.model.and_then(string).map(Cow::into_owned),
        ..ReplyFacts::default()
    })
}

/// A client's request. Errors are the caller's and name the field at fault.
pub fn decode_request(body: &[u8]) -> Result<EmbeddingsRequest, ApiError> {
    Ok(read(utf8(body)?)?)
}

fn read(text: &str) -> Result<EmbeddingsRequest, Fault> {
    let mut fields = Fields::of_text(text, &At::Root)?;
    let model = fields.need_text("model")?;
    let input = input(fields.need("input")?)?;
    let encoding = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => VectorEncoding::Float,
        Some("base64") => VectorEncoding::Base64,
        Some(other) => {
            let text = format!("`encoding_format` is `{other}`: expected float or base64");
            return Err(Fault::invalid(&At::Root.field("encoding_format"), text));
        }
    };
    Ok(EmbeddingsRequest {
        model,
        input,
        dimensions: fields.count("dimensions", 1, 65_536)?,
        encoding,
        user: fields.text("user")?,
        extra: fields.rest(),
    })
}

/// A string, strings, token ids, or lists of token ids.
fn input(raw: &RawValue) -> Result<Vec<EmbeddingsInput>, Fault> {
    let at = At::Root.field("input");
    let expected = "a string, an array of strings, or arrays of token ids";
    if let Some(text) = string(raw) {
        return filled(vec![EmbeddingsInput::Text(text.into_owned())], &at);
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&at, expected, raw));
    }
    if let Ok(tokens) = serde_json::from_str::<Vec<u32>>(raw.get()) {
        let inputs = if tokens.is_empty() { Vec::new() } else { vec![EmbeddingsInput::Tokens(tokens)] };
        return filled(inputs, &at);
    }
    let mut inputs = Vec::new();
    for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
        let at = at.index(index);
        inputs.push(match string(raw) {
            Some(text) => EmbeddingsInput::Text(text.into_owned()),
            None => EmbeddingsInput::Tokens(
                serde_json::from_str(raw.get())
                    .map_err(|_| Fault::mistyped(&at, "a string or an array of token ids", raw))?,
            ),
        });
    }
    filled(inputs, &at)
}

fn filled(inputs: Vec<EmbeddingsInput>, at: &At<'_>) -> Result<Vec<EmbeddingsInput>, Fault> {
    let empty = |input: &EmbeddingsInput| match input {
        EmbeddingsInput::Text(text) => text.is_empty(),
        EmbeddingsInput::Tokens(tokens) => tokens.is_empty(),
    };
    if inputs.is_empty() || inputs.iter().any(empty) {
        return Err(Fault::invalid(at, "`input` holds nothing to embed: send text or token ids"));
    }
    if inputs.len() > 2048 {
        return Err(Fault::invalid(
            at,
            format!("`input` holds {} texts: at most 2048 are allowed", inputs.len()),
        ));
    }
    Ok(inputs)
}

/// The answer for a client.
pub fn encode_response(response: &EmbeddingsResponse, encoding: VectorEncoding) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let tokens = response.usage[UsageClass::Input];
    Object::write(&mut out, |body| {
        body.field("object", "list");
        body.objects("data", response.vectors.iter().enumerate(), |object, (index, vector)| {
            object.field("object", "embedding");
            object.field("index", &index);
            match encoding {
                VectorEncoding::Float => object.field("embedding", vector),
                VectorEncoding::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                    object.field("embedding", &BASE64_STANDARD.encode(bytes));
                }
            }
        });
        body.field("model", &response.model);
        body.object("usage", |object| {
            object.field("prompt_tokens", &tokens);
            object.field("total_tokens", &tokens);
        });
    });
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EmbeddingsInput::{Text, Tokens};

    #[test]
    fn every_form_of_input_is_read() {
        let read = |input: &str| {
            decode_request(format!(r#"{{"model":"m","input":{input}}}"#).as_bytes())
                .map(|request| request.input)
        };
        assert_eq!(read(r#""a""#).unwrap(), [Text("a".into())]);
        assert_eq!(read(r#"["a","b"]"#).unwrap(), [Text("a".into()), Text("b".into())]);
        assert_eq!(read("[1,2]").unwrap(), [Tokens(vec![1, 2])]);
        assert_eq!(read("[[1],[2,3]]").unwrap(), [Tokens(vec![1]), Tokens(vec![2, 3])]);
        for (wrong, param) in [
            (r#""""#, "input"),
            ("[]", "input"),
            ("[[]]", "input"),
            ("7", "input"),
            (r#"["a",{}]"#, "input[1]"),
            ("[-1]", "input[0]"),
            ("null", "input"),
        ] {
            assert_eq!(read(wrong).unwrap_err().param.as_deref(), Some(param), "{wrong}");
        }
    }

    #[test]
    fn the_request_is_peeked_and_decoded() {
        let body = br#"{"input":"a","model":"m","encoding_format":"base64","dimensions":8,"user":"u","x":1}"#;
        let found = peek_embeddings(body).unwrap();
        let ModelAt::Body(model_at) = found.model_at else { panic!("{found:?}") };
        assert_eq!((found.model.as_ref(), &body[model_at]), ("m", br#""m""#.as_slice()));
        assert_eq!(found.bound, InputBound { bytes: body.len() as u64, ..InputBound::default() });
        let request = decode_request(body).unwrap();
        assert_eq!((request.encoding, request.dimensions), (VectorEncoding::Base64, Some(8)));
        assert_eq!(request.extra.len(), 1);
        assert!(peek_embeddings(br#"{"model":"m"}"#).is_err());
        assert!(peek_embeddings(br#"{"model":"m","input":"a","model":"n"}"#).is_err());
        assert!(decode_request(br#"{"model":"m","input":"a","encoding_format":"hex"}"#).is_err());
    }

    #[test]
    fn vectors_are_written_in_both_encodings() {
        let usage = [(UsageClass::Input, 3)].into_iter().collect();
        let response = EmbeddingsResponse { model: "m".into(), vectors: vec![vec![0.5, -1.0]], usage };
        let text = |encoding| String::from_utf8(encode_response(&response, encoding).to_vec()).unwrap();
        assert_eq!(
            text(VectorEncoding::Float),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.0]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#
        );
        assert!(text(VectorEncoding::Base64).contains(r#""embedding":"AAAAPwAAgL8=""#));
        let facts = embeddings_usage(text(VectorEncoding::Float).as_bytes()).unwrap();
        assert_eq!((facts.usage, facts.model.as_deref()), (Some(usage), Some("m")));
    }

    #[test]
    fn what_is_no_list_of_embeddings_is_an_error() {
        for body in ["", "[]", "{}", r#"{"data":{}}"#, r#"{"error":{"message":"no"}}"#, r#"{"data":[]} x"#] {
            assert!(embeddings_usage(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(embeddings_usage(br#"{"data":[]}"#).unwrap().usage, None);
    }
}
