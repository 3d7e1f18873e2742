//! The peek at a call.
//!
//! The bound of its input is found without decoding the messages, as for Chat Completions: the key `source`, under
//! which Anthropic's blocks carry media, is searched in their raw text. An inline image is counted; documents and
//! whatever lies elsewhere have no bound but the context window.

use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::json::{At, Fault, elements, string};
use crate::openai_chat::peek::{hides_keys, values_of};
use crate::peek::{InputBound, ModelAt, Outside, Peek, count, flag, given, model, top_level};

pub(crate) fn peek<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, ApiError> {
    Ok(read(body, outside)?)
}

fn read<'a>(body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, Fault> {
    let [name, messages, system, stream, cap, tools, servers, container] = top_level(
        body,
        ["model", "messages", "system", "stream", "max_tokens", "tools", "mcp_servers", "container"],
    )?;
    let (model, model_at) = if let Some(model) = outside.model {
        (model.into(), ModelAt::Path)
    } else {
        let (model, at) = model(body, name)?;
        (model, ModelAt::Body(at))
    };
    let messages = messages_text(messages)?;
    let mut bound = media_bound(messages.get());
    bound.bytes = body.len() as u64;
    bound.unknowable |= given(system).is_some_and(|raw| hides_keys(raw.get()));
    // What these find or hold becomes part of the prompt, and the vendor's own tools have a price for each use.
    let hosted = given(tools).is_some_and(has_hosted_tool);
    let remote = given(servers).is_some_and(|raw| raw.get() != "[]");
    let container = given(container).is_some();
    bound.hosted_tools = hosted || container;
    bound.unknowable |= hosted || remote || container;
    Ok(Peek {
        model,
        model_at,
        stream: flag(stream, "stream")? || outside.stream,
        // Every stream of this wire reports usage.
        include_usage: true,
        stream_options_at: None,
        output_cap: count(cap, "max_tokens")?,
        choices: 1,
        stateful: container,
        bound,
    })
}

fn messages_text(raw: Option<&RawValue>) -> Result<&RawValue, Fault> {
    let at = At::Root.field("messages");
    let raw = given(raw).ok_or_else(|| Fault::missing(&at))?;
    if raw.get().starts_with('[') { Ok(raw) } else { Err(Fault::mistyped(&at, "an array", raw)) }
}

fn media_bound(messages: &str) -> InputBound {
    let mut bound = InputBound { unknowable: hides_keys(messages), ..InputBound::default() };
    for value in values_of(messages, "\"source\"").filter(|value| value.starts_with('{')) {
        match kind_of_source(value) {
            Source::Text => {}
            Source::Image => bound.media += 1,
            Source::Elsewhere => bound.unknowable = true,
        }
    }
    bound.unknowable |= values_of(messages, "\"file_id\"").next().is_some();
    bound
}

enum Source {
    /// In the request, and no longer than it is written.
    Text,
    /// An inline image.
    Image,
    /// A file, a URL, a PDF, or something nobody knows.
    Elsewhere,
}

fn kind_of_source(text: &str) -> Source {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, rename = "type")]
        kind: &'a RawValue,
        #[serde(borrow, default)]
        media_type: Option<&'a RawValue>,
    }
    let read = serde_json::Deserializer::from_str(text).into_iter::<Wire<'_>>().next();
    let Some(Ok(wire)) = read else { return Source::Elsewhere };
    let image = wire.media_type.and_then(string).is_some_and(|media_type| media_type.starts_with("image/"));
    match string(wire.kind).as_deref() {
        // Images inside of content have sources of their own.
        Some("text" | "content") => Source::Text,
        Some("base64") if image => Source::Image,
        _ => Source::Elsewhere,
    }
}

/// Whether the vendor may run one of the tools itself. Those that the caller runs are known by their names.
fn has_hosted_tool(raw: &RawValue) -> bool {
    const CALLERS: [&str; 7] =
        ["custom", "bash_", "text_editor_", "computer_", "memory_", "browser_", "tool_search_tool_"];
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, rename = "type", default)]
        kind: Option<&'a RawValue>,
    }
    elements(raw, &At::Root).unwrap_or_default().into_iter().any(|tool| {
        let Ok(tool) = serde_json::from_str::<Wire<'_>>(tool.get()) else { return true };
        let Some(kind) = given(tool.kind) else { return false };
        string(kind).is_none_or(|kind| !CALLERS.iter().any(|name| kind.starts_with(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bound(messages: &str, media: u64, unknowable: bool) {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let found = peek(body.as_bytes(), &Outside::default()).unwrap().bound;
        let expected = InputBound { bytes: body.len() as u64, media, unknowable, hosted_tools: false };
        assert_eq!(found, expected, "{messages}");
    }

    #[test]
    fn inline_images_are_counted_and_documents_and_distant_media_have_no_bound() {
        bound("[]", 0, false);
        bound(
            r#"[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]}]"#,
            1,
            false,
        );
        bound(
            r#"[{"source":{"data":"AA","media_type":"image\/png","type":"base64"}},{"source":"https://x"}]"#,
            1,
            false,
        );
        bound(r#"[{"source":{"type":"url","url":"https://example.com/a.png"}}]"#, 0, true);
        bound(r#"[{"source":{"type":"file","file_id":"f"}}]"#, 0, true);
        bound(r#"[{"source":{"type":"base64","media_type":"application/pdf","data":"AA"}}]"#, 0, true);
        bound(r#"[{"source":{"type":"text","media_type":"text/plain","data":"AA"}}]"#, 0, false);
        bound(
            r#"[{"source":{"type":"content","content":[{"source":{"type":"base64","media_type":"image/gif","data":""}}]}}]"#,
            1,
            false,
        );
        bound(r#"[{"source":{"type":"base64","type":"url"}}]"#, 0, true);
        bound(r#"[{"type":"container_upload","file_id":"f"}]"#, 0, true);
        bound(r#"[{"content":"\"source\":{\"type\":\"url\"}"}]"#, 0, false);
        bound(r#"[{"s\u006Furce":{"type":"url","url":"https://example.com"}}]"#, 0, true);
    }

    #[test]
    fn the_rest_of_the_request_is_read() {
        let body = br#"{"stream":true,"max_tokens":5,"model":"a\u002Fb","messages":[],"container":"c",
            "tools":[{"name":"f","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}]}"#;
        let found = peek(body, &Outside::default()).unwrap();
        assert_eq!(found.model, "a/b");
        let ModelAt::Body(at) = found.model_at.clone() else { panic!("{found:?}") };
        assert_eq!(&body[at], br#""a\u002Fb""#);
        assert!(found.stream && found.stateful && found.bound.unknowable && found.bound.hosted_tools);
        assert_eq!(found.output_cap, Some(5));
        assert_eq!(found.inject_usage(), crate::splice::InjectUsage::No);

        let tools = br#"{"model":"m","messages":[],"tools":[{"type":"bash_20250124"},{"type":"custom"},{"type":null}]}"#;
        let found = peek(tools, &Outside::default()).unwrap();
        assert!(!found.bound.hosted_tools && !found.bound.unknowable && !found.stateful);

        let outside = Outside { model: Some("path"), stream: true, version: None, headers: None };
        let found = peek(br#"{"messages":[]}"#, &outside).unwrap();
        assert_eq!((found.model.as_ref(), &found.model_at, found.stream), ("path", &ModelAt::Path, true));
    }
}
