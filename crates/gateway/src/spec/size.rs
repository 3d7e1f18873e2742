//! Numbers of bytes, as operators write them.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written `512KiB`, `64MiB`, `10MB`, or as a plain number. Not 0: all are limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as \"64MiB\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                let size = ByteSize::parse(text).ok_or_else(|| {
                    E::custom(format!("`{text}` is not a number of bytes: write it as 512KiB or 64MiB"))
                })?;
                self.visit_u64(size.0)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ByteSize, E> {
                if number == 0 {
                    return Err(E::custom("0 bytes let nothing through: write it as 512KiB or 64MiB"));
                }
                Ok(ByteSize(number))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ByteSize, E> {
                let number =
                    u64::try_from(number).map_err(|_| E::custom(format!("`{number}` is below zero")))?;
                self.visit_u64(number)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, written `512KiB`, `64MiB`, `10MB`, or as a plain number.",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+ *([KkMmGg]?[Ii]?[Bb])?$",
            "minimum": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_are_read_and_shown() {
        let cases = [
            ("64MiB", 64 << 20, "64MiB"),
            ("1024", 1024, "1KiB"),
            ("10MB", 10_000_000, "10MB"),
            ("7 b", 7, "7B"),
            ("0", 0, "0"),
        ];
        for (text, bytes, shown) in cases {
            let size = ByteSize::parse(text).unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "99999999999GiB", "1TiBs"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
