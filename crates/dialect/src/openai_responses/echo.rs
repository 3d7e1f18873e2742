//! What an answer repeats of its request, as the SDKs' types want it, and the names of tools in namespaces.
//!
//! Read of the client's own body, so that it is repeated as it was written. What the client left out is told as OpenAI's
//! default, but for `store`: that an answer is kept is told when it is ([`super::state`]).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::json::{At, Extra, Fields, Json, Object, elements, utf8};

/// What an answer knows of its request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Echo {
    settings: Extra,
    /// The names of functions in namespaces, by those under which other wires know them.
    spaced: BTreeMap<String, Spaced>,
}

/// A function in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spaced {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The members, each with OpenAI's default.
const SETTINGS: [(&str, &str); 18] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"},"verbosity":"medium"}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

impl Echo {
    /// Of a request's body. One that cannot be read repeats nothing.
    pub(crate) fn of(body: &[u8]) -> Self {
        let at = At::Root;
        let Ok(mut fields) = utf8(body).and_then(|text| Fields::of_text(text, &at)) else {
            return Self::default();
        };
        let mut echo = Self::default();
        for (name, _) in SETTINGS {
            echo.settings.extend(fields.json(name).map(|json| (name.to_owned(), json)));
        }
        if let Some(tools) = echo.settings.get("tools") {
            for raw in elements(tools.raw(), &at).unwrap_or_default() {
                echo.spaced.extend(functions(raw).unwrap_or_default());
            }
        }
        echo
    }

    /// The namespace and the name of a function that is called by another here.
    pub(crate) fn spaced(&self, flat: &str) -> Option<&Spaced> {
        self.spaced.get(flat)
    }
}

/// The functions of a namespace, by the names that other wires know them by.
fn functions(raw: &RawValue) -> Option<Vec<(String, Spaced)>> {
    let at = At::Root;
    let mut space = Fields::of(raw, &at).ok()?;
    space.text_or_leave("type").filter(|kind| kind == "namespace")?;
    let namespace = space.text_or_leave("name")?;
    let tools = elements(space.take("tools")?, &at).ok()?;
    let named = |raw: &RawValue| {
        let name = Fields::of(raw, &At::Root).ok()?.text_or_leave("name")?;
        Some((flat(&namespace, &name), Spaced { namespace: namespace.clone(), name }))
    };
    Some(tools.into_iter().filter_map(named).collect())
}

/// The name of a function in a namespace on a wire without any. All of both names if there is room, so that no two are the
/// same.
pub(crate) fn flat(namespace: &str, name: &str) -> String {
    let joint = if namespace.ends_with("__") { "" } else { "__" };
    let whole = [namespace, joint, name].concat();
    if whole.len() <= 64 { whole } else { name.to_owned() }
}

/// Writes what an answer repeats.
pub(crate) fn write(object: &mut Object<'_>, echo: Option<&Echo>) {
    for (name, default) in SETTINGS {
        let default = Json::parse(default).expect("a default is JSON");
        match echo.and_then(|echo| echo.settings.get(name)) {
            None => object.field(name, &default),
            Some(said) => object.field(name, &filled(said, &default)),
        }
    }
    object.field("store", &false);
}

/// An object with the members of the default that it lacks; anything else as it is.
fn filled(said: &Json, default: &Json) -> Json {
    let at = At::Root;
    let (Ok(said_members), Ok(default)) = (Fields::of(said.raw(), &at), Fields::of(default.raw(), &at))
    else {
        return said.clone();
    };
    let given = said_members.rest();
    let missing: Extra = default.rest().into_iter().filter(|(name, _)| !given.contains_key(name)).collect();
    if missing.is_empty() {
        return said.clone();
    }
    let mut out = Vec::new();
    Object::write(&mut out, |object| {
        object.extra(&given);
        object.extra(&missing);
    });
    let text = String::from_utf8(out).expect("what was read of text is text");
    Json::parse(text).expect("what was written as JSON is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_what_was_asked_and_the_defaults() {
        let echo = Echo::of(
            br#"{"model":"m","input":"hi","store":true,"temperature":0.5,"instructions":"be short",
                "text":{"format":{"type":"json_object"}},"metadata":{"a":"b"},"user":null}"#,
        );
        let mut out = Vec::new();
        Object::write(&mut out, |object| write(object, Some(&echo)));
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["temperature"], 0.5);
        assert_eq!(told["instructions"], "be short");
        assert_eq!(
            told["text"],
            serde_json::json!({"format": {"type": "json_object"}, "verbosity": "medium"})
        );
        assert_eq!(told["metadata"]["a"], "b");
        assert_eq!((&told["store"], &told["user"], &told["top_p"]), (&false.into(), &().into(), &1.0.into()));
    }

    #[test]
    fn a_function_in_a_namespace_has_a_name_for_other_wires_and_its_own_again() {
        let echo = Echo::of(
            br#"{"tools":[{"type":"namespace","name":"mcp__git__","tools":[{"type":"function","name":"log"}]},
                {"type":"namespace","name":"fs","tools":[{"name":"read"},7]},{"type":"function","name":"x"},7]}"#,
        );
        let spaced = echo.spaced("mcp__git__log").unwrap();
        assert_eq!((spaced.namespace.as_str(), spaced.name.as_str()), ("mcp__git__", "log"));
        assert_eq!(echo.spaced("fs__read").unwrap().name, "read");
        assert_eq!(echo.spaced("x"), None);
        assert_eq!(flat(&"n".repeat(60), "read"), "read");
    }
}
