//! The peek at a request, and what is refused of it whatever its target: what a vendor would have to keep.
//!
//! What a call goes on from was put into it before ([`super::state`]). A vendor's own memory is no way around: it does not
//! know which of Steelyard's callers may read what it keeps, and another target of the route does not have it. As in Chat
//! Completions, the bound of the input is found by keys in raw text, without decoding the items.

use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::json::{At, Fault, elements, string};
use crate::openai_chat::peek::{hides_keys, is_inline, values_of};
use crate::peek::{InputBound, ModelAt, Peek, count, flag, given, model, top_level};

pub(crate) fn peek(body: &[u8]) -> Result<Peek<'_>, ApiError> {
    Ok(read(body)?)
}

fn read(body: &[u8]) -> Result<Peek<'_>, Fault> {
    let [name, input, stream, cap, store, tools, prompt, previous, conversation, background] = top_level(
        body,
        [
            "model",
            "input",
            "stream",
            "max_output_tokens",
            "store",
            "tools",
            "prompt",
            "previous_response_id",
            "conversation",
            "background",
        ],
    )?;
    let (model, model_at) = model(body, name)?;
    let all = "send the whole conversation in `input`";
    // Whoever serves calls has put in what they stand for.
    stateless(previous, "previous_response_id", "no vendor knows what is kept here", all)?;
    stateless(conversation, "conversation", "no vendor knows what is kept here", all)?;
    if flag(background, "background")? {
        let why = "an answer is kept when it is complete, and not before";
        stateless(background, "background", why, "leave it out and wait for the answer, or stream it")?;
    }
    let mut bound = match given(input) {
        Some(input) => media_bound(input.get()),
        None => InputBound::default(),
    };
    bound.bytes = body.len() as u64;
    // What the vendor's tools find becomes part of the prompt, and each use has a price.
    bound.hosted_tools = given(tools).map_or(Ok(false), hosted)?;
    bound.unknowable |= bound.hosted_tools || given(prompt).is_some();
    Ok(Peek {
        model,
        model_at: ModelAt::Body(model_at),
        stream: flag(stream, "stream")?,
        // Every stream of this wire tells its usage.
        include_usage: true,
        stream_options_at: None,
        output_cap: count(cap, "max_output_tokens")?,
        choices: 1,
        stateful: given(store).is_none() || flag(store, "store")?,
        bound,
    })
}

fn stateless(raw: Option<&RawValue>, name: &str, why: &str, remedy: &str) -> Result<(), Fault> {
    if given(raw).is_none() {
        return Ok(());
    }
    let at = At::Root.field(name);
    Err(Fault::invalid(&at, format!("`{name}` is not served, because {why}: {remedy}")))
}

/// Whether there are tools that the vendor runs itself.
fn hosted(tools: &RawValue) -> Result<bool, Fault> {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a RawValue,
    }
    let is_hosted = |raw: &RawValue| {
        let tool = serde_json::from_str::<Tool<'_>>(raw.get()).ok();
        tool.and_then(|tool| string(tool.kind).map(|kind| !is_callers(&kind))).unwrap_or(true)
    };
    Ok(elements(tools, &At::Root.field("tools"))?.into_iter().any(is_hosted))
}

/// Whether the caller runs tools of this kind.
fn is_callers(kind: &str) -> bool {
    matches!(kind, "function" | "custom" | "namespace" | "local_shell" | "apply_patch")
}

fn media_bound(input: &str) -> InputBound {
    let mut bound = InputBound { unknowable: hides_keys(input), ..InputBound::default() };
    for value in values_of(input, "\"image_url\"") {
        if is_inline(value) {
            bound.media += 1;
        } else if !value.starts_with("null") {
            bound.unknowable = true;
        }
    }
    bound.media += values_of(input, "\"input_audio\"").count() as u64;
    let named = |key: &'static str| values_of(input, key).any(|value| value.starts_with('"'));
    bound.unknowable |= named("\"file_data\"") || named("\"file_url\"") || named("\"file_id\"");
    bound.unknowable |= values_of(input, "\"type\"").any(|value| value.starts_with("\"item_reference\""));
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use steelyard_core::ErrorCode;

    #[track_caller]
    fn bound(rest: &str, media: u64, unknowable: bool, hosted_tools: bool) {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        let found = peek(body.as_bytes()).unwrap().bound;
        assert_eq!(found, InputBound { bytes: body.len() as u64, media, unknowable, hosted_tools }, "{rest}");
    }

    #[test]
    fn inline_media_are_counted_and_distant_ones_have_no_bound() {
        bound(r#""input":"hi""#, 0, false, false);
        bound(r#""input":"\"image_url\":\"https://x\" \"file_id\":\"f\"""#, 0, false, false);
        let part = |part: &str| format!(r#""input":[{{"role":"user","content":[{part}]}}]"#);
        bound(&part(r#"{"type":"input_image","image_url":"data:image/png;base64,AA"}"#), 1, false, false);
        bound(&part(r#"{"type":"input_image","image_url":"https://example.com"}"#), 0, true, false);
        bound(&part(r#"{"type":"input_image","file_id":"f"}"#), 0, true, false);
        bound(&part(r#"{"type":"input_file","file_data":"AA"}"#), 0, true, false);
        bound(&part(r#"{"type":"input_file","file_url":"https://example.com"}"#), 0, true, false);
        bound(&part(r#"{"type":"input_image","image_url":null,"file_id":null}"#), 0, false, false);
        bound(r#""input":[{"type":"item_reference","id":"msg_1"}]"#, 0, true, false);
        bound(r#""prompt":{"id":"pmpt_1"}"#, 0, true, false);
    }

    #[test]
    fn tools_that_the_vendor_runs_are_told_from_the_callers() {
        bound(
            r#""input":"","tools":[{"type":"function","name":"web_search"},{"type":"custom"}]"#,
            0,
            false,
            false,
        );
        bound(r#""input":"","tools":[{"type":"namespace","name":"n","tools":[]}]"#, 0, false, false);
        bound(r#""input":"","tools":[{"type":"web_search"}]"#, 0, true, true);
        bound(r#""input":"","tools":[{"name":"a"}]"#, 0, true, true);
    }

    #[test]
    fn what_needs_an_earlier_call_is_refused_with_a_remedy() {
        for (rest, field) in [
            (r#""previous_response_id":"resp_1""#, "previous_response_id"),
            (r#""conversation":{"id":"conv_1"}"#, "conversation"),
            (r#""background":true"#, "background"),
        ] {
            let body = format!(r#"{{"model":"m","input":"hi",{rest}}}"#);
            let error = peek(body.as_bytes()).unwrap_err();
            assert_eq!((error.code, error.param.as_deref()), (ErrorCode::InvalidField, Some(field)));
        }
        let found = peek(
            br#"{"model":"m","input":"hi","previous_response_id":null,"background":false,"store":false}"#,
        );
        assert!(!found.unwrap().stateful);
        assert!(peek(br#"{"model":"m","input":"hi","max_output_tokens":5}"#).unwrap().stateful);
    }
}
