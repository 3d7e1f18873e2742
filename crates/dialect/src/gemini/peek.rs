//! The peek at a `generateContent` request.
//!
//! The bound of its input is found without decoding the contents, as that of Chat Completions is: a quote inside a JSON
//! string is escaped, so `"inlineData"` with bare quotes before a colon is never part of a text.

use std::borrow::Cow;

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::gemini::members::Members;
use crate::json::{At, Fault, elements};
use crate::openai_chat::peek::{has_object, hides_keys, values_of};
use crate::peek::{InputBound, ModelAt, Outside, Peek, given, top_level};

pub(crate) fn peek<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, ApiError> {
    Ok(read(body, outside)?)
}

fn read<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, Fault> {
    let [contents, system, system_snake, config, config_snake, tools, cached, cached_snake] = top_level(
        body,
        [
            "contents",
            "systemInstruction",
            "system_instruction",
            "generationConfig",
            "generation_config",
            "tools",
            "cachedContent",
            "cached_content",
        ],
    )?;
    let contents = given(contents).ok_or_else(|| Fault::missing(&At::Root.field("contents")))?;
    if !contents.get().starts_with('[') {
        return Err(Fault::mistyped(&At::Root.field("contents"), "an array", contents));
    }
    let mut bound = InputBound { bytes: body.len() as u64, ..InputBound::default() };
    media(contents.get(), &mut bound);
    if let Some((_, system)) = one(("systemInstruction", system), ("system_instruction", system_snake))? {
        media(system.get(), &mut bound);
    }
    // What the vendor keeps is part of the prompt.
    bound.unknowable |= one(("cachedContent", cached), ("cached_content", cached_snake))?.is_some();
    bound.hosted_tools = given(tools).map_or(Ok(false), hosted)?;
    bound.unknowable |= bound.hosted_tools;
    let (mut output_cap, mut choices) = (None, 1);
    if let Some((name, raw)) = one(("generationConfig", config), ("generation_config", config_snake))? {
        let at = At::Root.field(name);
        let mut config = Members::of(raw, &at)?;
        output_cap = config.count("maxOutputTokens", 0, u32::MAX)?;
        choices = config.count("candidateCount", 1, u32::MAX)?.unwrap_or(1);
    }
    Ok(Peek {
        model: Cow::Borrowed(model(outside)?),
        model_at: ModelAt::Path,
        stream: outside.stream,
        // Every stream of this wire tells its usage.
        include_usage: true,
        stream_options_at: None,
        output_cap,
        choices,
        stateful: false,
        bound,
    })
}

/// The model in the path.
pub(crate) fn model<'a>(outside: &Outside<'a>) -> Result<&'a str, Fault> {
    let at = At::Root.field("model");
    match outside.model {
        None => Err(Fault::missing(&at)),
        Some("") => Err(Fault::invalid(&at, "`model` is empty: name a route or a model in the path")),
        Some(model) => Ok(model),
    }
}

type Named<'a> = (&'static str, Option<&'a RawValue>);

/// A member under one of its two names.
fn one<'a>(camel: Named<'a>, snake: Named<'a>) -> Result<Option<(&'static str, &'a RawValue)>, Fault> {
    if camel.1.is_some() && snake.1.is_some() {
        let at = At::Root.field(snake.0);
        let text = format!("`{at}` appears twice, once as `{}`: write one of them", camel.0);
        return Err(Fault::invalid(&at, text));
    }
    let found = |(name, raw): Named<'a>| given(raw).map(|raw| (name, raw));
    Ok(found(camel).or_else(|| found(snake)))
}

/// Whether the vendor runs tools of its own: any that is no list of functions.
fn hosted(tools: &RawValue) -> Result<bool, Fault> {
    let at = At::Root.field("tools");
    for (index, raw) in elements(tools, &at)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut tool = Members::of(raw, &at)?;
        tool.take("functionDeclarations")?;
        if !tool.rest().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A picture or a sound with its bytes is counted. What lies elsewhere, and films and documents, whose tokens have no
/// bound in their bytes, are bounded by the context window alone.
fn media(text: &str, bound: &mut InputBound) {
    for key in ["\"inlineData\"", "\"inline_data\""] {
        bound.media += values_of(text, key).filter(|value| value.starts_with('{')).count() as u64;
    }
    let bounded = |value: &str| value.starts_with("\"image/") || value.starts_with("\"audio/");
    let typed = ["\"mimeType\"", "\"mime_type\""];
    bound.unknowable |= hides_keys(text)
        || ["\"fileData\"", "\"file_data\""].iter().any(|key| has_object(text, key))
        || (bound.media > 0 && typed.iter().any(|key| values_of(text, key).any(|value| !bounded(value))));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Outside<'static> =
        Outside { model: Some("gemini-3.8-flash"), stream: true, version: None, headers: None };

    #[track_caller]
    fn bound(body: &str, media: u64, unknowable: bool, hosted_tools: bool) {
        let found = peek(body.as_bytes(), &OUTSIDE).unwrap().bound;
        assert_eq!(found, InputBound { bytes: body.len() as u64, media, unknowable, hosted_tools }, "{body}");
    }

    #[test]
    fn media_are_counted_or_have_no_bound() {
        let part = |part: &str| format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
        bound(&part(r#"{"text":"\"inlineData\":{ \"fileData\":{"}"#), 0, false, false);
        bound(&part(r#"{"inlineData":{"mimeType":"image/png","data":"AA"}}"#), 1, false, false);
        bound(&part(r#"{"inline_data" : {"mime_type":"audio/wav","data":"AA"}}"#), 1, false, false);
        bound(&part(r#"{"inlineData":{"mimeType":"application/pdf","data":"AA"}}"#), 1, true, false);
        bound(&part(r#"{"inlineData":{"mimeType":"video/mp4","data":"AA"}}"#), 1, true, false);
        bound(&part(r#"{"fileData":{"fileUri":"https://youtu.be/x"}}"#), 0, true, false);
        bound(&part(r#"{"file_data":{"file_uri":"gs://x"}}"#), 0, true, false);
        bound(&part(r#"{"inl\u0069neData":{}}"#), 0, true, false);
        bound(r#"{"contents":[],"cachedContent":"cachedContents/x"}"#, 0, true, false);
        bound(r#"{"contents":[],"system_instruction":{"parts":[{"inlineData":{}}]}}"#, 1, false, false);
    }

    #[test]
    fn a_tool_that_is_no_function_is_the_vendors() {
        bound(
            r#"{"contents":[],"tools":[{"functionDeclarations":[]},{"function_declarations":[]}]}"#,
            0,
            false,
            false,
        );
        bound(r#"{"contents":[],"tools":[{"googleSearch":{}}]}"#, 0, true, true);
        bound(r#"{"contents":[],"tools":[{"functionDeclarations":[],"url_context":{}}]}"#, 0, true, true);
    }

    #[test]
    fn the_path_says_what_the_body_does_not() {
        let body = br#"{"contents":[],"generation_config":{"max_output_tokens":9.0,"candidateCount":2},"model":"no"}"#;
        let found = peek(body, &OUTSIDE).unwrap();
        assert_eq!((found.model.as_ref(), &found.model_at), ("gemini-3.8-flash", &ModelAt::Path));
        assert!(found.stream && found.include_usage && !found.stateful);
        assert_eq!((found.output_cap, found.choices), (Some(9), 2));
        for model in [None, Some("")] {
            assert!(peek(b"{\"contents\":[]}", &Outside { model, ..OUTSIDE }).is_err());
        }
    }

    #[test]
    fn what_decides_stands_once() {
        for (body, at) in [
            (r#"{"contents":[],"contents":[]}"#, "contents"),
            (r#"{"contents":[],"generationConfig":{},"generation_config":{}}"#, "generation_config"),
            (
                r#"{"contents":[],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#,
                "generationConfig.max_output_tokens",
            ),
            (r#"{"contents":[],"generationConfig":{"candidateCount":0}}"#, "generationConfig.candidateCount"),
            (r#"{"contents":[],"Tools":[]}"#, "Tools"),
            (r#"{"contents":{}}"#, "contents"),
            ("{}", "contents"),
        ] {
            let error = peek(body.as_bytes(), &OUTSIDE).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(at), "{body}: {error}");
        }
    }
}
