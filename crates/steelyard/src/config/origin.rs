//! Where each value came from.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::model::Config;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// Steelyard itself: the sandbox.
    BuiltIn,
    /// The configuration file.
    File {
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// The command line.
    Flag {
        /// Its name, with the dashes.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::BuiltIn => f.write_str("built in"),
            Self::File { line } => write!(f, "file, line {line}"),
            Self::Environment { name } => write!(f, "environment, {name}"),
            Self::Flag { name } => write!(f, "flag, {name}"),
        }
    }
}

/// Origins by dotted name (`server.listen`, `channels.openai.api_key`). A name without one of its own has that of the
/// nearest name before it, and `default` in the end.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(crate) fn set(&mut self, name: impl Into<String>, origin: Origin) {
        self.0.insert(name.into(), origin);
    }

    /// Where a value came from.
    pub fn of(&self, name: &str) -> &Origin {
        let mut rest = name;
        loop {
            if let Some(origin) = self.0.get(rest) {
                return origin;
            }
            match rest.rsplit_once('.') {
                Some((before, _)) => rest = before,
                None => return &Origin::Default,
            }
        }
    }
}

/// A value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its dotted name.
    pub name: String,
    /// What it is; a secret is shown by its place only. None: not set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// Every value of a configuration, in the order of the file's sections.
pub fn explain(config: &Config, origins: &Origins) -> Vec<Explained> {
    // A configuration is plain data and has a JSON form; without one there would be nothing to show.
    let value = serde_json::to_value(config).unwrap_or_default();
    let mut rows = Vec::new();
    for section in super::document::SECTIONS {
        flatten(section, &value[section], origins, &mut rows);
    }
    rows
}

fn flatten(name: &str, value: &Value, origins: &Origins, rows: &mut Vec<Explained>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                flatten(&format!("{name}.{key}"), value, origins, rows);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, element) in list.iter().enumerate() {
                let part = element["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
                flatten(&format!("{name}.{part}"), element, origins, rows);
            }
        }
        _ => rows.push(Explained {
            name: name.to_owned(),
            value: shown(name, value),
            origin: origins.of(name).clone(),
        }),
    }
}

fn shown(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        // A header may carry a credential.
        Value::String(_) if name.starts_with("channels.") && name.contains(".headers.") => {
            Some("(hidden)".to_owned())
        }
        Value::String(text) => Some(text.clone()),
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => Some(
            list.iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_before_decides() {
        let mut origins = Origins::default();
        origins.set("channels.openai", Origin::Environment { name: "OPENAI_API_KEY".into() });
        origins.set("server.listen", Origin::Flag { name: "--listen".into() });
        assert_eq!(origins.of("channels.openai.timeouts.idle").to_string(), "environment, OPENAI_API_KEY");
        assert_eq!(origins.of("server.listen").to_string(), "flag, --listen");
        assert_eq!(origins.of("server.log").to_string(), "default");
    }

    #[test]
    fn a_value_keeps_its_own_name_beside_that_of_its_origin() {
        let row = Explained {
            name: "channels.openai.name".into(),
            value: Some("openai".into()),
            origin: Origin::Environment { name: "OPENAI_API_KEY".into() },
        };
        assert_eq!(
            serde_json::to_value(row).unwrap(),
            serde_json::json!({
                "name": "channels.openai.name",
                "value": "openai",
                "origin": { "from": "environment", "name": "OPENAI_API_KEY" },
            })
        );
    }
}
