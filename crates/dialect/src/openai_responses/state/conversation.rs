//! Conversations as clients begin and change them, and as they are told of.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::json::{At, Fault, Fields, Json, Object, elements, utf8};
use crate::openai_responses::state::items;

/// So many items come with one request, and so many notes with a conversation, of at most so many characters (OpenAI's API
/// reference, "Conversations").
const MOST_ITEMS: usize = 20;
const MOST_NOTES: usize = 16;
const LONGEST_NAME: usize = 64;
const LONGEST_NOTE: usize = 512;

/// What a request says of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversing {
    /// What the caller notes of it, an object of texts.
    pub metadata: Option<Json>,
    /// Items to be added, each with an id.
    pub items: Option<Vec<Json>>,
}

impl Conversing {
    /// Of a request's body; an empty one says nothing. `request` makes the ids of its items.
    ///
    /// # Errors
    /// A field that is not what it must be.
    pub fn read(body: &[u8], request: &str) -> Result<Self, ApiError> {
        Ok(Self::of(body, request)?)
    }

    fn of(body: &[u8], request: &str) -> Result<Self, Fault> {
        let text = utf8(body)?;
        let text = if text.trim_ascii().is_empty() { "{}" } else { text };
        let mut fields = Fields::of_text(text, &At::Root)?;
        let metadata = fields.take("metadata").map(notes).transpose()?;
        let items = fields.take("items").map(|raw| added(raw, request)).transpose()?;
        Ok(Self { metadata, items })
    }
}

fn notes(raw: &RawValue) -> Result<Json, Fault> {
    let at = At::Root.field("metadata");
    let Ok(notes) = serde_json::from_str::<BTreeMap<String, String>>(raw.get()) else {
        return Err(Fault::mistyped(&at, "an object of strings", raw));
    };
    if notes.len() > MOST_NOTES {
        let text = format!("`metadata` has {} members: at most {MOST_NOTES} are kept", notes.len());
        return Err(Fault::invalid(&at, text));
    }
    for (name, note) in &notes {
        if name.chars().count() > LONGEST_NAME || note.chars().count() > LONGEST_NOTE {
            let shown: String = name.chars().take(LONGEST_NAME).collect();
            let text = format!(
                "`metadata.{shown}` is too long: names have at most {LONGEST_NAME} characters, and their values {LONGEST_NOTE}"
            );
            return Err(Fault::invalid(&at.field(&shown), text));
        }
    }
    Ok(Json::from(raw))
}

fn added(raw: &RawValue, request: &str) -> Result<Vec<Json>, Fault> {
    let at = At::Root.field("items");
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&at, "an array of items", raw));
    }
    let given = elements(raw, &at)?;
    if given.len() > MOST_ITEMS {
        let text = format!("`items` has {} items: send at most {MOST_ITEMS} at a time", given.len());
        return Err(Fault::invalid(&at, text));
    }
    let mut added = Vec::with_capacity(given.len());
    for (index, raw) in given.into_iter().enumerate() {
        let at = at.index(index);
        if items::reference(raw).is_some() {
            return Err(Fault::invalid(&at, format!("`{at}` only names an item: send the item itself")));
        }
        if Fields::of(raw, &at)?.has("type") || Fields::of(raw, &at)?.has("role") {
            let item = items::listed(raw, request, index)
                .and_then(|item| items::renamed(&item, &items::fresh_id(&item, request, index)));
            added.extend(item);
        } else {
            return Err(Fault::missing(&at.field("type")));
        }
    }
    Ok(added)
}

/// Items for a conversation that has those of the ids in `taken`: each with an id of its own. Servers that number their items
/// anew in each answer use an id twice.
pub fn distinct(new: Vec<Json>, mut taken: BTreeSet<String>, request: &str) -> Vec<Json> {
    let mut distinct = Vec::with_capacity(new.len());
    for (index, item) in new.into_iter().enumerate() {
        let known = items::id_of(&item).filter(|id| taken.insert(id.clone()));
        distinct.push(if known.is_some() {
            item
        } else {
            let id = items::fresh_id(&item, request, index);
            items::renamed(&item, &id).unwrap_or(item)
        });
    }
    distinct
}

/// A conversation as it is told of. `created`: seconds since the epoch.
pub fn conversation(id: &str, created: i64, metadata: &str) -> Bytes {
    let mut out = Vec::with_capacity(128 + metadata.len());
    Object::write(&mut out, |object| {
        object.field("id", id);
        object.field("object", "conversation");
        object.field("created_at", &created);
        if let Ok(metadata) = Json::parse(metadata) {
            object.field("metadata", &metadata);
        }
    });
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_begins_with_what_is_sent() {
        let read = |body: &str| Conversing::read(body.as_bytes(), "req_ab");
        assert_eq!(read("").unwrap(), Conversing { metadata: None, items: None });
        let begun = read(
            r#"{"metadata":{"a":"b"},"items":[{"id":"msg_1","role":"user","content":"hi"},{"type":"compaction","encrypted_content":"x"}]}"#,
        )
        .unwrap();
        assert_eq!(begun.metadata.unwrap().get(), r#"{"a":"b"}"#);
        let items = begun.items.unwrap();
        assert!(items[0].get().starts_with(r#"{"id":"msg_ab_c0","type":"message""#), "{items:?}");
        assert!(items[1].get().starts_with(r#"{"id":"item_ab_c1","type":"compaction""#), "{items:?}");
        let long = |count: usize| format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(count));
        assert!(read(&long(512)).is_ok());
        let many = format!(r#"{{"items":[{}]}}"#, vec!["{\"role\":\"user\"}"; 21].join(","));
        for (body, param) in [
            (long(513).as_str(), "metadata.a"),
            (r#"{"metadata":7}"#, "metadata"),
            (r#"{"metadata":{"a":7}}"#, "metadata"),
            (r#"{"items":7}"#, "items"),
            (r#"{"items":[7]}"#, "items[0]"),
            (r#"{"items":[{}]}"#, "items[0].type"),
            (r#"{"items":[{"type":"item_reference","id":"a"}]}"#, "items[0]"),
            (many.as_str(), "items"),
        ] {
            assert_eq!(read(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn no_two_items_of_a_conversation_have_one_id() {
        let item = |id: &str| Json::parse(format!(r#"{{"id":"{id}","type":"message"}}"#)).unwrap();
        let new = vec![item("msg_1"), item("msg_2"), item("msg_2")];
        let ids: Vec<_> =
            distinct(new, ["msg_1".to_owned()].into(), "resp_ab").iter().filter_map(items::id_of).collect();
        assert_eq!(ids, ["msg_ab_c0", "msg_2", "msg_ab_c2"]);
    }
}
