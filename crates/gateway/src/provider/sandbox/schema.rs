//! The smallest value that a JSON schema allows: how the sandbox honours structured output and calls tools.
//!
//! Covers what structured-output schemas use: types, `enum`, `const`, objects with `properties` and `required`,
//! arrays, `anyOf`/`oneOf`/`allOf`, local `$ref`, lengths, bounds and the common formats. A `pattern` is not solved.

use serde_json::{Map, Number, Value, json};

/// Deeper than this a schema is taken to refer to itself.
const MAX_DEPTH: usize = 24;

/// A value that `schema` allows. The same schema gives the same value.
pub(super) fn example(schema: &Value) -> Value {
    Example { root: schema }.of(schema, 0)
}

struct Example<'a> {
    root: &'a Value,
}

impl Example<'_> {
    fn of(&self, schema: &Value, depth: usize) -> Value {
        let Some(object) = schema.as_object().filter(|_| depth < MAX_DEPTH) else { return Value::Null };
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            return self.referred(target).map_or(Value::Null, |schema| self.of(schema, depth + 1));
        }
        if let Some(value) = object.get("const") {
            return value.clone();
        }
        if let Some(first) = object.get("enum").and_then(Value::as_array).and_then(|values| values.first()) {
            return first.clone();
        }
        if let Some(parts) = object.get("allOf").and_then(Value::as_array) {
            return self.of(&merged(object, parts), depth + 1);
        }
        let choices = ["anyOf", "oneOf"].iter().find_map(|name| object.get(*name)?.as_array());
        if let Some(choices) = choices {
            return self.shallowest(choices, depth);
        }
        match kind(object) {
            "object" => self.object(object, depth),
            "array" => self.array(object, depth),
            "string" => Value::String(text(object)),
            "integer" => Value::Number(Number::from(integer(object))),
            "number" => json!(number(object)),
            "boolean" => Value::Bool(true),
            _ => Value::Null,
        }
    }

    /// A choice that does not lead back into itself: the first that ends early.
    fn shallowest(&self, choices: &[Value], depth: usize) -> Value {
        let ends = |schema: &&Value| schema.get("$ref").is_none();
        let choice = if depth > 2 { choices.iter().find(ends) } else { None };
        choice.or_else(|| choices.first()).map_or(Value::Null, |schema| self.of(schema, depth + 1))
    }

    fn referred(&self, target: &str) -> Option<&Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }

    fn object(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return json!({}) };
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let members = properties
            .iter()
            .filter(|(name, _)| required.contains(&name.as_str()))
            .map(|(name, schema)| (name.clone(), self.of(schema, depth + 1)))
            .collect();
        Value::Object(members)
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        let least = size(schema, "minItems").max(1);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        if let Some(prefix) = schema.get("prefixItems").and_then(Value::as_array) {
            return prefix.iter().map(|schema| self.of(schema, depth + 1)).collect();
        }
        // Near the depth limit an empty array is the way out, where it is allowed.
        let count = if depth > MAX_DEPTH / 2 { size(schema, "minItems") } else { least.min(most) };
        let items = schema.get("items").unwrap_or(&Value::Null);
        (0..count.min(64)).map(|_| self.of(items, depth + 1)).collect()
    }
}

/// The members of all parts in one schema.
fn merged(base: &Map<String, Value>, parts: &[Value]) -> Value {
    let mut all = base.clone();
    all.remove("allOf");
    for (name, value) in parts.iter().filter_map(Value::as_object).flatten() {
        match (all.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => {
                known.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (Some(Value::Array(known)), Value::Array(more)) => known.extend(more.iter().cloned()),
            _ => {
                all.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(all)
}

fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.contains_key("properties") => "object",
        _ if schema.contains_key("items") => "array",
        _ => "string",
    }
}

fn size(schema: &Map<String, Value>, name: &str) -> u64 {
    schema.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn text(schema: &Map<String, Value>) -> String {
    let mut text = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
        Some("date") => "2026-01-01".to_owned(),
        Some("time") => "00:00:00Z".to_owned(),
        Some("duration") => "PT1S".to_owned(),
        Some("email") => "sandbox@example.com".to_owned(),
        Some("uri") => "https://example.com/sandbox".to_owned(),
        Some("hostname") => "example.com".to_owned(),
        Some("ipv4") => "192.0.2.1".to_owned(),
        Some("ipv6") => "2001:db8::1".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => "sandbox".to_owned(),
    };
    while (text.chars().count() as u64) < size(schema, "minLength").min(10_000) {
        text.push('x');
    }
    if let Some(most) = schema.get("maxLength").and_then(Value::as_u64) {
        text = text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
    }
    text
}

fn integer(schema: &Map<String, Value>) -> i64 {
    let whole = |name: &str| schema.get(name).and_then(Value::as_i64);
    let least = whole("minimum").or_else(|| whole("exclusiveMinimum").map(|bound| bound.saturating_add(1)));
    let most = whole("maximum").or_else(|| whole("exclusiveMaximum").map(|bound| bound.saturating_sub(1)));
    let step = whole("multipleOf").filter(|step| *step > 0).unwrap_or(1);
    let wanted = match (least, most) {
        (Some(least), _) => least.max(0.min(most.unwrap_or(i64::MAX))),
        (None, Some(most)) => most.min(1),
        (None, None) => 1,
    };
    // The next multiple at or above.
    wanted.saturating_add((step - wanted.rem_euclid(step)) % step)
}

fn number(schema: &Map<String, Value>) -> f64 {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0) {
        return (bound("minimum").unwrap_or(step) / step).ceil() * step;
    }
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|bound| bound + 0.5));
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|bound| bound - 0.5));
    match (least, most) {
        (Some(least), Some(most)) => f64::midpoint(least, most),
        (Some(least), None) => least,
        (None, Some(most)) => most.min(1.0),
        (None, None) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_schema_allows() {
        let cases = [
            (json!({"type": "string"}), json!("sandbox")),
            (json!({"type": "string", "minLength": 9}), json!("sandboxxx")),
            (json!({"type": "string", "maxLength": 3}), json!("san")),
            (json!({"type": ["null", "integer"], "minimum": 5}), json!(5)),
            (json!({"type": "integer", "minimum": 5, "multipleOf": 4}), json!(8)),
            (json!({"type": "integer", "maximum": -3}), json!(-3)),
            (json!({"type": "number", "minimum": 0, "maximum": 1}), json!(0.5)),
            (json!({"enum": ["a", "b"]}), json!("a")),
            (json!({"const": 7}), json!(7)),
            (json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), json!([true, true])),
            (json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), json!(1)),
            (
                json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}),
                json!({"a": 1}),
            ),
            (
                json!({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]},
                                 {"properties": {"b": {"const": 2}}, "required": ["b"]}], "type": "object"}),
                json!({"a": 1, "b": 2}),
            ),
            (
                json!({"$defs": {"city": {"type": "string"}}, "type": "object",
                       "properties": {"at": {"$ref": "#/$defs/city"}}, "required": ["at"]}),
                json!({"at": "sandbox"}),
            ),
        ];
        for (schema, value) in cases {
            assert_eq!(example(&schema), value, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tree = json!({
            "$defs": {"node": {"type": "object", "required": ["children"],
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}},
            "$ref": "#/$defs/node"
        });
        assert!(example(&tree).is_object());
        assert_eq!(example(&json!({"$ref": "#"})), Value::Null);
    }
}
