//! What the relay must know of a request that it does not decode.
//!
//! One borrowed pass over the top level. A repeated key among those that are read is refused, and so is one that
//! differs from them in case only: a vendor whose parser takes the other one would serve what nobody admitted.

use std::borrow::Cow;
use std::ops::Range;

use http::HeaderMap;
use serde_json::value::RawValue;

use crate::json::{At, Fault, members, string, utf8};
use crate::splice::InjectUsage;

/// Facts of a chat request. Spans are byte ranges of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The model the client calls.
    pub model: Cow<'a, str>,
    /// Where the model is named.
    pub model_at: ModelAt,
    /// Whether the client asks for a stream.
    pub stream: bool,
    /// Whether the client asks for usage at the end of the stream.
    pub include_usage: bool,
    /// The value of the stream options, if there is one; it may be null.
    pub stream_options_at: Option<Range<usize>>,
    /// The cap on generated tokens; the larger one if the client wrote two.
    pub output_cap: Option<u64>,
    /// How many answers the client asks for.
    pub choices: u64,
    /// Whether the client has the vendor keep state.
    pub stateful: bool,
    /// How much the request can cost at most on its input side.
    pub bound: InputBound,
}

impl Peek<'_> {
    /// What the relay must do to a stream so that the vendor reports usage. Where this is not
    /// [`InjectUsage::No`], the tap hides from the client what it did not ask for.
    pub fn inject_usage(&self) -> InjectUsage {
        match (self.stream && !self.include_usage, &self.stream_options_at) {
            (false, _) => InjectUsage::No,
            (true, None) => InjectUsage::AddOptions,
            (true, Some(at)) => InjectUsage::ExtendOptions(at.clone()),
        }
    }
}

/// What a request says outside of its body: in its path and its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outside<'a> {
    /// The model, where the path names it.
    pub model: Option<&'a str>,
    /// Whether a stream is asked for, where the path says so.
    pub stream: bool,
    /// The version of the wire, where a header names it (`anthropic-version`).
    pub version: Option<&'a str>,
    /// The headers that belong to the wire ([`Dialect::own_headers`](crate::Dialect::own_headers)).
    pub headers: Option<&'a HeaderMap>,
}

/// Where a request names its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelAt {
    /// In the body: the span of its JSON string, quotes included.
    Body(Range<usize>),
    /// In the path, so that the body needs no change.
    Path,
}

/// An upper bound of a request's input tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputBound {
    /// Bytes of the body; no text tokenises into more tokens than it has bytes.
    pub bytes: u64,
    /// Media in the body, each of which may use more tokens than it has bytes.
    pub media: u64,
    /// Whether only the context window bounds it: media by URL, file ids, documents, web search.
    pub unknowable: bool,
    /// Whether the vendor may run tools of its own (web search), each use of which has a price.
    pub hosted_tools: bool,
}

/// The values of `names` at the top level of `body`, in their order. Null is absent only to the readers below.
pub(crate) fn top_level<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], Fault> {
    let text = utf8(body)?;
    if text.trim_ascii().is_empty() {
        return Err(Fault {
            code: steelyard_core::ErrorCode::MalformedJson,
            at: String::new(),
            text: "the body is empty: send a JSON object".into(),
        });
    }
    let mut found = [None; N];
    let mut fault = None;
    members(text, |key, value| {
        for (slot, name) in found.iter_mut().zip(names) {
            if key == name {
                if slot.replace(value).is_some() {
                    let at = At::Root.field(name);
                    fault.get_or_insert_with(|| Fault::invalid(&at, format!("`{name}` appears twice")));
                }
                return;
            }
            if key.eq_ignore_ascii_case(name) {
                let at = At::Root.field(&key);
                let text = format!("`{key}` is not a field: write `{name}`");
                fault.get_or_insert_with(|| Fault::invalid(&at, text));
            }
        }
    })?;
    fault.map_or(Ok(found), Err)
}

/// A member that is there and not null.
pub(crate) fn given(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// The model's name and the span of its JSON string.
pub(crate) fn model<'a>(
    body: &'a [u8],
    raw: Option<&'a RawValue>,
) -> Result<(Cow<'a, str>, Range<usize>), Fault> {
    let at = At::Root.field("model");
    let raw = given(raw).ok_or_else(|| Fault::missing(&at))?;
    let model = string(raw).ok_or_else(|| Fault::mistyped(&at, "a string", raw))?;
    if model.is_empty() {
        return Err(Fault::invalid(&at, "`model` is empty: name a route or a model"));
    }
    Ok((model, crate::json::span(body, raw.get())))
}

/// A boolean member; absent is false.
pub(crate) fn flag(raw: Option<&RawValue>, name: &'static str) -> Result<bool, Fault> {
    match given(raw).map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(mistyped(raw, name, "a boolean")),
    }
}

/// A member that counts something.
pub(crate) fn count(raw: Option<&RawValue>, name: &'static str) -> Result<Option<u64>, Fault> {
    match given(raw) {
        None => Ok(None),
        Some(value) => match value.get().parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(mistyped(raw, name, "a whole number from 0 up")),
        },
    }
}

fn mistyped(raw: Option<&RawValue>, name: &'static str, expected: &str) -> Fault {
    Fault::mistyped(&At::Root.field(name), expected, raw.unwrap_or(RawValue::NULL))
}
