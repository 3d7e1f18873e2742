//! From a usage to a charge.
//!
//! Constraints: exact, no rounding; every class that was used is on a line or flagged as unpriced; a class
//! without a price is priced by a dearer one and flagged, never at zero; the same version, usage, tier and
//! geography always give the same charge. The common case allocates once, for the lines.
//!
//! How a class without a price of its own at a call's tier, geography and prompt length is priced:
//!
//! | class | substitutes |
//! |---|---|
//! | `cache_read` | `input` |
//! | `cache_write_5m`, `_1h`, `_12h` | the other cache writes, `input` |
//! | `reasoning` | `output` |
//! | `audio_in`, `image_in` | `input` |
//! | `video_in` | `image_in`, `input` |
//! | `audio_cache_read`, `image_cache_read` | `audio_in` or `image_in`, `input` |
//! | `audio_out`, `image_out` | `output` |
//! | `input`, `output`, `web_search`, `maps_grounding`, `calls` | none |
//!
//! 1. By the dearest substitute that has a price right there, if it is nowhere in this version cheaper than the
//!    class itself ([`Flag::Substituted`]).
//! 2. Otherwise by the dearest price that this version has for the class at the call's own tier in any geography, or
//!    for such a substitute there, for prompts no longer than this one ([`Flag::GeoAssumed`]). Tiers differ by more
//!    than places do, and the vendor says which tier it was.
//! 3. Otherwise by the dearest price that this version has for the class or a substitute, at any tier and in any
//!    geography, for prompts no longer than this one ([`Flag::Dearest`]). So an unknown tier is never a discount.
//! 4. If there is none, the class is unpriced and so is the whole charge ([`Flag::Unpriced`]).
#![deny(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_arithmetic)]

use std::fmt;

use steelyard_core::{Money, UnitPrice, Usage, UsageClass};

use crate::price::{Place, PriceVersion};

/// A priced usage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charge {
    /// One line for each class that was used and has a price.
    pub lines: Vec<Line>,
    /// The sum of the lines; none if a class that was used has no price.
    pub amount: Option<Money>,
    /// What an auditor should know about it.
    pub flags: Vec<Flag>,
}

/// One class of a charge: `amount` is exactly `units` times `price`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What was used.
    pub class: UsageClass,
    /// The class whose price was taken: itself, or a substitute.
    pub priced_as: UsageClass,
    /// How many.
    pub units: u64,
    /// How much for each.
    pub price: UnitPrice,
    /// How much for all.
    pub amount: Money,
}

/// A note about a charge. Its text is stable: `reasoning_as_output`, `input_at_dearest`, `calls_unpriced`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The class has no price there and took that of a class that is not cheaper.
    Substituted {
        /// What was used.
        class: UsageClass,
        /// Whose price was taken.
        priced_as: UsageClass,
    },
    /// The version does not say what the class costs in this geography: it took that of the dearest geography at the
    /// call's tier.
    GeoAssumed {
        /// What was used.
        class: UsageClass,
    },
    /// The version does not say what the class costs at this tier: it took the dearest price that it has.
    Dearest {
        /// What was used.
        class: UsageClass,
    },
    /// The version has no price for the class, so the charge has no amount.
    Unpriced {
        /// What was used.
        class: UsageClass,
    },
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Substituted { class, priced_as } => write!(f, "{}_as_{}", class.name(), priced_as.name()),
            Self::GeoAssumed { class } => write!(f, "{}_geo_assumed", class.name()),
            Self::Dearest { class } => write!(f, "{}_at_dearest", class.name()),
            Self::Unpriced { class } => write!(f, "{}_unpriced", class.name()),
        }
    }
}

/// The classes that make up a prompt. Their sum decides whether a long-context price applies.
pub const PROMPT_CLASSES: &[UsageClass] = &[
    UsageClass::Input,
    UsageClass::CacheRead,
    UsageClass::CacheWrite5m,
    UsageClass::CacheWrite1h,
    UsageClass::CacheWrite12h,
    UsageClass::AudioIn,
    UsageClass::AudioCacheRead,
    UsageClass::ImageIn,
    UsageClass::ImageCacheRead,
    UsageClass::VideoIn,
];

/// The classes that make up an answer.
pub const ANSWER_CLASSES: &[UsageClass] =
    &[UsageClass::Output, UsageClass::Reasoning, UsageClass::AudioOut, UsageClass::ImageOut];

/// The tokens of the prompt, cached ones included.
pub fn prompt_tokens(usage: &Usage) -> u64 {
    PROMPT_CLASSES.iter().fold(0, |sum, class| sum.saturating_add(usage[*class]))
}

/// What may stand in for a class; the table at the head of this module.
const fn substitutes(class: UsageClass) -> &'static [UsageClass] {
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h, Calls,
        ImageCacheRead, ImageIn, ImageOut, Input, MapsGrounding, Output, Reasoning, VideoIn, WebSearch,
    };
    match class {
        Input | Output | WebSearch | MapsGrounding | Calls => &[],
        CacheRead | AudioIn | ImageIn => &[Input],
        CacheWrite5m => &[CacheWrite1h, CacheWrite12h, Input],
        CacheWrite1h => &[CacheWrite12h, CacheWrite5m, Input],
        CacheWrite12h => &[CacheWrite1h, CacheWrite5m, Input],
        Reasoning | AudioOut | ImageOut => &[Output],
        AudioCacheRead => &[AudioIn, Input],
        VideoIn | ImageCacheRead => &[ImageIn, Input],
    }
}

/// A price and how it was come by.
pub(crate) struct Found {
    pub(crate) price: UnitPrice,
    priced_as: UsageClass,
    flag: Option<Flag>,
}

impl PriceVersion {
    /// The charge for `usage`, served at `tier` in `geo`: the tier the vendor reported (`default` is `standard`),
    /// the geography of the offer. A prompt longer than a threshold has the whole call priced by that context.
    pub fn rate(&self, usage: &Usage, tier: &str, geo: &str) -> Charge {
        let place = self.place(tier, geo, prompt_tokens(usage));
        let mut lines = Vec::with_capacity(usage.counted().count());
        let mut flags = Vec::new();
        let mut amount = Some(Money::ZERO);
        for (class, units) in usage.counted() {
            let Some(Found { price, priced_as, flag }) = self.find(class, place) else {
                flags.push(Flag::Unpriced { class });
                amount = None;
                continue;
            };
            flags.extend(flag);
            let line = Line { class, priced_as, units, price, amount: price.times(units) };
            amount = amount.map(|sum| sum + line.amount);
            lines.push(line);
        }
        Charge { lines, amount, flags }
    }

    /// The price of `class` at `place`, by the rules at the head of this module.
    pub(crate) fn find(&self, class: UsageClass, place: Place) -> Option<Found> {
        if let Some((price, priced_as)) = self.own_or_substitute(class, |other| self.exact(other, place)) {
            let flag = (priced_as != class).then_some(Flag::Substituted { class, priced_as });
            return Some(Found { price, priced_as, flag });
        }
        let in_tier = |other| self.dearest_in_tier(other, place);
        if let Some((price, priced_as)) = self.own_or_substitute(class, in_tier) {
            return Some(Found { price, priced_as, flag: Some(Flag::GeoAssumed { class }) });
        }
        let anywhere = [class].into_iter().chain(substitutes(class).iter().copied());
        let priced = anywhere.filter_map(|other| Some((self.dearest(other, place)?, other)));
        let (price, priced_as) = priced.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        Some(Found { price, priced_as, flag: Some(Flag::Dearest { class }) })
    }

    /// By `price`, that of the class, else of the dearest substitute that is nowhere cheaper than it.
    fn own_or_substitute(
        &self,
        class: UsageClass,
        price: impl Fn(UsageClass) -> Option<UnitPrice>,
    ) -> Option<(UnitPrice, UsageClass)> {
        if let Some(own) = price(class) {
            return Some((own, class));
        }
        let priced = substitutes(class).iter().filter_map(|other| Some((price(*other)?, *other)));
        // The first of equals wins, so that the table's order decides.
        let dearest = priced.reduce(|best, next| if next.0 > best.0 { next } else { best });
        dearest.filter(|(_, other)| self.never_cheaper(*other, class))
    }
}

#[cfg(test)]
mod tests;
