//! What a request wants kept and goes on from.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;
use steelyard_core::{ApiError, ErrorCode};

use crate::json::{At, Fault, Fields, Json, elements, members, string, utf8};
use crate::openai_responses::state::items;
use crate::openai_responses::state::kept::Kept;
use crate::peek::{flag, given, top_level};

/// The state that a request speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whether its answer is to be kept; it is unless the request says otherwise.
    pub store: bool,
    /// The answer it goes on from.
    pub previous: Option<String>,
    /// The conversation it belongs to.
    pub conversation: Option<String>,
    /// Whether it may name items that are kept.
    refers: bool,
}

impl Turn {
    /// Of a request's body.
    ///
    /// # Errors
    /// A field of the state that is not what it must be, or two that exclude each other.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        Ok(Self::of(body)?)
    }

    fn of(body: &[u8]) -> Result<Self, Fault> {
        let [store, previous, conversation, _] =
            top_level(body, ["store", "previous_response_id", "conversation", "input"])?;
        let store = given(store).is_none() || flag(store, "store")?;
        let at = At::Root.field("previous_response_id");
        let named = |raw: &RawValue| {
            string(raw).map(std::borrow::Cow::into_owned).ok_or_else(|| Fault::mistyped(&at, "a string", raw))
        };
        let previous = given(previous).map(named).transpose()?;
        let conversation = given(conversation).map(conversation_id).transpose()?;
        if previous.is_some() && conversation.is_some() {
            let text = "`conversation` and `previous_response_id` exclude each other: send the one that has what came before";
            return Err(Fault::invalid(&At::Root.field("conversation"), text));
        }
        let refers = memmem::find(body, b"\"item_reference\"").is_some();
        Ok(Self { store, previous, conversation, refers })
    }

    /// Whether nothing of it is kept or looked up, so that the call needs no state.
    pub fn is_stateless(&self) -> bool {
        !self.store && self.previous.is_none() && self.conversation.is_none() && !self.refers
    }

    /// The ids of items that the request names instead of sending them.
    ///
    /// # Errors
    /// The body is no JSON object.
    pub fn references(&self, body: &[u8]) -> Result<Vec<String>, ApiError> {
        let mut found = Vec::new();
        each_item(utf8(body)?, |raw| found.extend(items::reference(raw)))?;
        Ok(found)
    }

    /// The request with all of its conversation and nothing for its vendor to keep: `prior` stands before its own items,
    /// and what it only names is put in from `known`.
    ///
    /// # Errors
    /// The body is no JSON object, or it names an item that is not known.
    pub fn expand(
        &self,
        body: &[u8],
        prior: &[Json],
        known: &BTreeMap<String, Json>,
    ) -> Result<(Bytes, Kept), ApiError> {
        Ok(self.expanded(body, prior, known)?)
    }

    fn expanded(
        &self,
        body: &[u8],
        prior: &[Json],
        known: &BTreeMap<String, Json>,
    ) -> Result<(Bytes, Kept), Fault> {
        let text = utf8(body)?;
        let room: usize = prior.iter().map(|item| item.get().len() + 1).sum();
        let mut out = Vec::with_capacity(body.len() + room + 64);
        let mut own = Ok(None);
        let mut member = |key: &str, value: &str| {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(serde_json::to_string(key).expect("a string serialises").as_bytes());
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        };
        members(text, |key, value| match &*key {
            "store" | "previous_response_id" | "conversation" => {}
            "input" => own = own_items(value, known).map(|items| Some((value, items))),
            key => member(key, value.get()),
        })?;
        let own = own?;
        let prior: Vec<String> = prior.iter().map(items::replayed).collect();
        let text = matches!(&own, Some((raw, _)) if raw.get().starts_with('"'));
        match &own {
            // As the client wrote it: nothing was put in.
            Some((raw, None)) if prior.is_empty() => member("input", raw.get()),
            Some((raw, None)) if !raw.get().starts_with(['"', '[']) => member("input", raw.get()),
            None if prior.is_empty() => {}
            own => {
                let own = match own {
                    None => Vec::new(),
                    Some((_, Some(items))) => items.clone(),
                    Some((raw, None)) if text => vec![items::said(raw)],
                    Some((raw, None)) => {
                        let items = elements(raw, &At::Root.field("input"))?;
                        items.into_iter().map(|raw| raw.get().to_owned()).collect()
                    }
                };
                let all: Vec<&str> = prior.iter().chain(&own).map(String::as_str).collect();
                member("input", &format!("[{}]", all.join(",")));
            }
        }
        member("store", "false");
        out.push(b'}');
        let field = if self.conversation.is_some() { "conversation" } else { "previous_response_id" };
        Ok((Bytes::from(out), Kept { prior: prior.len(), field, text }))
    }

    /// The request's own items as they are listed, each with an id; those without one get theirs from that of the answer.
    pub fn input(&self, body: &[u8], answer: &str, known: &BTreeMap<String, Json>) -> Vec<Json> {
        let Ok(text) = utf8(body) else { return Vec::new() };
        let mut listed = Vec::new();
        let mut string = None;
        let _ = members(text, |key, value| {
            if key == "input" && value.get().starts_with('"') {
                string = Some(items::said(value));
            }
        });
        let mut list = |raw: &RawValue| {
            let item = match items::reference(raw).and_then(|id| known.get(&id)) {
                Some(item) => Some(item.clone()),
                None => items::listed(raw, answer, listed.len()),
            };
            listed.extend(item);
        };
        match string.and_then(|said| Json::parse(said).ok()) {
            Some(said) => list(said.raw()),
            None => {
                let _ = each_item(text, list);
            }
        }
        listed
    }
}

/// The items of a request as they are written, if one of them is put in from `known`; none otherwise.
fn own_items(raw: &RawValue, known: &BTreeMap<String, Json>) -> Result<Option<Vec<String>>, Fault> {
    if !raw.get().starts_with('[') {
        return Ok(None);
    }
    let at = At::Root.field("input");
    let mut any = false;
    let mut written = Vec::new();
    for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
        let Some(id) = items::reference(raw) else {
            written.push(raw.get().to_owned());
            continue;
        };
        any = true;
        let Some(item) = known.get(&id) else {
            let at = at.index(index);
            let shown: String = id.chars().take(80).collect();
            let text = format!(
                "Item with id '{shown}' not found: it was not stored here, or no longer is; send the item itself"
            );
            return Err(Fault { code: ErrorCode::UnknownResource, ..Fault::invalid(&at.field("id"), text) });
        };
        written.push(items::replayed(item));
    }
    Ok(any.then_some(written))
}

fn each_item<'a>(text: &'a str, mut each: impl FnMut(&'a RawValue)) -> Result<(), Fault> {
    let mut input = None;
    members(text, |key, value| {
        if key == "input" && value.get().starts_with('[') {
            input = Some(value);
        }
    })?;
    let Some(input) = input else { return Ok(()) };
    elements(input, &At::Root.field("input"))?.into_iter().for_each(&mut each);
    Ok(())
}

fn conversation_id(raw: &RawValue) -> Result<String, Fault> {
    let at = At::Root.field("conversation");
    if let Some(id) = string(raw) {
        return Ok(id.into_owned());
    }
    if !raw.get().starts_with('{') {
        return Err(Fault::mistyped(&at, "a string or an object with an `id`", raw));
    }
    Fields::of(raw, &at)?.need_text("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn expanded(body: &str, prior: &[&str], known: &[(&str, &str)]) -> (String, Kept) {
        let prior: Vec<Json> = prior.iter().map(|item| json(item)).collect();
        let known = known.iter().map(|(id, item)| ((*id).to_owned(), json(item))).collect();
        let turn = Turn::read(body.as_bytes()).unwrap();
        let (body, kept) = turn.expand(body.as_bytes(), &prior, &known).unwrap();
        (String::from_utf8(body.to_vec()).unwrap(), kept)
    }

    #[test]
    fn what_a_request_says_of_state_is_read() {
        let read = |body: &str| Turn::read(body.as_bytes());
        let turn = read(r#"{"model":"m","input":"hi"}"#).unwrap();
        assert!(turn.store && !turn.is_stateless());
        assert!(read(r#"{"input":"hi","store":false}"#).unwrap().is_stateless());
        assert!(!read(r#"{"store":false,"previous_response_id":"resp_1"}"#).unwrap().is_stateless());
        assert!(
            !read(r#"{"store":false,"input":[{"type":"item_reference","id":"a"}]}"#).unwrap().is_stateless()
        );
        for (written, id) in [(r#""conv_1""#, "conv_1"), (r#"{"id":"conv_2"}"#, "conv_2")] {
            let turn = read(&format!(r#"{{"conversation":{written}}}"#)).unwrap();
            assert_eq!(turn.conversation.as_deref(), Some(id));
        }
        for (body, param) in [
            (r#"{"store":"yes"}"#, "store"),
            (r#"{"previous_response_id":7}"#, "previous_response_id"),
            (r#"{"conversation":7}"#, "conversation"),
            (r#"{"conversation":{}}"#, "conversation.id"),
            (r#"{"conversation":"c","previous_response_id":"r"}"#, "conversation"),
        ] {
            assert_eq!(read(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn without_anything_before_it_only_the_keeping_is_taken_out() {
        let (body, _) = expanded(r#"{"model":"m", "input" : "hi\n","store":true,"x":[1, 2]}"#, &[], &[]);
        assert_eq!(body, r#"{"model":"m","x":[1, 2],"input":"hi\n","store":false}"#);
        let (body, _) = expanded(r#"{"prompt":{"id":"p"}}"#, &[], &[]);
        assert_eq!(body, r#"{"prompt":{"id":"p"},"store":false}"#);
    }

    #[test]
    fn what_came_before_stands_before_the_new_items() {
        let said = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[]}"#;
        let search = r#"{"id":"ws_1","type":"web_search_call","status":"completed"}"#;
        let (body, kept) =
            expanded(r#"{"input":"more","previous_response_id":"resp_1"}"#, &[said, search], &[]);
        assert_eq!(
            body,
            r#"{"input":[{"type":"message","status":"completed","role":"assistant","content":[]},{"id":"ws_1","type":"web_search_call","status":"completed"},{"type":"message","role":"user","content":"more"}],"store":false}"#
        );
        assert_eq!(kept, Kept { prior: 2, field: "previous_response_id", text: true });
        let (body, kept) =
            expanded(r#"{"input":[{"role":"user","content":"x"}],"conversation":"c"}"#, &[search], &[]);
        assert!(
            body.starts_with(r#"{"input":[{"id":"ws_1""#) && body.contains(r#","role":"user""#)
                || body.contains(r#"{"role":"user","content":"x"}]"#)
        );
        assert_eq!(kept, Kept { prior: 1, field: "conversation", text: false });
        let (body, _) = expanded(r#"{"previous_response_id":"resp_1"}"#, &[search], &[]);
        assert!(body.contains(r#""input":[{"id":"ws_1""#), "{body}");
        // What is no input is refused where all requests are.
        let (body, _) = expanded(r#"{"input":7,"previous_response_id":"resp_1"}"#, &[search], &[]);
        assert!(body.contains(r#""input":7"#), "{body}");
    }

    #[test]
    fn an_item_that_is_only_named_is_put_in() {
        let item = r#"{"id":"fc_1","type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
        for named in [r#"{"type":"item_reference","id":"fc_1"}"#, r#"{"id":"fc_1"}"#] {
            let body = format!(r#"{{"store":true,"input":[{named},{{"role":"user","content":"x"}}]}}"#);
            let turn = Turn::read(body.as_bytes()).unwrap();
            assert_eq!(turn.references(body.as_bytes()).unwrap(), ["fc_1"]);
            let (sent, _) = expanded(&body, &[], &[("fc_1", item)]);
            assert_eq!(
                sent,
                r#"{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"role":"user","content":"x"}],"store":false}"#
            );
            let error = turn.expand(body.as_bytes(), &[], &BTreeMap::new()).unwrap_err();
            assert_eq!(
                (error.code, error.param.as_deref()),
                (ErrorCode::UnknownResource, Some("input[0].id"))
            );
        }
    }

    #[test]
    fn a_requests_items_are_listed_with_ids() {
        let list = |body: &str| {
            let turn = Turn::read(body.as_bytes()).unwrap();
            let known = [("fc_1".to_owned(), json(r#"{"id":"fc_1","type":"function_call"}"#))].into();
            let items = turn.input(body.as_bytes(), "resp_ab", &known);
            items.iter().map(|item| item.get().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            list(r#"{"input":"hi"}"#),
            [
                r#"{"id":"msg_ab_i0","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"hi"}]}"#
            ]
        );
        assert_eq!(
            list(
                r#"{"input":[{"id":"fc_1"},{"role":"assistant","content":"yes"},{"type":"function_call_output","call_id":"c","output":"1"},7]}"#
            ),
            [
                r#"{"id":"fc_1","type":"function_call"}"#,
                r#"{"id":"msg_ab_i1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"yes","annotations":[]}]}"#,
                r#"{"id":"fco_ab_i2","type":"function_call_output","status":"completed","call_id":"c","output":"1"}"#,
            ]
        );
    }
}
