//! The JSON Schema of the configuration, and the reference page made from it. Both come from the doc comments of the
//! declarations, so they cannot differ from what is read.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::model::Config;

/// What stands before the tables on the reference page.
const INTRODUCTION: &str = include_str!("introduction.md");

/// The JSON Schema (draft 2020-12) of `steelyard.toml`.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    schema["title"] = "steelyard.toml".into();
    schema
}

/// The page `docs/configuration.md`.
pub fn markdown() -> String {
    let schema = schema();
    let mut page = INTRODUCTION.to_owned();
    for name in super::document::SECTIONS {
        let field = &schema["properties"][name];
        let list = field["type"] == "array";
        let shape = resolve(&schema, if list { &field["items"] } else { field });
        let title = if list { format!("[[{name}]]") } else { format!("[{name}]") };
        section(&mut page, &schema, &format!("## `{title}`"), shape, name);
    }
    page
}

fn section(page: &mut String, schema: &Value, title: &str, shape: &Value, path: &str) {
    let _ =
        write!(page, "\n{title}\n\n{}\n\n| field | value | default | |\n|---|---|---|---|\n", text(shape));
    let mut inner = Vec::new();
    for (name, field) in fields(shape) {
        let default = if is_required(shape, name) { "required".to_owned() } else { default(field) };
        let (kind, nested) = kind(schema, field);
        if let Some(nested) = nested {
            inner.push((name, nested));
        }
        let meaning = meaning(schema, field).replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {kind} | {default} | {meaning} |");
    }
    for (name, nested) in inner {
        section(page, schema, &format!("### `{path}.{name}`"), nested, &format!("{path}.{name}"));
    }
}

/// The fields of a table: those that must be there come first.
fn fields(shape: &Value) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = shape["properties"].as_object().into_iter().flat_map(Map::iter).collect();
    fields.sort_by_key(|(name, _)| !is_required(shape, name));
    fields
}

fn is_required(shape: &Value, name: &str) -> bool {
    shape["required"].as_array().into_iter().flatten().any(|required| required == name)
}

/// The declaration behind a reference, and behind "this or nothing".
fn resolve<'s>(schema: &'s Value, field: &'s Value) -> &'s Value {
    if let Some(name) = field["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return resolve(schema, &schema["$defs"][name]);
    }
    let choices = field["anyOf"].as_array().into_iter().flatten();
    choices
        .filter(|choice| choice["type"] != "null")
        .map(|choice| resolve(schema, choice))
        .next()
        .unwrap_or(field)
}

fn text(shape: &Value) -> String {
    shape["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn meaning(schema: &Value, field: &Value) -> String {
    let mut meaning = text(field);
    let choices = resolve(schema, field);
    for choice in choices["oneOf"].as_array().into_iter().flatten() {
        if let Some(value) = choice["const"].as_str() {
            let _ = write!(meaning, " `{value}`: {}", text(choice));
        }
    }
    meaning
}

/// What may stand there, and the table that is to be explained by itself.
fn kind<'s>(schema: &'s Value, field: &'s Value) -> (String, Option<&'s Value>) {
    let shape = resolve(schema, field);
    if let Some(choices) = shape["oneOf"].as_array() {
        let values: Vec<_> = choices.iter().filter_map(|choice| choice["const"].as_str()).collect();
        if !values.is_empty() {
            return (format!("`{}`", values.join("`, `")), None);
        }
    }
    if shape["format"] == "date" {
        return ("date".to_owned(), None);
    }
    let types: Vec<&str> = match &shape["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        Value::String(name) => vec![name.as_str()],
        _ => Vec::new(),
    };
    match types.as_slice() {
        ["array"] => {
            let (items, nested) = kind(schema, &shape["items"]);
            (format!("list of {items}s"), nested)
        }
        ["object"] if shape.get("properties").is_some() => ("table".to_owned(), Some(shape)),
        ["object"] => ("table of strings".to_owned(), None),
        types => (types.join(" or "), None),
    }
}

fn default(field: &Value) -> String {
    match &field["default"] {
        Value::Null => "none".to_owned(),
        Value::Object(fields) if fields.is_empty() => "`{}`".to_owned(),
        Value::Object(_) => "below".to_owned(),
        Value::Array(list) if list.is_empty() => "`[]`".to_owned(),
        value => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set `STEELYARD_WRITE_DOCS=1` to write the page instead of comparing it.
    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("STEELYARD_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/configuration.md differs from the declarations: run `cargo run -- config schema --markdown > docs/configuration.md`"
        );
    }

    #[test]
    fn every_field_is_explained() {
        let schema = schema();
        let page = markdown();
        assert!(!page.contains("|  |"), "a field has no doc comment");
        let sections: Vec<_> = fields(&schema).into_iter().map(|(name, _)| name.as_str()).collect();
        let mut known = super::super::document::SECTIONS;
        known.sort_unstable();
        let mut declared = sections;
        declared.sort_unstable();
        assert_eq!(declared, known);
    }

    #[test]
    fn the_example_of_the_page_can_be_used() {
        let example =
            INTRODUCTION.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let environment = [("OPENAI_API_KEY", "x"), ("VLLM_API_KEY", "x")];
        let loaded =
            super::super::Loaded::of(example, &environment).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.warnings, []);
        assert_eq!(
            (loaded.config.channels.len(), loaded.config.routes.len(), loaded.config.prices.len()),
            (3, 1, 1)
        );
    }
}
