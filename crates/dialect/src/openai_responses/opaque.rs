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
use crate::openai_chat::quirks::{Quirks, Sampling};
use crate::openai_responses::state::Kept;
use crate::peek::top_level;

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

/// A request that goes on to OpenAI, as it can use it; what is left out is named. `kept` is what was put into one whose state
/// is kept here: OpenAI keeps nothing of it, so it is asked for the proof of its reasoning.
pub(crate) fn relayable(body: Bytes, kept: Option<&Kept>, model: &str) -> (Bytes, Vec<Loss>) {
    let Some(kept) = kept else { return without_others(body, 0) };
    let (body, losses) = without_others(body, kept.prior);
    let body = if proves(model) { proving(&body).unwrap_or(body) } else { body };
    (body, kept.losses(losses))
}

/// Without the reasoning that other vendors have proved: OpenAI refuses proofs that are not its own, and knows no item by an id
/// of ours. Nor does it take reasoning without any proof, which may be among the first `prior` items: those of earlier
/// answers.
fn without_others(body: Bytes, prior: usize) -> (Bytes, Vec<Loss>) {
    if prior == 0 && memmem::find(&body, b"\"steelyard.").is_none() {
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
        let field = || format!("input[{index}]");
        if is_others(raw) {
            losses.push(Loss::dropped(field(), "another vendor's proof of its reasoning"));
        } else if index < prior && is_unproven(raw) {
            losses.push(Loss::dropped(field(), "reasoning that nothing proves"));
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

/// Whether an item is a summary of reasoning and nothing else. Servers whose reasoning is in the open need no proof.
fn is_unproven(raw: &RawValue) -> bool {
    let at = At::Root;
    let Ok(mut item) = Fields::of(raw, &at) else { return false };
    let filled = |raw: &RawValue| !matches!(raw.get(), "\"\"" | "[]");
    item.text_or_leave("type").as_deref() == Some(OWN)
        && !item.take("encrypted_content").is_some_and(filled)
        && !item.take("content").is_some_and(filled)
}

/// Whether the model is one of OpenAI's that reason; the others refuse to be asked for proofs. By its name, or by its id in the
/// catalog.
fn proves(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    Quirks::of(name).effort && Quirks::of(name).sampling != Sampling::Always
}

/// The same request, asking for the proof of reasoning. None: it does.
fn proving(body: &[u8]) -> Option<Bytes> {
    const PROOF: &str = "\"reasoning.encrypted_content\"";
    let [include] = top_level(body, ["include"]).ok()?;
    let Some(include) = include else {
        let end = body.iter().rposition(|byte| *byte == b'}')?;
        return Some([&body[..end], b",\"include\":[", PROOF.as_bytes(), b"]}"].concat().into());
    };
    let asked = include.get();
    let at = span(body, asked);
    let list = match asked.strip_prefix('[') {
        None if asked == "null" => format!("[{PROOF}]"),
        // Whoever reads it says what is wrong with it.
        None => return None,
        Some(_) if asked.contains(PROOF) => return None,
        Some(rest) if rest.trim_start().starts_with(']') => format!("[{PROOF}]"),
        Some(rest) => format!("[{PROOF},{rest}"),
    };
    Some([&body[..at.start], list.as_bytes(), &body[at.end..]].concat().into())
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
            let (sent, losses) = relayable(body, None, "gpt-6-sol");
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
        assert_eq!(relayable(body.clone(), None, "gpt-6-sol").0.as_ptr(), body.as_ptr());
    }

    #[test]
    fn openai_is_asked_for_proofs_where_it_keeps_nothing() {
        let kept = Kept { prior: 0, field: "previous_response_id", text: false };
        let ask = |model: &str, include: &str| {
            let body = Bytes::from(format!(r#"{{"input":"hi"{include},"store":false}}"#));
            let sent = relayable(body, Some(&kept), model).0;
            let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
            sent["include"].clone()
        };
        let proof = "reasoning.encrypted_content";
        for model in ["gpt-6-sol", "openai/gpt-5.1", "o4-mini"] {
            assert_eq!(ask(model, ""), serde_json::json!([proof]), "{model}");
        }
        assert_eq!(ask("o3", r#","include":null"#), serde_json::json!([proof]));
        assert_eq!(ask("o3", r#","include":[ ]"#), serde_json::json!([proof]));
        assert_eq!(ask("o3", r#","include":["x"]"#), serde_json::json!([proof, "x"]));
        assert_eq!(ask("o3", r#","include":["reasoning.encrypted_content"]"#), serde_json::json!([proof]));
        assert_eq!(ask("o3", r#","include":7"#), 7);
        for model in ["gpt-4o", "gpt-5-chat-latest", "my-deployment", "gpt-oss-120b"] {
            assert_eq!(ask(model, ""), serde_json::Value::Null, "{model}");
        }
    }

    #[test]
    fn reasoning_that_nothing_proves_stays_behind() {
        let kept = Kept { prior: 3, field: "previous_response_id", text: false };
        let bare = r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"A port."}]}"#;
        let open = r#"{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"x"}]}"#;
        let body = Bytes::from(format!(r#"{{"input":[{bare},{open},{bare},{bare}]}}"#));
        let (sent, losses) = relayable(body, Some(&kept), "gpt-4o");
        assert_eq!(sent, format!(r#"{{"input":[{open},{bare}]}}"#).as_bytes());
        let fields: Vec<&str> = losses.iter().map(|loss| loss.field.as_str()).collect();
        assert_eq!(fields, ["previous_response_id"]);
    }
}
