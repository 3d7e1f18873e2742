//! Items as they are kept and listed, and as they go to a target again.

use serde_json::value::RawValue;

use crate::json::{At, Fields, Json, Object, elements, members, string};

/// The item that another one only names. Clients may leave out that it is a reference.
pub(super) fn reference(raw: &RawValue) -> Option<String> {
    let at = At::Root;
    let mut fields = Fields::of(raw, &at).ok()?;
    let names = match fields.text_or_leave("type") {
        Some(kind) => kind == "item_reference",
        None => !fields.has("role") && !fields.has("type"),
    };
    if names { fields.text_or_leave("id") } else { None }
}

/// A text that was sent in place of items, as the one that it stands for.
pub(super) fn said(text: &RawValue) -> String {
    format!(r#"{{"type":"message","role":"user","content":{}}}"#, text.get())
}

/// An item as it goes to a target again. The ids of what every target knows mean nothing to it; items of a vendor's own tools
/// are not complete without.
pub(super) fn replayed(item: &Json) -> String {
    let anonymous = matches!(
        kind_of(item.raw()).as_deref(),
        Some(
            "message"
                | "reasoning"
                | "function_call"
                | "function_call_output"
                | "custom_tool_call"
                | "custom_tool_call_output"
        )
    );
    if !anonymous {
        return item.get().to_owned();
    }
    let mut out = Vec::with_capacity(item.get().len());
    Object::write(&mut out, |object| {
        let _ = members(item.get(), |key, value| {
            if key != "id" {
                object.field(&key, value);
            }
        });
    });
    String::from_utf8(out).unwrap_or_else(|_| item.get().to_owned())
}

/// A request's item as it is listed. `answer` and `index` make the id of one that has none. None: it is no item.
pub(super) fn listed(raw: &RawValue, answer: &str, index: usize) -> Option<Json> {
    let at = At::Root;
    let mut fields = Fields::of(raw, &at).ok()?;
    let kind = fields.text_or_leave("type").unwrap_or_else(|| "message".to_owned());
    let id = fields.text_or_leave("id").filter(|id| !id.is_empty());
    let status = fields.text_or_leave("status");
    let models = fields.text_or_leave("role").as_deref() == Some("assistant");
    let mut out = Vec::with_capacity(raw.get().len() + 96);
    Object::write(&mut out, |object| {
        let answer = answer.strip_prefix("resp_").unwrap_or(answer);
        let id = id.unwrap_or_else(|| format!("{}_{answer}_i{index}", prefix(&kind)));
        object.field("id", &id);
        object.field("type", &kind);
        if kind != "reasoning" || status.is_some() {
            object.field("status", status.as_deref().unwrap_or("completed"));
        }
        let _ = members(raw.get(), |key, value| match &*key {
            "id" | "type" | "status" => {}
            "content" if kind == "message" && value.get().starts_with('"') => {
                object.objects("content", Some(value), |part, value| {
                    part.field("type", if models { "output_text" } else { "input_text" });
                    part.field("text", value);
                    if models {
                        part.objects("annotations", std::iter::empty::<()>(), |_, ()| {});
                    }
                });
            }
            key => object.field(key, value),
        });
    });
    Json::parse(String::from_utf8(out).ok()?).ok()
}

/// An item under another id.
pub(super) fn renamed(item: &Json, id: &str) -> Option<Json> {
    let mut out = Vec::with_capacity(item.get().len() + id.len());
    Object::write(&mut out, |object| {
        object.field("id", id);
        let _ = members(item.get(), |key, value| {
            if key != "id" {
                object.field(&key, value);
            }
        });
    });
    Json::parse(String::from_utf8(out).ok()?).ok()
}

/// An id for an item that comes with a request or its answer, as the `index`th.
pub(super) fn fresh_id(item: &Json, request: &str, index: usize) -> String {
    let kind = kind_of(item.raw()).unwrap_or_default();
    let request = request.split_once('_').map_or(request, |(_, id)| id);
    format!("{}_{request}_c{index}", prefix(&kind))
}

/// What the ids of items of a kind begin with.
fn prefix(kind: &str) -> &'static str {
    match kind {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        _ => "item",
    }
}

fn kind_of(item: &RawValue) -> Option<String> {
    let mut kind = None;
    let _ = members(item.get(), |key, value| {
        if key == "type" {
            kind = string(value).map(std::borrow::Cow::into_owned);
        }
    });
    kind
}

/// The id of an item.
pub fn id_of(item: &Json) -> Option<String> {
    let at = At::Root;
    Fields::of(item.raw(), &at).ok()?.text_or_leave("id")
}

/// The items of an answer.
pub fn output(response: &str) -> Vec<Json> {
    let at = At::Root;
    let list = Fields::of_text(response, &at).ok().and_then(|mut response| response.take("output"));
    let items = list.and_then(|list| elements(list, &at).ok()).unwrap_or_default();
    items.into_iter().map(Json::from).collect()
}
