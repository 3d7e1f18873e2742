//! The peek at a chat request.
//!
//! The bound of its input is found without decoding the messages: keys that carry media are searched in their
//! raw text. A quote inside a JSON string is escaped, so `"image_url"` with bare quotes is never part of a text.
//! A key that is itself written with escapes would hide from the search; no client writes letters that way, and
//! one that does gets no bound.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{At, Fault, span};
use crate::peek::{InputBound, ModelAt, Peek, count, flag, given, model, top_level};
use steelyard_core::ApiError;

pub(crate) fn peek(body: &[u8]) -> Result<Peek<'_>, ApiError> {
    Ok(read(body)?)
}

fn read(body: &[u8]) -> Result<Peek<'_>, Fault> {
    let [name, messages, stream, options, new_cap, old_cap, n, store, search] = top_level(
        body,
        [
            "model",
            "messages",
            "stream",
            "stream_options",
            "max_completion_tokens",
            "max_tokens",
            "n",
            "store",
            "web_search_options",
        ],
    )?;
    let (model, model_at) = model(body, name)?;
    let messages = messages_text(messages)?;
    let choices = count(n, "n")?.unwrap_or(1);
    if choices == 0 {
        return Err(Fault::invalid(&At::Root.field("n"), "`n` must be at least 1"));
    }
    let mut bound = media_bound(messages.get());
    bound.bytes = body.len() as u64;
    // What the vendor finds on the web becomes part of the prompt, and each search has a price.
    bound.hosted_tools = given(search).is_some();
    bound.unknowable |= bound.hosted_tools;
    Ok(Peek {
        model,
        model_at: ModelAt::Body(model_at),
        stream: flag(stream, "stream")?,
        include_usage: include_usage(options)?,
        stream_options_at: options.map(|raw| span(body, raw.get())),
        output_cap: count(new_cap, "max_completion_tokens")?.max(count(old_cap, "max_tokens")?),
        choices,
        stateful: flag(store, "store")?,
        bound,
    })
}

fn messages_text(raw: Option<&RawValue>) -> Result<&RawValue, Fault> {
    let at = At::Root.field("messages");
    let raw = given(raw).ok_or_else(|| Fault::missing(&at))?;
    if raw.get().starts_with('[') { Ok(raw) } else { Err(Fault::mistyped(&at, "an array", raw)) }
}

fn include_usage(options: Option<&RawValue>) -> Result<bool, Fault> {
    #[derive(Deserialize)]
    struct Options<'a> {
        #[serde(borrow, default)]
        include_usage: Option<&'a RawValue>,
    }
    let at = At::Root.field("stream_options");
    let Some(raw) = given(options) else { return Ok(false) };
    if !raw.get().starts_with('{') {
        return Err(Fault::mistyped(&at, "an object", raw));
    }
    let field = at.field("include_usage");
    match serde_json::from_str::<Options<'_>>(raw.get()) {
        Err(_) => Err(Fault::invalid(&field, format!("`{field}` appears twice"))),
        Ok(options) => match options.include_usage.map(RawValue::get) {
            None | Some("false" | "null") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Fault::invalid(&field, format!("`{field}` must be a boolean"))),
        },
    }
}

fn media_bound(messages: &str) -> InputBound {
    let mut bound = InputBound { unknowable: hides_keys(messages), ..InputBound::default() };
    // Each search goes over all of the messages, so keys with the same ending share one.
    if has(messages, "_url\"") {
        for value in values_of(messages, "\"image_url\"") {
            if is_inline(value) {
                bound.media += 1;
            } else {
                bound.unknowable = true;
            }
        }
        bound.unknowable |= has_object(messages, "\"video_url\"") || has_object(messages, "\"audio_url\"");
    }
    if has(messages, "audio\"") {
        bound.media += values_of(messages, "\"input_audio\"").count() as u64;
        // Sound that the vendor keeps.
        bound.unknowable |= has_object(messages, "\"audio\"");
    }
    bound.unknowable |= has_object(messages, "\"file\"");
    bound
}

fn has(text: &str, mark: &str) -> bool {
    memmem::find(text.as_bytes(), mark.as_bytes()).is_some()
}

/// Whether `key` stands before an object: only the context window bounds what that object names.
pub(crate) fn has_object(text: &str, key: &'static str) -> bool {
    values_of(text, key).any(|value| value.starts_with('{'))
}

/// What follows each occurrence of `key` that is a key: the text from its value on.
pub(crate) fn values_of<'a>(text: &'a str, key: &'static str) -> impl Iterator<Item = &'a str> {
    memmem::find_iter(text.as_bytes(), key.as_bytes()).filter_map(move |at| {
        let after = text[at + key.len()..].trim_ascii_start();
        after.strip_prefix(':').map(str::trim_ascii_start)
    })
}

/// Whether the image at the start of `text` is in the request. One that names its URL twice is not.
pub(crate) fn is_inline(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        url: &'a RawValue,
    }
    let url = if text.starts_with('{') {
        serde_json::Deserializer::from_str(text)
            .into_iter::<Image<'_>>()
            .next()
            .and_then(Result::ok)
            .map(|image| image.url)
    } else {
        serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next().and_then(Result::ok)
    };
    url.is_some_and(|url| {
        url.get().as_bytes().get(1..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
    })
}

/// Whether a letter or an underscore is written as `\u00xx`.
pub(crate) fn hides_keys(text: &str) -> bool {
    let text = text.as_bytes();
    memmem::find_iter(text, b"\\u00").any(|at| match text.get(at + 4..at + 6) {
        Some([b'5', low]) => low.eq_ignore_ascii_case(&b'f'),
        Some([b'6', low]) => *low != b'0',
        Some([b'7', low]) => low.is_ascii_digit() || low.eq_ignore_ascii_case(&b'a'),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bound(messages: &str, media: u64, unknowable: bool) {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let found = peek(body.as_bytes()).unwrap().bound;
        assert_eq!(
            found,
            InputBound { bytes: body.len() as u64, media, unknowable, hosted_tools: false },
            "{messages}"
        );
    }

    #[test]
    fn inline_media_are_counted_and_distant_ones_have_no_bound() {
        bound("[]", 0, false);
        bound(
            r#"[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}]"#,
            1,
            false,
        );
        bound(
            r#"[{"image_url" : { "detail":"url", "url" :"DATA:image\/png;base64,AA"} },{"image_url":"data:,"}]"#,
            2,
            false,
        );
        bound(r#"[{"type":"input_audio","input_audio":{"data":"AA"}}]"#, 1, false);
        bound(r#"[{"image_url":{"url":"https://example.com/a.png"}}]"#, 0, true);
        bound(r#"[{"image_url":"https://example.com/a.png"}]"#, 0, true);
        bound(r#"[{"image_url":{"url":"data:image/png;base64,AA","url":"https://example.com"}}]"#, 0, true);
        bound(r#"[{"image_url":{"file_id":"f"}}]"#, 0, true);
        bound(r#"[{"type":"file","file":{"file_id":"f"}}]"#, 0, true);
        bound(r#"[{"audio":{"id":"a"}}]"#, 0, true);
        bound(r#"[{"type":"video_url","video_url":{"url":"x"}}]"#, 0, true);
    }

    #[test]
    fn words_in_a_text_are_no_media() {
        bound(r#"[{"content":"\"image_url\":{\"url\":\"https://example.com\"} \"file\":{"}]"#, 0, false);
        bound(r#"[{"content":"https://example.com"},{"audio":null},{"type":"image_url"}]"#, 0, false);
    }

    #[test]
    fn a_hidden_key_has_no_bound_and_usual_escapes_do() {
        bound(r#"[{"im\u0061ge_url":{"url":"https://example.com"}}]"#, 0, true);
        bound(r#"[{"image\u005Furl":{"url":"https://example.com"}}]"#, 0, true);
        bound(r#"[{"content":"\u003cb\u003e \u0026 \u0022 \u00e9 \u007f \u0000 \u79e4 \u0060"}]"#, 0, false);
    }

    #[test]
    fn the_rest_of_the_request_is_read() {
        let body = br#"{"stream":true,"n":3,"max_tokens":5,"store":true,"max_completion_tokens":4,
            "stream_options":{"include_usage":true},"model":"a\u002Fb","messages":[],"web_search_options":{}}"#;
        let found = peek(body).unwrap();
        assert_eq!(found.model, "a/b");
        let ModelAt::Body(model_at) = found.model_at.clone() else { panic!("{found:?}") };
        assert_eq!(&body[model_at], br#""a\u002Fb""#);
        assert!(found.stream && found.include_usage && found.stateful);
        assert!(found.bound.unknowable && found.bound.hosted_tools);
        assert_eq!((found.output_cap, found.choices), (Some(5), 3));
        let none =
            peek(br#"{"model":"a","messages":[],"stream":null,"max_tokens":null,"stream_options":null}"#)
                .unwrap();
        assert!(!none.stream && !none.include_usage && !none.stateful);
        assert_eq!((none.output_cap, none.choices), (None, 1));
        assert!(none.stream_options_at.is_some());
    }
}
