//! The peek at a Converse request.
//!
//! The bound of its input is found without decoding the messages, as that of Chat Completions is: a quote inside a JSON
//! string is escaped, so `"image"` with bare quotes before a colon is never part of a text.

use std::borrow::Cow;

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::json::{At, Fault, Fields};
use crate::openai_chat::peek::{has_object, hides_keys, values_of};
use crate::peek::{InputBound, ModelAt, Outside, Peek, given, top_level};

pub(crate) fn peek<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, ApiError> {
    Ok(read(body, outside)?)
}

/// The names of the cap in the bodies of the models themselves, which `additionalModelRequestFields` may repeat.
const CAPS: [&str; 5] = ["max_tokens", "maxTokens", "max_completion_tokens", "max_gen_len", "maxTokenCount"];

fn read<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, Fault> {
    let [messages, system, inference, tools, additional, variables] = top_level(
        body,
        [
            "messages",
            "system",
            "inferenceConfig",
            "toolConfig",
            "additionalModelRequestFields",
            "promptVariables",
        ],
    )?;
    let mut bound = InputBound { bytes: body.len() as u64, ..InputBound::default() };
    match array(messages, "messages")? {
        Some(messages) => media(messages.get(), &mut bound),
        // A stored prompt, whose text is with the vendor.
        None => bound.unknowable = true,
    }
    if let Some(system) = array(system, "system")? {
        media(system.get(), &mut bound);
    }
    bound.unknowable |= given(variables).is_some();
    if let Some(tools) = given(tools) {
        let tools = tools.get();
        bound.hosted_tools = has_object(tools, "\"systemTool\"") || hides_keys(tools);
        bound.unknowable |= bound.hosted_tools;
    }
    Ok(Peek {
        model: Cow::Borrowed(model(outside)?),
        model_at: ModelAt::Path,
        stream: outside.stream,
        // Every stream of this wire ends with usage.
        include_usage: true,
        stream_options_at: None,
        output_cap: cap(inference, "inferenceConfig", &["maxTokens"])?.max(cap(
            additional,
            "additionalModelRequestFields",
            &CAPS,
        )?),
        choices: 1,
        stateful: false,
        bound,
    })
}

/// The model in the path.
pub(crate) fn model<'a>(outside: &Outside<'a>) -> Result<&'a str, Fault> {
    let at = At::Root.field("modelId");
    match outside.model {
        None => Err(Fault::missing(&at)),
        Some("") => Err(Fault::invalid(&at, "`modelId` is empty: name a route or a model in the path")),
        Some(model) => Ok(model),
    }
}

fn array<'a>(raw: Option<&'a RawValue>, name: &'static str) -> Result<Option<&'a RawValue>, Fault> {
    match given(raw) {
        Some(raw) if !raw.get().starts_with('[') => {
            Err(Fault::mistyped(&At::Root.field(name), "an array", raw))
        }
        raw => Ok(raw),
    }
}

/// The largest cap on generated tokens among the members of an object.
fn cap(raw: Option<&RawValue>, name: &'static str, caps: &[&str]) -> Result<Option<u64>, Fault> {
    let Some(raw) = given(raw) else { return Ok(None) };
    let at = At::Root.field(name);
    let mut fields = Fields::of(raw, &at)?;
    let mut most = None;
    for cap in caps {
        most = most.max(fields.count(cap, 1, u64::MAX)?);
    }
    Ok(most)
}

/// A picture or a sound with its bytes is counted. What lies in S3, and documents and films, whose tokens have no
/// bound in their bytes, are bounded by the context window alone.
fn media(text: &str, bound: &mut InputBound) {
    for key in ["\"image\"", "\"audio\""] {
        bound.media += values_of(text, key).filter(|value| value.starts_with('{')).count() as u64;
    }
    bound.unknowable |= hides_keys(text)
        || ["\"s3Location\"", "\"document\"", "\"video\""].iter().any(|key| has_object(text, key));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Outside<'static> =
        Outside { model: Some("us.x-v1:0"), stream: true, version: None, headers: None };

    #[track_caller]
    fn bound(body: &str, media: u64, unknowable: bool) {
        let found = peek(body.as_bytes(), &OUTSIDE).unwrap().bound;
        let bytes = body.len() as u64;
        assert_eq!(found, InputBound { bytes, media, unknowable, hosted_tools: false }, "{body}");
    }

    #[test]
    fn media_are_counted_or_have_no_bound() {
        bound(r#"{"messages":[]}"#, 0, false);
        bound(r#"{"messages":[{"content":[{"image":{"format":"png","source":{"bytes":"AA"}}}]}]}"#, 1, false);
        bound(r#"{"messages":[{"content":[{"audio" : {"format":"wav"}},{"image":{}}]}]}"#, 2, false);
        bound(r#"{"messages":[],"system":[{"guardContent":{"image":{"format":"png"}}}]}"#, 1, false);
        bound(
            r#"{"messages":[{"content":[{"image":{"source":{"s3Location":{"uri":"s3://b"}}}}]}]}"#,
            1,
            true,
        );
        bound(r#"{"messages":[{"content":[{"document":{}}]}]}"#, 0, true);
        bound(r#"{"messages":[{"content":[{"video":{}}]}]}"#, 0, true);
        bound(r#"{"messages":[{"content":[{"im\u0061ge":{}}]}]}"#, 0, true);
        bound(r#"{"messages":[{"content":[{"text":"\"image\":{ \"document\":{"}]}]}"#, 0, false);
        bound(r#"{"promptVariables":{"a":{"text":"b"}}}"#, 0, true);
        bound("{}", 0, true);
        bound(r#"{"messages":[],"promptVariables":{"a":{"text":"b"}}}"#, 0, true);
    }

    #[test]
    fn the_path_says_what_the_body_does_not() {
        let body = br#"{"messages":[],"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"max_tokens":9,"top_k":1},
            "toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}}]},"model":"no","stream":false}"#;
        let found = peek(body, &OUTSIDE).unwrap();
        assert_eq!((found.model.as_ref(), &found.model_at), ("us.x-v1:0", &ModelAt::Path));
        assert!(found.stream && found.include_usage && !found.stateful);
        assert!(found.bound.unknowable && found.bound.hosted_tools);
        assert_eq!((found.output_cap, found.choices), (Some(9), 1));
        let whole = peek(b"{}", &Outside { stream: false, ..OUTSIDE }).unwrap();
        assert!(!whole.stream && whole.output_cap.is_none());
        for model in [None, Some("")] {
            assert!(peek(b"{}", &Outside { model, ..OUTSIDE }).is_err());
        }
    }
}
