//! Objects whose members have two names: `inlineData` and `inline_data` are one. Only the names that somebody asks for
//! are the wire's; what is inside arguments and schemas is never looked at. A fault calls a member as its client did.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::json::{At, Extra, Fault, Fields, string};

/// An object, read by its names in camel case.
#[derive(Debug)]
pub(crate) struct Members<'a, 'p> {
    pub(crate) at: &'p At<'p>,
    fields: Fields<'a, 'p>,
}

impl<'a, 'p> Members<'a, 'p> {
    /// The whole body.
    pub(crate) fn of_text(text: &'a str, at: &'p At<'p>) -> Result<Self, Fault> {
        Fields::of_text(text, at).map(Self::from)
    }

    /// A member that must be an object.
    pub(crate) fn of(raw: &'a RawValue, at: &'p At<'p>) -> Result<Self, Fault> {
        Fields::of(raw, at).map(Self::from)
    }

    /// The name as the client wrote it. One that stands under both its names is refused: who knows which is meant.
    pub(crate) fn name<'n>(&self, name: &'n str) -> Result<Cow<'n, str>, Fault> {
        let snake = snake(name);
        match (self.fields.has(name), snake != name && self.fields.has(&snake)) {
            (true, true) => {
                let at = self.at.field(&snake);
                Err(Fault::invalid(&at, format!("`{at}` appears twice, once as `{name}`: write one of them")))
            }
            (false, true) => Ok(Cow::Owned(snake)),
            (_, false) => Ok(Cow::Borrowed(name)),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Option<&'a RawValue>, Fault> {
        let name = self.name(name)?;
        Ok(self.fields.take(&name))
    }

    pub(crate) fn need(&mut self, name: &str) -> Result<&'a RawValue, Fault> {
        let name = self.name(name)?;
        self.fields.need(&name)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let name = self.name(name)?;
        self.fields.text(&name)
    }

    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, Fault> {
        let name = self.name(name)?;
        self.fields.need_text(&name)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        let name = self.name(name)?;
        self.fields.flag(&name)
    }

    pub(crate) fn number(&mut self, name: &str, min: f64, max: f64) -> Result<Option<f64>, Fault> {
        let name = self.name(name)?;
        self.fields.number(&name, min, max)
    }

    pub(crate) fn opt<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Fault> {
        let name = self.name(name)?;
        self.fields.opt(&name, expected)
    }

    /// A whole number. Google's SDKs write some of them as `40.0`, and protocol buffers as strings.
    pub(crate) fn whole(&mut self, name: &str, min: i64, max: i64) -> Result<Option<i64>, Fault> {
        let name = self.name(name)?;
        let Some(raw) = self.fields.take(&name) else { return Ok(None) };
        let at = self.at.field(&name);
        let Some(value) = whole(raw) else { return Err(Fault::mistyped(&at, "a whole number", raw)) };
        if (min..=max).contains(&value) {
            return Ok(Some(value));
        }
        let text = match max {
            i64::MAX => format!("`{at}` must be at least {min}"),
            _ => format!("`{at}` must be between {min} and {max}"),
        };
        Err(Fault::invalid(&at, text))
    }

    /// A whole number from `min` up.
    pub(crate) fn count(&mut self, name: &str, min: u32, max: u32) -> Result<Option<u64>, Fault> {
        let most = if max == u32::MAX { i64::MAX } else { i64::from(max) };
        Ok(self.whole(name, i64::from(min), most)?.and_then(|count| u64::try_from(count).ok()))
    }

    /// The members that nobody took.
    pub(crate) fn rest(self) -> Extra {
        self.fields.rest()
    }
}

impl<'a, 'p> From<Fields<'a, 'p>> for Members<'a, 'p> {
    fn from(fields: Fields<'a, 'p>) -> Self {
        Self { at: fields.at, fields }
    }
}

/// A whole number in any of its forms.
pub(crate) fn whole(raw: &RawValue) -> Option<i64> {
    let text = string(raw);
    let text = text.as_deref().unwrap_or_else(|| raw.get());
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range, as checked")]
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    })
}

/// `inlineData` as `inline_data`.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_under_either_name_and_called_as_it_was_written() {
        let text = r#"{"inline_data":1,"topK":40.0,"maxOutputTokens":"7","top_p":true,"a_b":1,"aB":2}"#;
        let mut members = Members::of_text(text, &At::Root).unwrap();
        assert_eq!(members.take("inlineData").unwrap().unwrap().get(), "1");
        assert_eq!(members.count("topK", 1, u32::MAX), Ok(Some(40)));
        assert_eq!(members.count("maxOutputTokens", 1, u32::MAX), Ok(Some(7)));
        assert_eq!(members.number("topP", 0.0, 1.0).unwrap_err().at, "top_p");
        assert_eq!(members.text("aB").unwrap_err().at, "a_b");
    }

    #[test]
    fn numbers_are_whole_in_any_form() {
        for (text, value) in [
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("7.0", Some(7)),
            ("\"7\"", Some(7)),
            ("7.5", None),
            ("1e300", None),
            ("true", None),
        ] {
            assert_eq!(whole(serde_json::from_str(text).unwrap()), value, "{text}");
        }
    }
}
