//! The text of a configuration file, read part by part, so that every part that is wrong is named at once.

use serde::de::DeserializeOwned;
use steelyard_billing::nearest;
use steelyard_gateway::spec::{ChannelSpec, PriceSpec, RouteSpec};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::model::Config;
use super::problem::{Place, Problem};

/// A file, with the places of everything in it.
pub(crate) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

/// One step on the way to a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'s> {
    /// Into a table.
    Key(&'s str),
    /// Into a list.
    Index(usize),
}

impl<'t> Document<'t> {
    /// Reads TOML; says everything that is wrong with it.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root });
        }
        // What follows the first fault on a line is mostly its echo.
        let mut problems: Vec<Problem> = Vec::new();
        for error in &errors {
            let problem = explain(text, error);
            let line = |problem: &Problem| problem.place.as_ref().map(|place| place.line);
            if problems.last().is_none_or(|last| line(last) != line(&problem)) {
                problems.push(problem);
            }
        }
        Err(problems)
    }

    /// The configuration that the file declares, over the defaults; or everything that does not fit.
    pub(crate) fn config(&self) -> Result<Config, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut config = Config::default();
        for (name, value) in self.root.get_ref() {
            match name.get_ref().as_ref() {
                "server" => self.section(value, &mut config.server, &mut problems),
                "ledger" => self.section(value, &mut config.ledger, &mut problems),
                "telemetry" => self.section(value, &mut config.telemetry, &mut problems),
                "responses" => self.section(value, &mut config.responses, &mut problems),
                "store" => self.section(value, &mut config.store, &mut problems),
                "channels" => config.channels = self.list::<ChannelSpec>("channels", value, &mut problems),
                "routes" => config.routes = self.list::<RouteSpec>("routes", value, &mut problems),
                "prices" => config.prices = self.list::<PriceSpec>("prices", value, &mut problems),
                other => {
                    let problem = Problem::error(format!("unknown section `{other}`"));
                    let help = suggestion(other, &SECTIONS);
                    problems.push(problem.help(help).at(Some(Place::of(self.text, &name.span()))));
                }
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn section<T: DeserializeOwned>(
        &self,
        value: &Spanned<DeValue<'t>>,
        into: &mut T,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(section) = self.table(value, problems) {
            *into = section;
        }
    }

    /// A table; or none, with every field of it that cannot be read. The reader stops at its first fault: so each
    /// field it stops at is named, taken away, and the rest is read again.
    fn table<T: DeserializeOwned>(
        &self,
        value: &Spanned<DeValue<'t>>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let mut value = value.clone();
        let mut faultless = true;
        loop {
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(table) => return faultless.then_some(table),
                Err(error) => error,
            };
            // What is missing now may have been taken away.
            if faultless || !error.message().starts_with("missing field ") {
                problems.push(explain(self.text, &error));
            }
            faultless = false;
            let at = error.span()?.start;
            let DeValue::Table(fields) = value.get_mut() else { return None };
            let wrong =
                fields.iter().find(|(key, value)| key.span().contains(&at) || value.span().contains(&at));
            let wrong = wrong.map(|(key, _)| key.get_ref().to_string())?;
            fields.remove(wrong.as_str());
        }
    }

    fn list<T: DeserializeOwned>(
        &self,
        name: &str,
        value: &Spanned<DeValue<'t>>,
        problems: &mut Vec<Problem>,
    ) -> Vec<T> {
        let Some(elements) = value.get_ref().as_array() else {
            let problem = Problem::error(format!("`{name}` is a list of tables"));
            let problem = problem.help(format!("write `[[{name}]]`, once for each"));
            problems.push(problem.at(Some(Place::of(self.text, &value.span()))));
            return Vec::new();
        };
        let mut list = Vec::new();
        for element in elements {
            list.extend(self.table(element, problems));
        }
        list
    }

    /// Where a value stands; the table around it when it is not there itself; none when the file does not hold even
    /// that.
    pub(crate) fn place(&self, path: &[Step<'_>]) -> Option<Place> {
        let mut here: Option<&Spanned<DeValue<'t>>> = None;
        for step in path {
            let next = match (step, here) {
                (Step::Key(key), None) => self.root.get_ref().get(*key),
                (Step::Key(key), Some(value)) => value.get_ref().as_table().and_then(|table| table.get(*key)),
                (Step::Index(index), Some(value)) => Some(value.get_ref().as_array()?.get(*index)?),
                (Step::Index(_), None) => None,
            };
            let Some(value) = next else { break };
            here = Some(value);
        }
        here.map(|value| Place::of(self.text, &value.span()))
    }

    /// Every value with its dotted name and its line. An element of a list goes by its `name`, else by its number.
    pub(crate) fn values(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for (key, value) in self.root.get_ref() {
            self.gather(key.get_ref().to_string(), value, &mut found);
        }
        found
    }

    fn gather(&self, name: String, value: &Spanned<DeValue<'t>>, found: &mut Vec<(String, usize)>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.gather(format!("{name}.{}", key.get_ref()), value, found);
                }
            }
            DeValue::Array(list) if list.iter().any(|element| element.get_ref().is_table()) => {
                for (index, element) in list.iter().enumerate() {
                    let own = element.get_ref().as_table().and_then(|table| table.get("name"));
                    let own = own.and_then(|own| own.get_ref().as_str());
                    let part = own.map_or_else(|| index.to_string(), str::to_owned);
                    self.gather(format!("{name}.{part}"), element, found);
                }
            }
            _ => found.push((name, Place::of(self.text, &value.span()).line)),
        }
    }
}

/// The names of the sections.
pub(crate) const SECTIONS: [&str; 8] =
    ["server", "ledger", "store", "telemetry", "responses", "channels", "routes", "prices"];

fn suggestion(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known.iter().copied(), 1).pop() {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are `{}`", known.join("`, `")),
    }
}

/// A problem out of what the TOML reader says.
fn explain(text: &str, error: &toml::de::Error) -> Problem {
    let place = error.span().map(|span| Place::of(text, &span));
    let said = error.message();
    let (what, expected) = said.split_once(", expected ").unwrap_or((said, ""));
    for word in ["unknown field", "unknown variant"] {
        let Some(wrong) = what.strip_prefix(word) else { continue };
        let wrong = wrong.trim().trim_matches('`');
        let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        let word = if word == "unknown variant" { "unknown value" } else { word };
        return Problem::error(format!("{word} `{wrong}`")).help(suggestion(wrong, &known)).at(place);
    }
    if let Some(field) = said.strip_prefix("missing field ") {
        return Problem::error(format!("{field} is missing")).help(format!("give {field} here")).at(place);
    }
    // "invalid type: string "…", expected …" repeats the value, which may be a secret.
    if let Some(given) = what.strip_prefix("invalid type: ") {
        let kind = given.split([' ', '`', '"']).next().unwrap_or(given);
        let kind = if kind == "floating" { "number with a fraction" } else { kind };
        let help = match expected {
            "a TOML datetime" => "write a date without quotes, such as 2026-01-01".to_owned(),
            expected => format!("expected {expected}"),
        };
        let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        return Problem::error(format!("{article} {kind} cannot stand here")).help(help).at(place);
    }
    if let Some(number) = what.strip_prefix("invalid value: integer ") {
        let range = match expected {
            "u8" => "a whole number from 0 to 255",
            "u32" => "a whole number from 0 to 4294967295",
            "u64" => "a whole number, 0 or more",
            other => other,
        };
        return Problem::error(format!("{number} does not fit")).help(format!("expected {range}")).at(place);
    }
    let message = said.trim_end().replace('\n', "; ");
    let mut letters = message.chars();
    let message =
        letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect());
    Problem::error(message).at(place)
}
