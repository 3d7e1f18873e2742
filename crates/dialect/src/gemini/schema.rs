//! Google's own form of a schema into JSON Schema: a subset of `OpenAPI`'s, whose types may be upper case, whose counts may
//! be strings, and which knows `nullable` and an order of properties. Everything else is the same in both.

use serde_json::value::RawValue;

use crate::gemini::members::{snake, whole};
use crate::json::{At, Fault, Json, Object, elements, members, string};

/// Deeper ones are refused: each level is a call on the stack.
const MAX_DEPTH: usize = 64;

/// The schema as JSON Schema, its members in their order.
pub(crate) fn json_schema(raw: &RawValue, at: &At<'_>) -> Result<Json, Fault> {
    let mut out = Vec::with_capacity(raw.get().len());
    write(raw, at, 0, &mut out)?;
    let text = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    text.ok_or_else(|| Fault::mistyped(at, "a schema", raw))
}

fn write(raw: &RawValue, at: &At<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::invalid(at, format!("`{at}` is nested deeper than {MAX_DEPTH} levels")));
    }
    if !raw.get().starts_with('{') {
        return Err(Fault::mistyped(at, "an object", raw));
    }
    let mut all = Vec::new();
    members(raw.get(), |name, value| all.push((name, value)))?;
    let nullable = all.iter().any(|(name, value)| name == "nullable" && value.get() == "true");
    let mut fault = Ok(());
    Object::write(out, |object| {
        for (name, value) in &all {
            if fault.is_ok() {
                fault = member(object, name, value, nullable, &at.field(name), depth);
            }
        }
    });
    fault
}

fn member(
    object: &mut Object<'_>,
    name: &str,
    value: &RawValue,
    nullable: bool,
    at: &At<'_>,
    depth: usize,
) -> Result<(), Fault> {
    /// Counts that protocol buffers write as strings.
    const COUNTS: [&str; 6] =
        ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];
    const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
    let known =
        |list: &[&'static str]| list.iter().copied().find(|known| *known == name || snake(known) == name);
    if name == "nullable" || known(&["propertyOrdering"]).is_some() {
        return Ok(());
    }
    if name == "type" {
        let Some(kind) = string(value) else {
            object.field(name, value);
            return Ok(());
        };
        let kind = kind.to_ascii_lowercase();
        match kind.as_str() {
            "type_unspecified" => {}
            _ if nullable => object.field(name, &[kind.as_str(), "null"]),
            _ => object.field(name, &kind),
        }
        return Ok(());
    }
    if name == "properties" {
        let mut all = Vec::new();
        members(value.get(), |name, value| all.push((name, value)))
            .map_err(|_| Fault::mistyped(at, "an object", value))?;
        let mut fault = Ok(());
        object.object(name, |properties| {
            for (name, value) in &all {
                match nested(value, &at.field(name), depth) {
                    Ok(schema) => properties.field(name, &schema),
                    Err(error) => fault = Err(error),
                }
            }
        });
        return fault;
    }
    if name == "items" && value.get().starts_with('{') {
        object.field(name, &nested(value, at, depth)?);
    } else if let Some(name) = known(&LISTS) {
        let mut list = Vec::new();
        for (index, one) in elements(value, at)?.into_iter().enumerate() {
            list.push(nested(one, &at.index(index), depth)?);
        }
        object.field(name, &list);
    } else if let (Some(name), Some(count)) = (known(&COUNTS), whole(value)) {
        object.field(name, &count);
    } else {
        object.field(name, value);
    }
    Ok(())
}

fn nested(raw: &RawValue, at: &At<'_>, depth: usize) -> Result<Json, Fault> {
    let mut out = Vec::with_capacity(raw.get().len());
    write(raw, at, depth + 1, &mut out)?;
    let json = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    json.ok_or_else(|| Fault::mistyped(at, "a schema", raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_form_becomes_json_schema_in_its_order() {
        let check = |google: &str, expected: &str| {
            let raw: Box<RawValue> = serde_json::from_str(google).unwrap();
            assert_eq!(json_schema(&raw, &At::Root).unwrap().get(), expected, "{google}");
        };
        check(
            r#"{"type":"OBJECT","properties":{"z":{"type":"STRING","nullable":true},"type":{"type":"INTEGER"}},
                "propertyOrdering":["z"],"required":["z"]}"#,
            r#"{"type":"object","properties":{"z":{"type":["string","null"]},"type":{"type":"integer"}},"required":["z"]}"#,
        );
        check(
            r#"{"type":"array","min_items":"1","items":{"any_of":[{"type":"NUMBER"},{"enum":["A"],"type":"STRING"}]}}"#,
            r#"{"type":"array","minItems":1,"items":{"anyOf":[{"type":"number"},{"enum":["A"],"type":"string"}]}}"#,
        );
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(80), "}".repeat(80));
        for (text, at) in [
            (r#"{"properties":{"a":7}}"#, "properties.a"),
            (r#"{"anyOf":{}}"#, "anyOf"),
            (r#"{"properties":[]}"#, "properties"),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(json_schema(&raw, &At::Root).unwrap_err().at, at);
        }
        let raw: Box<RawValue> = serde_json::from_str(&deep).unwrap();
        assert!(json_schema(&raw, &At::Root).unwrap_err().text.contains("deeper"));
    }
}
