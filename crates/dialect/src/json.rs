//! JSON by spans: objects are read member by member with the path of every fault, and written in order.
//!
//! Values that Steelyard only carries ([`Json`]) keep their bytes, because the order of a schema's properties
//! is part of its meaning. Skipping a value needs no stack, however deep it is.

mod at;
mod carried;
mod mapped;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use steelyard_core::{ApiError, ErrorCode};

pub(crate) use at::{At, Unread};
pub(crate) use carried::compact;
pub use carried::{Extra, Json};
pub(crate) use mapped::Mapped;
pub(crate) use write::Object;

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Which sort: [`ErrorCode::MalformedJson`], [`ErrorCode::InvalidField`] or [`ErrorCode::MissingField`].
    pub code: ErrorCode,
    /// The path of the member at fault (`messages[2].content`); empty for the whole.
    pub at: String,
    /// The text for the caller.
    pub text: String,
}

impl Fault {
    pub(crate) fn invalid(at: &At<'_>, text: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidField, at: at.to_string(), text: text.into() }
    }

    pub(crate) fn missing(at: &At<'_>) -> Self {
        let at = at.to_string();
        Self { code: ErrorCode::MissingField, text: format!("`{at}` is required"), at }
    }

    /// A value of another type than the field takes.
    pub(crate) fn mistyped(at: &At<'_>, expected: &str, raw: &RawValue) -> Self {
        let strings = raw.get().starts_with('"') || expected.contains("strings");
        if let Some((escape, place)) = half_surrogate(raw.get()).filter(|_| strings) {
            let text = format!(
                "`{at}` holds half of a surrogate pair, which is no Unicode text: {escape} at byte {place} of the value"
            );
            return Self::invalid(at, text);
        }
        let text = match (raw.get().as_bytes().first(), kind_of(raw)) {
            (Some(b'-' | b'0'..=b'9'), _) => {
                format!("`{at}` must be {expected}, not {}", raw.get().chars().take(40).collect::<String>())
            }
            (_, kind) => format!("`{at}` must be {expected}, not {kind}"),
        };
        Self::invalid(at, text)
    }

    fn malformed(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::invalid(&At::Root, "the body must be a JSON object");
        }
        Self {
            code: ErrorCode::MalformedJson,
            at: String::new(),
            text: format!("the body is not valid JSON: {error}"),
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let error = Self::new(fault.code, fault.text);
        if fault.at.is_empty() { error } else { error.with_param(fault.at) }
    }
}

/// The body as text. JSON is UTF-8 throughout, also in the members that are skipped.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(body).map_err(|error| Fault {
        code: ErrorCode::MalformedJson,
        at: String::new(),
        text: format!("the body is not UTF-8: the byte at offset {} is invalid", error.valid_up_to()),
    })
}

/// Whether `text` is one JSON value and nothing else. Values are not looked at: an escape that is half a character passes,
/// as it does with most readers.
pub(crate) fn one_value(text: &str) -> Result<(), Fault> {
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(|_| ()).map_err(|error| Fault {
        code: ErrorCode::MalformedJson,
        at: String::new(),
        text: format!("it is not valid JSON: {error}"),
    })
}

pub(crate) fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Reads a list; null is an empty one, and nulls in it are left out. For members that may be absent.
pub(crate) fn without_nulls<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Option::<Vec<Option<T>>>::deserialize(deserializer)?;
    Ok(list.unwrap_or_default().into_iter().flatten().collect())
}

/// Reads a value; null is the same as absent.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The first escape that is half of a pair, and where it stands. JSON's grammar allows it, Unicode does not.
fn half_surrogate(text: &str) -> Option<(&str, usize)> {
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut at = 0;
    while let Some(next) = text.get(at..)?.find('\\') {
        at += next;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => return Some((&text[at..at + 6], at)),
            _ => 2,
        };
    }
    None
}

/// The span of a value inside the text it was borrowed from.
pub(crate) fn span(text: &[u8], part: &str) -> std::ops::Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// A JSON string's value, borrowed when it holds no escape. None if `raw` is no string.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

/// Reads the members of the one object in `text`, in order. `each` gets the key and must take the value.
pub(crate) fn members<'a>(text: &'a str, each: impl FnMut(Cow<'a, str>, &'a RawValue)) -> Result<(), Fault> {
    struct Members<F>(F);
    impl<'a, F: FnMut(Cow<'a, str>, &'a RawValue)> Visitor<'a> for Members<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key_seed(Key)? {
                (self.0)(key, map.next_value()?);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader
        .deserialize_map(Members(each))
        .and_then(|()| reader.end())
        .map_err(|error| Fault::malformed(&error))
}

/// A key, borrowed when it holds no escape.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }
    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// An object whose members are taken one by one.
///
/// What is left over is either kept ([`Fields::rest`]), goes on with the whole object ([`Fields::whole`]), or is let go: of a
/// request it is then noted as [`Unread`], and named as a loss. A reader need do nothing for that.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'p> {
    pub(crate) at: &'p At<'p>,
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a, 'p> Fields<'a, 'p> {
    /// The whole body.
    pub(crate) fn of_text(text: &'a str, at: &'p At<'p>) -> Result<Self, Fault> {
        let mut found = BTreeMap::new();
        let mut repeated = None;
        members(text, |key, value| {
            if let Some(key) = found.insert(key.clone(), value).map(|_| key) {
                repeated.get_or_insert(key);
            }
        })?;
        match repeated {
            Some(key) => Err(Fault::invalid(&at.field(&key), format!("`{}` appears twice", at.field(&key)))),
            None => Ok(Self { at, members: found }),
        }
    }

    /// A member that must be an object.
    pub(crate) fn of(raw: &'a RawValue, at: &'p At<'p>) -> Result<Self, Fault> {
        if !raw.get().starts_with('{') {
            return Err(Fault::mistyped(at, "an object", raw));
        }
        Self::of_text(raw.get(), at)
    }

    /// Whether there is a member by that name which nobody took, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The member by that name. Null is the same as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.members.remove(name).filter(|raw| raw.get() != "null")
    }

    /// The member by that name, which must be there.
    pub(crate) fn need(&mut self, name: &str) -> Result<&'a RawValue, Fault> {
        self.take(name).ok_or_else(|| Fault::missing(&self.at.field(name)))
    }

    /// The member as a type; `expected` is how an error calls it.
    pub(crate) fn opt<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Fault> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        match serde_json::from_str(raw.get()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Fault::mistyped(&self.at.field(name), expected, raw)),
        }
    }

    /// The member as a string.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        match string(raw) {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(Fault::mistyped(&self.at.field(name), "a string", raw)),
        }
    }

    /// The member if it is a string; anything else stays among the [`Fields::rest`].
    pub(crate) fn text_or_leave(&mut self, name: &str) -> Option<String> {
        let text = self.members.get(name).copied().and_then(string)?.into_owned();
        self.members.remove(name);
        Some(text)
    }

    /// The member if `read` can make something of it; otherwise it stays among the [`Fields::rest`].
    pub(crate) fn take_if<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.members.get(name).copied()?)?;
        self.members.remove(name);
        Some(value)
    }

    /// The member as a string, which must be there.
    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or_else(|| Fault::missing(&self.at.field(name)))
    }

    /// The member as a boolean.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        self.opt(name, "a boolean")
    }

    /// The member as a number in a range. Read by the standard library, which loses no digit.
    pub(crate) fn number(&mut self, name: &str, min: f64, max: f64) -> Result<Option<f64>, Fault> {
        let Some(raw) = self.take(name) else { return Ok(None) };
        let at = self.at.field(name);
        match raw.get().parse::<f64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
            Ok(_) => Err(Fault::invalid(&at, format!("`{at}` must be between {min} and {max}"))),
            Err(_) => Err(Fault::mistyped(&at, "a number", raw)),
        }
    }

    /// The member as a whole number in a range.
    pub(crate) fn count(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Fault> {
        let value = self.opt::<u64>(name, "a whole number")?;
        if value.is_some_and(|value| !(min..=max).contains(&value)) {
            let at = self.at.field(name);
            let text = match max {
                u64::MAX => format!("`{at}` must be at least {min}"),
                _ => format!("`{at}` must be between {min} and {max}"),
            };
            return Err(Fault::invalid(&at, text));
        }
        Ok(value)
    }

    /// The member as it is written.
    pub(crate) fn json(&mut self, name: &str) -> Option<Json> {
        self.take(name).map(Json::from)
    }

    /// The members that nobody took, without nulls.
    pub(crate) fn rest(mut self) -> Extra {
        std::mem::take(&mut self.members)
            .into_iter()
            .filter(|(_, raw)| raw.get() != "null")
            .map(|(key, raw)| (key.into_owned(), Json::from(raw)))
            .collect()
    }

    /// The object goes on as it was written, with all that is in it.
    pub(crate) fn whole(mut self) {
        self.members.clear();
        self.at.carried();
    }
}

impl Drop for Fields<'_, '_> {
    fn drop(&mut self) {
        let lost = self.members.iter().filter(|(_, raw)| says_something(raw));
        lost.for_each(|(name, _)| self.at.field(name).note());
    }
}

/// Whether a member is more than null, or an array or an object of nothing.
fn says_something(raw: &RawValue) -> bool {
    let inside = match raw.get().as_bytes() {
        b"null" => return false,
        [b'[', inside @ .., b']'] | [b'{', inside @ .., b'}'] => inside,
        _ => return true,
    };
    !inside.trim_ascii().is_empty()
}

/// The elements of a member that must be an array.
pub(crate) fn elements<'a>(raw: &'a RawValue, at: &At<'_>) -> Result<Vec<&'a RawValue>, Fault> {
    serde_json::from_str(raw.get()).map_err(|_| Fault::mistyped(at, "an array", raw))
}

/// What `read` makes of the elements of an array. Those of which it makes nothing are left unread, each as a whole.
pub(crate) fn readable<T>(
    raw: &RawValue,
    at: &At<'_>,
    read: impl Fn(&RawValue, &At<'_>) -> Option<T>,
) -> Vec<T> {
    let Ok(raws) = elements(raw, at) else {
        at.unreadable();
        return Vec::new();
    };
    let one = |(index, raw): (usize, &RawValue)| {
        let at = at.index(index);
        let value = read(raw, &at);
        if value.is_none() {
            at.unreadable();
        }
        value
    };
    raws.into_iter().enumerate().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_json_keeps_its_order_and_loses_its_white_space() {
        let json = Json::parse("{ \"b\" : [ 1,\n 2 ] ,\t\"a\": \" \\\" { \" }").unwrap();
        assert_eq!(json.get(), r#"{"b":[1,2],"a":" \" { "}"#);
        assert_eq!(json, serde_json::from_str(json.get()).unwrap());
        assert_eq!(compact("17"), Cow::Borrowed("17"));
        assert!(Json::parse("{} {}").is_err());
    }

    #[test]
    fn half_a_pair_is_found_and_a_whole_one_is_not() {
        assert_eq!(half_surrogate(r#""a\ud83d\ude00\\ud800""#), None, "a pair, and a backslash");
        assert_eq!(half_surrogate(r#""a\ud800b""#), Some((r"\ud800", 2)));
        assert_eq!(half_surrogate(r#"["x","\ude00\ud83d"]"#), Some((r"\ude00", 6)));
        assert_eq!(half_surrogate(r#""\uD83Dü\""#), Some((r"\uD83D", 1)));
        assert_eq!(half_surrogate("ü\\"), None);
    }

    #[test]
    fn a_place_is_written_as_a_path() {
        let (list, name) = (At::Root.field("messages"), "content".to_owned());
        let message = list.index(2);
        assert_eq!(message.field(&name).to_string(), "messages[2].content");
        assert_eq!(At::Root.to_string(), "");
    }

    #[test]
    fn fields_are_taken_once_and_the_rest_is_kept() {
        let text = r#"{"a":1,"none":null,"b":"x","\u0063":{"d":[ ]}}"#;
        let mut fields = Fields::of_text(text, &At::Root).unwrap();
        assert_eq!(fields.count("a", 1, 1), Ok(Some(1)));
        assert_eq!(fields.text("none"), Ok(None));
        assert_eq!(fields.need_text("b"), Ok("x".into()));
        let rest = fields.rest();
        assert_eq!(rest.len(), 1);
        assert_eq!(rest["c"].get(), r#"{"d":[]}"#);
    }

    #[test]
    fn what_is_let_go_is_unread_unless_it_is_kept_or_goes_on_whole() {
        let read = |mut body: Fields<'_, '_>| {
            let list = body.at.field("list");
            for (index, raw) in elements(body.need("list")?, &list)?.into_iter().enumerate() {
                let at = list.index(index);
                let mut item = Fields::of(raw, &at)?;
                let inner = at.field("in");
                let mut held = Fields::of(item.need("in")?, &inner)?;
                held.take("known");
                drop(held);
                match index {
                    1 => assert_eq!(item.rest().len(), 1),
                    2 => item.whole(),
                    _ => {}
                }
            }
            Ok(())
        };
        let item = r#"{"in":{"known":1,"new":2},"own":false,"none":null,"nothing":[ ],"empty":{}}"#;
        let kept = item.replace(r#","nothing":[ ],"empty":{}"#, "");
        let text = format!(r#"{{"list":[{item},{kept},{item}],"last":"x"}}"#);
        let ((), unread) = Unread::of(&text, read).unwrap();
        assert_eq!(unread, ["list[0].in.new", "list[0].own", "list[1].in.new", "last"]);
        let read = |mut body: Fields<'_, '_>| {
            let list = body.at.field("list");
            let number =
                |raw: &RawValue, at: &At<'_>| Fields::of(raw, at).ok()?.opt::<u8>("n", "a number").ok()?;
            Ok(readable(body.need("list")?, &list, number))
        };
        let text = r#"{"list":[{"n":1,"new":1},{"m":1,"l":2},7,{"n":"x"},{"n":2}]}"#;
        let (numbers, unread) = Unread::of(text, read).unwrap();
        assert_eq!(
            (numbers, unread.join(" ")),
            (vec![1, 2], "list[0].new list[1] list[2] list[3]".to_owned())
        );
        assert_eq!(Unread::of(r#"{"list":{"a":1}}"#, read).unwrap(), (vec![], vec!["list".to_owned()]));
    }
}
