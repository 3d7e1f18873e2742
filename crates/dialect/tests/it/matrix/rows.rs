//! The rows as they stand in `fixtures/matrix`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use steelyard_dialect::{Dialect, Outside};

use crate::fixtures;

/// The requests of one client dialect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requests {
    /// The least request.
    base: Value,
    /// What several rows stand on, by name.
    with: BTreeMap<String, Value>,
    pub(crate) rows: Vec<Row>,
}

/// One field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) field: String,
    #[serde(default)]
    with: Option<String>,
    /// What is laid over the least request; a null takes a member away.
    body: Value,
    /// The wire tells of a stream outside of the body.
    #[serde(default)]
    stream: bool,
    /// For each wire where the field arrives as something else: as what.
    #[serde(default)]
    pub(crate) mapped: BTreeMap<String, String>,
}

impl Requests {
    pub(crate) fn of(dialect: Dialect) -> Self {
        let text = fixtures::one(&format!("matrix/{}.requests.json", dialect.name()));
        let all: Self =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", dialect.name()));
        let mut fields: Vec<&str> = all.rows.iter().map(|row| row.field.as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields.len(), all.rows.len(), "{}: a field stands twice", dialect.name());
        all
    }

    /// What the row stands on, without its field.
    pub(crate) fn ground(&self, row: &Row) -> Value {
        let mut ground = self.base.clone();
        if let Some(name) = &row.with {
            lay(&mut ground, &self.with[name]);
        }
        ground
    }

    pub(crate) fn body(&self, row: &Row) -> Value {
        let mut body = self.ground(row);
        lay(&mut body, &row.body);
        body
    }
}

impl Row {
    pub(crate) fn outside(&self, client: Dialect) -> Outside<'static> {
        outside(client, self.stream)
    }
}

/// What a wire tells outside of the body.
pub(crate) fn outside(dialect: Dialect, stream: bool) -> Outside<'static> {
    let in_path = matches!(dialect, Dialect::BedrockConverse | Dialect::GeminiGenerate);
    let model = in_path.then_some("smart");
    Outside { model, stream, version: None, headers: None }
}

/// Lays one value over another, member by member.
pub(crate) fn lay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    under.remove(name);
                } else {
                    lay(under.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}
