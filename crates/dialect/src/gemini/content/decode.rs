//! Parts as they stand in a turn, a request's or an answer's.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{Extra, FileSource, Json, Media, Part, ToolCall, ToolInput, ToolResult};
use crate::dialect::Dialect;
use crate::gemini::content::{BESIDE, NO_SIGNATURE, SIGNATURE};
use crate::gemini::members::Members;
use crate::json::{At, Fault, Fields, Object, elements, string};
use crate::media::checked_base64;
use crate::places::Place;

/// Whose parts they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The user, with the results of tools.
    User,
    /// The model, as a client tells it.
    Model,
    /// The standing instructions.
    System,
    /// The model, in an answer. It is read as far as it can be.
    Answer,
}

/// Gives calls their ids, and results the ids of their calls, for this wire knows them by name and order.
pub(crate) trait Ids {
    /// A fault: the id was given before.
    fn call(&mut self, given: Option<String>, name: &str, at: &At<'_>) -> Result<String, Fault>;
    /// A fault: nothing was called so. `at` is the result's place.
    fn result(&mut self, given: Option<String>, name: &str, at: &At<'_>) -> Result<String, Fault>;
}

const KINDS: [&str; 7] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
];

/// The parts of a turn, in order.
pub(crate) fn parts(
    raw: &RawValue,
    at: &At<'_>,
    speaker: Speaker,
    ids: &mut dyn Ids,
) -> Result<Vec<Part>, Fault> {
    let mut out = Vec::new();
    for (index, raw) in elements(raw, at)?.into_iter().enumerate() {
        part(raw, &at.index(index), speaker, ids, &mut out)?;
    }
    Ok(out)
}

/// The parts of a request's turn, and where each of them stood.
pub(crate) fn placed(
    raw: &RawValue,
    at: &At<'_>,
    speaker: Speaker,
    ids: &mut dyn Ids,
) -> Result<(Vec<Part>, Vec<Place>), Fault> {
    let (mut out, mut places) = (Vec::new(), Vec::new());
    for (index, raw) in elements(raw, at)?.into_iter().enumerate() {
        let at = at.index(index);
        let written = part(raw, &at, speaker, ids, &mut out)?;
        places.extend(out[places.len()..].iter().map(|part| written.place(part, &at)));
    }
    Ok((out, places))
}

/// The members of a part, as the client wrote them.
struct Written {
    thing: Cow<'static, str>,
    proof: Cow<'static, str>,
    /// More stands beside the thing than its proof.
    crowded: bool,
}

impl Written {
    /// One part of the wire can be several of ours.
    fn place(&self, part: &Part, at: &At<'_>) -> Place {
        match part {
            Part::Foreign { kind, .. } if kind == SIGNATURE => Place::new(&at.field(&self.proof), ""),
            Part::Foreign { kind, .. } if kind == BESIDE => Place::new(at, ""),
            Part::Text { .. } | Part::Reasoning { .. } => Place::new(at, ""),
            // It is carried with what stands beside it.
            Part::Foreign { .. } if self.crowded => Place::new(at, ""),
            Part::ToolResult(result) => {
                let at = at.field(&self.thing);
                let (response, list) = (at.field("response"), at.field("parts"));
                // What came out stands before what is shown of it.
                let mut shown = 0;
                let held = result.content.iter().map(|part| {
                    if matches!(part, Part::Text { .. } | Part::Json(_)) {
                        return Place::new(&response, "");
                    }
                    shown += 1;
                    Place::new(&list.index(shown - 1), "")
                });
                Place::new(&at, "").holding(held.collect())
            }
            _ => Place::new(&at.field(&self.thing), ""),
        }
    }
}

fn part(
    raw: &RawValue,
    at: &At<'_>,
    speaker: Speaker,
    ids: &mut dyn Ids,
    out: &mut Vec<Part>,
) -> Result<Written, Fault> {
    let mut members = Members::of(raw, at)?;
    let thought = members.flag("thought")?.unwrap_or(false);
    let mut written = Written { thing: "".into(), proof: members.name(SIGNATURE)?, crowded: false };
    let signature = members.text(SIGNATURE)?.filter(|word| !NO_SIGNATURE.contains(&word.as_str()));
    let mut found: Option<(&'static str, &RawValue)> = None;
    for kind in KINDS {
        let name = members.name(kind)?;
        let Some(value) = members.take(kind)? else { continue };
        if let Some((first, _)) = found {
            let text = format!("`{at}` holds both `{first}` and `{name}`: make two parts of it");
            return Err(Fault::invalid(at, text));
        }
        found = Some((kind, value));
        written.thing = name;
    }
    let mut rest = members.rest();
    written.crowded = rest.len() > usize::from(found.is_none());
    let Some((kind, value)) = found else {
        written.thing = rest.keys().next().cloned().unwrap_or_default().into();
        return unknown(raw, at, speaker, signature, &rest, out).map(|()| written);
    };
    let inner = at.field(kind);
    match kind {
        "text" => {
            let text = string(value).ok_or_else(|| Fault::mistyped(&inner, "a string", value))?.into_owned();
            if !thought {
                rest.extend(signature.map(|proof| (SIGNATURE.to_owned(), quoted(&proof))));
                // An answer's proof has no text to stand beside.
                let (extra, beside) =
                    if speaker == Speaker::Answer { (Extra::new(), rest) } else { (rest, Extra::new()) };
                if !(text.is_empty() && speaker == Speaker::Answer) {
                    out.push(Part::Text { text, citations: Vec::new(), extra });
                }
                out.extend(self::beside(&beside));
                return Ok(written);
            }
            if !text.is_empty() {
                out.push(Part::reasoning(text));
            }
        }
        "inlineData" => match blob(value, &inner)? {
            Some(part) if speaker != Speaker::Answer => out.push(part),
            // What an answer shows, most other wires' answers have no place for.
            Some(_) | None => {
                out.push(foreign(kind, raw));
                return Ok(written);
            }
        },
        "functionCall" if matches!(speaker, Speaker::Model | Speaker::Answer) => {
            let mut call = Members::of(value, &inner)?;
            let name = call.need_text("name")?;
            let id = ids.call(call.text("id")?.filter(|id| !id.is_empty()), &name, &inner)?;
            let input = match call.take("args")? {
                Some(args) if args.get().starts_with('{') => Json::from(args).get().to_owned(),
                Some(args) => return Err(Fault::mistyped(&inner.field("args"), "an object", args)),
                None => "{}".to_owned(),
            };
            nest(&mut rest, kind, &call.rest());
            out.push(Part::ToolCall(ToolCall { id, name, input: ToolInput::Arguments(input) }));
        }
        "functionResponse" if speaker == Speaker::User => {
            let mut result = Members::of(value, &inner)?;
            let name = result.need_text("name")?;
            let id = result.text("id")?.filter(|id| !id.is_empty());
            let call_id = ids.result(id, &name, &inner)?;
            let (mut content, is_error) = response(&mut result)?;
            if let Some(raw) = result.take("parts")? {
                let list = inner.field("parts");
                for (index, raw) in elements(raw, &list)?.into_iter().enumerate() {
                    content.push(shown(raw, &list.index(index))?);
                }
            }
            nest(&mut rest, kind, &result.rest());
            out.push(Part::ToolResult(ToolResult { call_id, content, is_error }));
        }
        "functionCall" | "functionResponse" if speaker != Speaker::Answer => {
            let only = if kind == "functionCall" { "the model" } else { "the user" };
            return Err(Fault::invalid(&inner, format!("`{inner}` is what only {only} sends")));
        }
        _ => {
            out.push(foreign(kind, raw));
            return Ok(written);
        }
    }
    if thought && kind != "text" {
        rest.insert("thought".to_owned(), json(|out| out.extend_from_slice(b"true")));
    }
    rest.extend(signature.map(|proof| (SIGNATURE.to_owned(), quoted(&proof))));
    out.extend(beside(&rest));
    Ok(written)
}

/// A part of a kind that nobody knows; or one that is nothing but a proof, as it comes at the end of a stream.
fn unknown(
    raw: &RawValue,
    at: &At<'_>,
    speaker: Speaker,
    signature: Option<String>,
    rest: &Extra,
    out: &mut Vec<Part>,
) -> Result<(), Fault> {
    match (rest.keys().next(), signature) {
        (Some(kind), _) => out.push(foreign(kind, raw)),
        (None, Some(proof)) => {
            out.extend(beside(&Extra::from([(SIGNATURE.to_owned(), quoted(&proof))])));
        }
        (None, None) if speaker == Speaker::Answer => {}
        (None, None) => {
            let text = format!("`{at}` is empty: write one of {}", KINDS.join(", "));
            return Err(Fault::invalid(at, text));
        }
    }
    Ok(())
}

fn foreign(kind: &str, raw: &RawValue) -> Part {
    Part::Foreign { dialect: Dialect::GeminiGenerate, kind: kind.to_owned(), block: raw.into() }
}

fn quoted(text: &str) -> Json {
    json(|out| out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes()))
}

fn json(write: impl FnOnce(&mut Vec<u8>)) -> Json {
    let mut out = Vec::new();
    write(&mut out);
    let written = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    written.expect("what is written here is JSON")
}

/// What stands beside the part that came last.
fn beside(rest: &Extra) -> Option<Part> {
    if rest.is_empty() {
        return None;
    }
    let only_proof = rest.len() == 1 && rest.contains_key(SIGNATURE);
    let kind = if only_proof { SIGNATURE } else { BESIDE };
    let block = json(|out| Object::write(out, |object| object.extra(rest)));
    Some(Part::Foreign { dialect: Dialect::GeminiGenerate, kind: kind.to_owned(), block })
}

/// Further members inside of the thing itself stand beside it under its name.
fn nest(rest: &mut Extra, kind: &str, inner: &Extra) {
    if !inner.is_empty() {
        let block = json(|out| Object::write(out, |object| object.extra(inner)));
        rest.insert(kind.to_owned(), block);
    }
}

/// The picture, with its media type, in a part that an answer shows; none if it was only a thought on the way to it.
pub(crate) fn picture(block: &Json) -> Option<(String, String)> {
    let at = At::Root;
    let mut members = Members::of(block.raw(), &at).ok()?;
    let thought = members.flag("thought").ok()?.unwrap_or(false);
    let part = blob(members.take("inlineData").ok()??, &at).ok()?;
    match part {
        Some(Part::Image { source: Media::Inline { media_type, data }, .. }) if !thought => {
            Some((media_type, data))
        }
        _ => None,
    }
}

/// The part of bytes in the request; none if the model has no name for their kind.
fn blob(raw: &RawValue, at: &At<'_>) -> Result<Option<Part>, Fault> {
    let mut members = Members::of(raw, at)?;
    let media_type = members.need_text("mimeType")?;
    let name = members.name("data")?.into_owned();
    let data = members.need_text("data")?;
    // Both alphabets are written in the wild.
    let data = if data.contains(['-', '_']) { data.replace('-', "+").replace('_', "/") } else { data };
    let data = checked_base64(data, &at.field(&name))?;
    let filename = members.text("displayName")?;
    if !members.rest().is_empty() {
        return Ok(None);
    }
    let (sort, subtype) = media_type.split_once('/').unwrap_or_default();
    Ok(match sort {
        "image" if filename.is_none() => {
            Some(Part::Image { source: Media::Inline { media_type, data }, detail: None })
        }
        "audio" if filename.is_none() => {
            let format = match subtype {
                "mpeg" | "mp3" => "mp3",
                "wav" | "x-wav" => "wav",
                other => other,
            };
            Some(Part::Audio { format: format.to_owned(), data })
        }
        "image" | "audio" | "video" | "" => None,
        _ => Some(Part::File {
            source: FileSource::Inline { media_type: Some(media_type), data },
            filename,
            context: None,
            citations: false,
        }),
    })
}

/// Media inside of a result.
fn shown(raw: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut members = Members::of(raw, at)?;
    let inline = members.take("inlineData")?;
    let alone = members.rest().is_empty();
    let part = match inline {
        Some(value) => blob(value, &at.field("inlineData"))?,
        None => None,
    };
    Ok(part.filter(|_| alone).unwrap_or_else(|| foreign("functionResponse.parts", raw)))
}

/// What came out, and whether it is an error. Google's rule: `output` is the result and `error` the error; an object with
/// other members is the result as a whole.
fn response(result: &mut Members<'_, '_>) -> Result<(Vec<Part>, bool), Fault> {
    let at = result.at.field("response");
    let Some(raw) = result.take("response")? else { return Ok((Vec::new(), false)) };
    let mut members = Fields::of(raw, &at)?;
    let sole = ["output", "error"].into_iter().find(|name| members.has(name));
    let Some(value) = sole.and_then(|name| members.take(name)) else {
        members.whole();
        // An object without members says nothing.
        let said = Json::from(raw);
        let nothing = said.get() == "{}";
        return Ok((if nothing { Vec::new() } else { vec![Part::Json(said)] }, false));
    };
    if !members.rest().is_empty() {
        return Ok((vec![Part::Json(raw.into())], false));
    }
    let content = match string(value) {
        Some(text) => Part::text(text),
        None => Part::Json(value.into()),
    };
    Ok((vec![content], sole == Some("error")))
}
