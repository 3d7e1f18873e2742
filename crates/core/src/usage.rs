//! What a call used, by class. Classes are disjoint: `output` excludes `reasoning`, `input` excludes
//! everything read from or written to a cache. Each wire's own convention is converted once, at its edge.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Index, IndexMut};
use std::str::FromStr;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A class of units that has a price of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum UsageClass { $($(#[$doc])* $variant,)* }

        impl UsageClass {
            /// Every class, in the order of the columns of a bill.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on every wire and in every table.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl FromStr for UsageClass {
            type Err = UnknownClass;
            fn from_str(text: &str) -> Result<Self, UnknownClass> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownClass(text.chars().take(80).collect())),
                }
            }
        }
    };
}

classes! {
    /// Prompt tokens that were neither read from nor written to a cache.
    Input = "input",
    /// Prompt tokens read from a cache.
    CacheRead = "cache_read",
    /// Prompt tokens written to a cache that keeps them five minutes (or for the vendor's only lifetime).
    CacheWrite5m = "cache_write_5m",
    /// Prompt tokens written to a cache that keeps them an hour.
    CacheWrite1h = "cache_write_1h",
    /// Prompt tokens written to a cache that keeps them twelve hours.
    CacheWrite12h = "cache_write_12h",
    /// Generated tokens without reasoning.
    Output = "output",
    /// Generated reasoning tokens.
    Reasoning = "reasoning",
    /// Audio tokens in the prompt.
    AudioIn = "audio_in",
    /// Audio tokens in the prompt, read from a cache.
    AudioCacheRead = "audio_cache_read",
    /// Generated audio tokens.
    AudioOut = "audio_out",
    /// Image tokens in the prompt.
    ImageIn = "image_in",
    /// Image tokens in the prompt, read from a cache.
    ImageCacheRead = "image_cache_read",
    /// Generated image tokens.
    ImageOut = "image_out",
    /// Video tokens in the prompt.
    VideoIn = "video_in",
    /// Web searches that the vendor ran.
    WebSearch = "web_search",
    /// Map look-ups that the vendor ran.
    MapsGrounding = "maps_grounding",
    /// Calls, where each has a price.
    Calls = "calls",
}

/// A usage class that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a usage class")]
pub struct UnknownClass(String);

/// Counts by class. Absent classes are zero; JSON shows the others as a map.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage([u64; UsageClass::ALL.len()]);

impl Usage {
    /// Nothing used.
    pub const ZERO: Self = Self([0; UsageClass::ALL.len()]);

    /// The classes with a count, in the order of [`UsageClass::ALL`].
    pub fn counted(&self) -> impl Iterator<Item = (UsageClass, u64)> + '_ {
        UsageClass::ALL.iter().map(|class| (*class, self[*class])).filter(|(_, count)| *count > 0)
    }

    /// Whether every count is zero.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
}

impl Index<UsageClass> for Usage {
    type Output = u64;
    fn index(&self, class: UsageClass) -> &u64 {
        &self.0[class as usize]
    }
}

impl IndexMut<UsageClass> for Usage {
    fn index_mut(&mut self, class: UsageClass) -> &mut u64 {
        &mut self.0[class as usize]
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }
}

impl FromIterator<(UsageClass, u64)> for Usage {
    fn from_iter<I: IntoIterator<Item = (UsageClass, u64)>>(counts: I) -> Self {
        let mut usage = Self::ZERO;
        for (class, count) in counts {
            usage[class] = usage[class].saturating_add(count);
        }
        usage
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.counted().map(|(class, count)| (class.name(), count))).finish()
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (class, count) in self.counted() {
            map.serialize_entry(class.name(), &count)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Usage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = Usage;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from usage class to count")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Usage, A::Error> {
                let mut counts = BTreeMap::new();
                while let Some((name, count)) = map.next_entry::<String, u64>()? {
                    counts.insert(name.parse::<UsageClass>().map_err(serde::de::Error::custom)?, count);
                }
                Ok(counts.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_map_of_what_was_counted() {
        let usage: Usage = [(UsageClass::Output, 5), (UsageClass::CacheRead, 2)].into_iter().collect();
        let json = serde_json::to_string(&usage).unwrap();
        assert_eq!(json, r#"{"cache_read":2,"output":5}"#);
        assert_eq!(serde_json::from_str::<Usage>(&json).unwrap(), usage);
        assert!(serde_json::from_str::<Usage>(r#"{"tokens":1}"#).is_err());
    }

    #[test]
    fn every_class_parses_from_its_name() {
        for class in UsageClass::ALL {
            assert_eq!(class.name().parse(), Ok(*class));
        }
    }
}
