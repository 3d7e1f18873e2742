//! The worst case of a call, held before its first byte goes upstream.
//!
//! Constraint: whatever usage a vendor reports within the bounds of the call, its charge is not above the worst
//! case. Where there is no bound or no price there is no worst case, and a hard budget refuses the call.
#![deny(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_arithmetic)]

use steelyard_core::{Money, UnitPrice, UsageClass};

use crate::price::{Place, PriceVersion};
use crate::rate::{ANSWER_CLASSES, PROMPT_CLASSES};

/// Tokens that a vendor adds to a prompt on its own: roles, separators, and the system prompt that turns tool
/// definitions into text, which Anthropic prints as some hundreds of tokens by model ("Tool use", pricing).
/// Rounded up, and the same for every model.
pub const OVERHEAD_TOKENS: u64 = 1_024;

/// The most that one inline picture counts. `OpenAI`'s small models charge the most: 2,833 tokens and 5,667 for
/// each of at most eight tiles (`OpenAI`, "Images and vision", calculating costs).
pub const MEDIA_TOKENS: u64 = 50_000;

/// What is known about the size of a call before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallBound {
    /// Bytes of the body. A token is at least one byte, so no prompt has more text tokens than bytes.
    pub input_bytes: u64,
    /// Inline pictures, sounds and documents.
    pub media: u64,
    /// Whether the prompt holds something whose size cannot be known here: a URL, a file id, an earlier response.
    pub unknowable: bool,
    /// Whether the vendor may run tools of its own, each use of which may have a price.
    pub hosted_tools: bool,
    /// The most tokens of one answer that the caller allows, reasoning included; zero where there is no answer
    /// to generate (embeddings).
    pub output_cap: Option<u64>,
    /// How many answers are asked for; none asked for is one.
    pub choices: u64,
    /// The model's context window.
    pub context_window: Option<u64>,
    /// The model's largest answer, which holds where the caller set no cap.
    pub max_output: Option<u64>,
}

impl CallBound {
    /// The most tokens the prompt can have; none if that cannot be known.
    pub fn prompt_tokens(&self) -> Option<u64> {
        let media = self.media.saturating_mul(MEDIA_TOKENS);
        let visible = self.input_bytes.saturating_add(OVERHEAD_TOKENS).saturating_add(media);
        if self.unknowable { self.context_window.map(|window| window.max(visible)) } else { Some(visible) }
    }

    /// The most tokens all answers can have together; none if that cannot be known.
    pub fn answer_tokens(&self) -> Option<u64> {
        self.output_cap.or(self.max_output).map(|cap| cap.saturating_mul(self.choices.max(1)))
    }
}

/// The dearest prices that a call can meet whose prompt crosses no more than a given threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Of a prompt token; none if `input` has no price.
    text: Option<UnitPrice>,
    /// The same where the prompt may hold media.
    media: Option<UnitPrice>,
    /// Of an answer's token; none if `output` has no price.
    answer: Option<UnitPrice>,
    /// Of a call as such.
    call: Option<UnitPrice>,
}

impl Ceiling {
    /// The ceiling of `version` over all of `places`.
    pub(crate) fn of(version: &PriceVersion, places: &(impl Iterator<Item = Place> + Clone)) -> Self {
        let dearest = |class: UsageClass| {
            places.clone().filter_map(|place| version.find(class, place)).map(|found| found.price).max()
        };
        let over = |main: UsageClass, classes: &mut dyn Iterator<Item = UsageClass>| {
            let main = dearest(main)?;
            Some(classes.filter_map(dearest).fold(main, UnitPrice::max))
        };
        let prompt = || PROMPT_CLASSES.iter().copied();
        Self {
            text: over(UsageClass::Input, &mut prompt().filter(|class| !is_media(*class))),
            media: over(UsageClass::Input, &mut prompt()),
            answer: over(UsageClass::Output, &mut ANSWER_CLASSES.iter().copied()),
            call: dearest(UsageClass::Calls),
        }
    }

    fn worst_case(self, bound: &CallBound, prompt: u64) -> Option<Money> {
        let input = if bound.media > 0 || bound.unknowable { self.media } else { self.text };
        let answer = match bound.answer_tokens()? {
            0 => Money::ZERO,
            tokens => self.answer?.times(tokens),
        };
        let call = self.call.map_or(Money::ZERO, |price| price.times(1));
        Some(input?.times(prompt) + answer + call)
    }
}

/// Tokens of sound, pictures and films are in a prompt only if it holds a media item.
fn is_media(class: UsageClass) -> bool {
    use UsageClass::{AudioCacheRead, AudioIn, ImageCacheRead, ImageIn, VideoIn};
    matches!(class, AudioIn | AudioCacheRead | ImageIn | ImageCacheRead | VideoIn)
}

impl PriceVersion {
    /// The most that a call within `bound` can cost, at whatever tier and in whatever geography it is served.
    /// None if its size has no bound, its input or output no price, or if the vendor may run tools as often as it
    /// likes whose every use has a price.
    pub fn worst_case(&self, bound: &CallBound) -> Option<Money> {
        if bound.hosted_tools && self.charges_tools() {
            return None;
        }
        let prompt = bound.prompt_tokens()?;
        self.ceiling(prompt).worst_case(bound, prompt)
    }

    /// The most that a call within `bound` can cost if the vendor is known to serve it at `tier` in `geo`.
    pub fn worst_case_at(&self, bound: &CallBound, tier: &str, geo: &str) -> Option<Money> {
        if bound.hosted_tools && self.charges_tools() {
            return None;
        }
        let prompt = bound.prompt_tokens()?;
        Ceiling::of(self, &self.places(tier, geo, prompt)).worst_case(bound, prompt)
    }
}

#[cfg(test)]
mod tests;
