//! `encrypted_content`: how the proofs and hidden thoughts of other vendors ride through clients of this wire.
//!
//! Clients send reasoning items back as they got them, and OpenAI's own proofs are in this member too. Ours begin with a
//! mark that no vendor writes; what follows tells whose they are. They are readable: nothing in them is a secret, and the
//! vendor that gets them back checks them itself.

use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;

use crate::chat::{Json, Part};
use crate::dialect::Dialect;
use crate::json::{At, Fields, elements, span, utf8};
use crate::loss::Loss;

const MARK: &str = "steelyard.";
const SIGNATURE: &str = "signature.";
const HIDDEN: &str = "hidden.";
const GEMINI: &str = "gemini.";

/// A proof of the text beside it.
pub(crate) fn signature(signature: &str) -> String {
    [MARK, SIGNATURE, signature].concat()
}

/// Thoughts that their vendor hides.
pub(crate) fn hidden(data: &str) -> String {
    [MARK, HIDDEN, data].concat()
}

/// What stands beside a part of Gemini's. `kind` is its sort.
pub(crate) fn gemini(kind: &str, block: &Json) -> String {
    [MARK, GEMINI, kind, ".", block.get()].concat()
}

/// What it was.
#[derive(Debug, PartialEq)]
pub(crate) enum Opaque {
    Signature(String),
    Hidden(String),
    Gemini { kind: String, block: Json },
}

/// Reads what was written here. None: it is somebody else's.
pub(crate) fn read(content: &str) -> Option<Opaque> {
    let ours = content.strip_prefix(MARK)?;
    if let Some(signature) = ours.strip_prefix(SIGNATURE) {
        return Some(Opaque::Signature(signature.to_owned()));
    }
    if let Some(data) = ours.strip_prefix(HIDDEN) {
        return Some(Opaque::Hidden(data.to_owned()));
    }
    let (kind, block) = ours.strip_prefix(GEMINI)?.split_once('.')?;
    let block = Json::parse(block).ok().filter(|block| block.get().starts_with('{'))?;
    Some(Opaque::Gemini { kind: kind.to_owned(), block })
}

/// The kind under which OpenAI's own proofs are carried.
pub(crate) const OWN: &str = "reasoning";

/// The parts of a reasoning item, of an answer or of one that is sent back.
pub(crate) fn parts(texts: Vec<String>, encrypted: Option<&str>) -> Vec<Part> {
    let mut parts: Vec<Part> = texts.into_iter().map(Part::reasoning).collect();
    let Some(encrypted) = encrypted.filter(|content| !content.is_empty()) else { return parts };
    match read(encrypted) {
        Some(Opaque::Signature(proof)) => match parts.last_mut() {
            Some(Part::Reasoning { signature, .. }) => *signature = Some(proof),
            _ => parts.push(Part::Reasoning { text: String::new(), signature: Some(proof) }),
        },
        Some(Opaque::Hidden(data)) => parts.push(Part::RedactedReasoning { data }),
        Some(Opaque::Gemini { kind, block }) => {
            parts.push(Part::Foreign { dialect: Dialect::GeminiGenerate, kind, block });
        }
        None => parts.push(own(encrypted)),
    }
    parts
}

/// OpenAI's own proof, as an item that goes back to it.
pub(crate) fn own(encrypted: &str) -> Part {
    let block = serde_json::json!({"type": OWN, "summary": [], "encrypted_content": encrypted});
    let block = Json::parse(block.to_string()).expect("a value is JSON");
    Part::Foreign { dialect: Dialect::OpenAiResponses, kind: OWN.to_owned(), block }
}

/// A request that goes on to OpenAI, without the reasoning that other vendors have proved: OpenAI refuses proofs that are not
/// its own, and knows no item by an id of ours. What is left out is named.
pub(crate) fn without_others(body: Bytes) -> (Bytes, Vec<Loss>) {
    if memmem::find(&body, b"\"steelyard.").is_none() {
        return (body, Vec::new());
    }
    let at = At::Root;
    let input =
        utf8(&body).and_then(|text| Fields::of_text(text, &at)).ok().and_then(|mut all| all.take("input"));
    let Some((input, items)) = input.and_then(|input| Some((input, elements(input, &at).ok()?))) else {
        return (body, Vec::new());
    };
    let (mut kept, mut losses) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, raw) in items.into_iter().enumerate() {
        if is_others(raw) {
            losses.push(Loss::dropped(format!("input[{index}]"), "another vendor's proof of its reasoning"));
        } else {
            kept.push(raw.get());
        }
    }
    if losses.is_empty() {
        return (body, losses);
    }
    let span = span(&body, input.get());
    let list = kept.join(",");
    let sent = [&body[..span.start], b"[", list.as_bytes(), b"]", &body[span.end..]].concat();
    (Bytes::from(sent), losses)
}

/// Whether an item is reasoning that another vendor has proved.
fn is_others(raw: &RawValue) -> bool {
    let at = At::Root;
    let Ok(mut item) = Fields::of(raw, &at) else { return false };
    let content = item.text_or_leave("encrypted_content").unwrap_or_default();
    item.text_or_leave("type").as_deref() == Some(OWN) && read(&content).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_others_wrote_is_left() {
        let block = Json::parse(r#"{"thoughtSignature":"a.b"}"#).unwrap();
        assert_eq!(read(&signature("x.y")), Some(Opaque::Signature("x.y".into())));
        assert_eq!(read(&hidden("")), Some(Opaque::Hidden(String::new())));
        let kind = "thoughtSignature".to_owned();
        assert_eq!(read(&gemini(&kind, &block)), Some(Opaque::Gemini { kind, block }));
        for other in [
            "",
            "gAAAAABo",
            "steelyard.",
            "steelyard.gemini.x",
            "steelyard.gemini.x.{",
            "steelyard.gemini.x.7",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn openai_gets_no_others_proofs() {
        let ours =
            r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"steelyard.hidden.x"}"#;
        let own = r#"{"type":"reasoning","summary":[],"encrypted_content":"gAAAAABo"}"#;
        let said = r#"{"role":"user","content":"\"steelyard.hidden."}"#;
        let check = |items: &str, left: &str, lost: &[&str]| {
            let body = Bytes::from(format!(r#"{{"model":"m","input":[ {items} ]}}"#));
            let (sent, losses) = without_others(body);
            let expected = format!(r#"{{"model":"m","input":[ {left} ]}}"#);
            let even = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(even(std::str::from_utf8(&sent).unwrap()), even(&expected), "{items}");
            assert_eq!(losses.iter().map(|loss| loss.field.as_str()).collect::<Vec<_>>(), lost, "{items}");
        };
        check(said, said, &[]);
        check(&format!("{said} , {ours}"), said, &["input[1]"]);
        check(&format!("{ours}, {said}"), said, &["input[0]"]);
        check(
            &format!("{ours},{ours} ,{said}, {ours},{own}"),
            &format!("{said},{own}"),
            &["input[0]", "input[1]", "input[3]"],
        );
        check(ours, "", &["input[0]"]);
        check(&format!("{ours},{ours}"), "", &["input[0]", "input[1]"]);
        let body = Bytes::from_static(b"{\"input\":\"hi\"}");
        assert_eq!(without_others(body.clone()).0.as_ptr(), body.as_ptr());
    }
}
