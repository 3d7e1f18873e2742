//! Changing a request without decoding it: the model's name, and the wish for usage, by byte span.
//!
//! Every other byte stays as the client wrote it and in its order.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{members, span};
use crate::peek::ModelAt;

/// What to do so that the vendor of a stream reports usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InjectUsage {
    /// Nothing: no stream, or the client asks for usage itself.
    No,
    /// There are no stream options: add them.
    AddOptions,
    /// The stream options stand at this span: an object without a true `include_usage`, or null.
    ExtendOptions(Range<usize>),
}

const OPTIONS: &str = r#"{"include_usage":true}"#;

/// One replacement; `at` may be empty.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// The body for the vendor: `model` in place of the client's word, and usage asked for.
///
/// A body whose model stands in the path is not changed. Both spans must come from a peek of this very body. The body itself is shared if nothing changes, else copied
/// once.
///
/// # Panics
///
/// If a span lies outside the body.
pub fn relay_body(body: &Bytes, model_at: &ModelAt, model: &str, usage: InjectUsage) -> Bytes {
    let ModelAt::Body(model_at) = model_at.clone() else { return body.clone() };
    let mut edits = Vec::with_capacity(2);
    let after_model = model_at.end;
    if !is_written(&body[model_at.clone()], model) {
        let text = serde_json::to_string(model).expect("a string serialises");
        edits.push(Edit { at: model_at, text });
    }
    match usage {
        InjectUsage::No => {}
        InjectUsage::AddOptions => {
            edits
                .push(Edit { at: after_model..after_model, text: format!(r#","stream_options":{OPTIONS}"#) });
        }
        InjectUsage::ExtendOptions(at) => edits.push(extend_options(body, at)),
    }
    if edits.is_empty() {
        return body.clone();
    }
    edits.sort_by_key(|edit| edit.at.start);
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let removed: usize = edits.iter().map(|edit| edit.at.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added - removed);
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(&body[done..edit.at.start]);
        out.extend_from_slice(edit.text.as_bytes());
        done = edit.at.end;
    }
    out.extend_from_slice(&body[done..]);
    Bytes::from(out)
}

/// Whether the JSON string `written` is `model` without any escape.
fn is_written(written: &[u8], model: &str) -> bool {
    written.len() == model.len() + 2
        && &written[1..=model.len()] == model.as_bytes()
        && memchr::memchr(b'\\', model.as_bytes()).is_none()
}

fn extend_options(body: &[u8], at: Range<usize>) -> Edit {
    let options = std::str::from_utf8(&body[at.clone()]).expect("a peek accepts UTF-8 only");
    let mut include_usage = None;
    let mut empty = true;
    let read = members(options, |key, value| {
        empty = false;
        if key == "include_usage" {
            include_usage = Some(span(options.as_bytes(), value.get()));
        }
    });
    match (read, include_usage) {
        (Err(_), _) => Edit { at, text: OPTIONS.into() },
        (Ok(()), Some(value)) => {
            Edit { at: at.start + value.start..at.start + value.end, text: "true".into() }
        }
        (Ok(()), None) => {
            let text = if empty { r#""include_usage":true"# } else { r#""include_usage":true,"# };
            Edit { at: at.start + 1..at.start + 1, text: text.into() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai_chat::peek::peek;

    #[track_caller]
    fn check(body: &str, model: &str, expected: &str) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let found = peek(&body).unwrap();
        let relayed = relay_body(&body, &found.model_at, model, found.inject_usage());
        assert_eq!(std::str::from_utf8(&relayed).unwrap(), expected);
    }

    #[test]
    fn the_model_is_replaced_where_it_stands() {
        check(
            r#"{"x":"model", "model" : "a" ,"messages":["a"]}"#,
            "b",
            r#"{"x":"model", "model" : "b" ,"messages":["a"]}"#,
        );
        check(r#"{"messages":[],"model":"\u0061"}"#, "a", r#"{"messages":[],"model":"a"}"#);
        check(r#"{"messages":[],"model":"a\\b"}"#, "a\\b", r#"{"messages":[],"model":"a\\b"}"#);
        check(r#"{"messages":[],"model":"a\\\\b"}"#, "a\\b", r#"{"messages":[],"model":"a\\b"}"#);
        check(r#"{"messages":[],"model":"a"}"#, "ö\"\n", r#"{"messages":[],"model":"ö\"\n"}"#);
    }

    #[test]
    fn usage_is_asked_for_where_a_stream_did_not() {
        let usage = |options: &str, expected: &str| {
            check(
                &format!(r#"{{"stream_options":{options},"model":"a","stream":true,"messages":[]}}"#),
                "a",
                &format!(r#"{{"stream_options":{expected},"model":"a","stream":true,"messages":[]}}"#),
            );
        };
        usage("null", OPTIONS);
        usage("{}", OPTIONS);
        usage("{ }", r#"{"include_usage":true }"#);
        usage(r#"{"include_usage": false}"#, r#"{"include_usage": true}"#);
        usage(r#"{"include_usage":null,"y":1}"#, r#"{"include_usage":true,"y":1}"#);
        usage(r#"{ "y":{"include_usage":true}}"#, r#"{"include_usage":true, "y":{"include_usage":true}}"#);
        usage(r#"{"include_usage":true}"#, r#"{"include_usage":true}"#);
        check(
            r#"{"model":"a","stream":true,"messages":[]}"#,
            "b",
            r#"{"model":"b","stream_options":{"include_usage":true},"stream":true,"messages":[]}"#,
        );
    }

    #[test]
    fn a_body_that_does_not_change_is_not_copied() {
        let body = Bytes::from_static(br#"{"model":"a","messages":[],"stream":false}"#);
        let relayed = relay_body(&body, &ModelAt::Body(9..12), "a", InjectUsage::No);
        assert_eq!(relayed.as_ptr(), body.as_ptr());
    }
}
