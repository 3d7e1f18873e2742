//! What is Bedrock's in a request: the body says the version and nothing else of its own.

use bytes::Bytes;
use steelyard_core::ApiError;

use crate::anthropic::{self, Carrier};
use crate::chat::ChatRequest;
use crate::dialect::Target;
use crate::json::{At, Fault, string};
use crate::loss::Loss;
use crate::peek::{Outside, Peek, given, top_level};

const VERSION: &str = "anthropic_version";

pub(crate) fn peek<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, ApiError> {
    version(body)?;
    anthropic::peek::peek(body, outside)
}

pub(crate) fn decode(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    let version = version(body)?;
    anthropic::request::decode::decode(body, &Outside { version: Some(&version), ..*outside })
}

/// The version of a body that is Anthropic's, and is written as Bedrock takes it.
fn version(body: &[u8]) -> Result<String, Fault> {
    let [version, model, stream] = top_level(body, [VERSION, "model", "stream"])?;
    let at = At::Root.field(VERSION);
    let Some(version) = given(version) else {
        let text = "`anthropic_version` is missing: invoke takes Anthropic's Messages bodies, with \"anthropic_version\": \
                    \"bedrock-2023-05-31\", for any model; bodies of other families (Nova, Llama, Mistral, Titan, Cohere) are \
                    not served: call converse instead, or /v1/embeddings for vectors";
        return Err(Fault { text: text.into(), ..Fault::missing(&at) });
    };
    let version = string(version).ok_or_else(|| Fault::mistyped(&at, "a string", version))?;
    for (name, raw, place) in [
        ("model", model, "the path names the model"),
        ("stream", stream, "the operation says whether it streams"),
    ] {
        if raw.is_some() {
            let text = format!("`{name}` is no field of this body: leave it out, {place}");
            return Err(Fault::invalid(&At::Root.field(name), text));
        }
    }
    Ok(version.into_owned())
}

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
    anthropic::request::encode::encode(request, target, Carrier::Bedrock)
}
