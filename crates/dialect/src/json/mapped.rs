//! Objects that are read as such only.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A type that is read of an object. Its own reader would also take the list of its members' values, as `[1,2]`.
#[derive(Debug, Default)]
pub(crate) struct Mapped<T>(pub(crate) T);

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn an_object_is_read_and_nothing_else() {
        #[derive(Deserialize)]
        struct One<'a> {
            #[serde(borrow, default)]
            a: Option<&'a RawValue>,
        }
        let read = serde_json::from_str::<Mapped<One<'_>>>(r#"{"b":[],"a": {"c":1}}"#).unwrap();
        assert_eq!(read.0.a.map(RawValue::get), Some(r#"{"c":1}"#));
        for other in ["[1]", "[]", "5", "null", "\"a\"", "{} x"] {
            assert!(serde_json::from_str::<Mapped<One<'_>>>(other).is_err(), "{other}");
            assert!(serde_json::from_str::<Mapped<IgnoredAny>>(other).is_err(), "{other}");
        }
    }
}
