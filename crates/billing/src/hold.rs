//! The worst case of a call, held before its first byte goes upstream.
//!
//! Constraint: whatever usage a vendor reports within the bounds of the call, its charge is not above the worst
//! case. Whatever has a price has a worst case; where something about the call has no bound, one is assumed, and
//! the worst case says so: an account can be charged at it, but nothing is promised by it.
#![deny(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_arithmetic)]

use steelyard_core::record::Hold;
use steelyard_core::{Money, UnitPrice, UsageClass};

use crate::price::{Place, PriceVersion, TOOL_CLASSES};
use crate::rate::{ANSWER_CLASSES, PROMPT_CLASSES};

/// Tokens that a vendor adds to a prompt on its own: roles, separators, and the system prompt that turns tool
/// definitions into text, which Anthropic prints as some hundreds of tokens by model ("Tool use", pricing).
/// Rounded up, and the same for every model.
pub const OVERHEAD_TOKENS: u64 = 1_024;

/// The most that one inline picture counts. `OpenAI`'s small models charge the most: 2,833 tokens and 5,667 for
/// each of at most eight tiles (`OpenAI`, "Images and vision", calculating costs).
pub const MEDIA_TOKENS: u64 = 50_000;

/// Taken for an answer of a model whose limits nobody knows, if the caller set no cap: the longest of any model in the
/// catalog, but for those whose answer may fill their whole window.
pub const ASSUMED_ANSWER_TOKENS: u64 = 272_000;

/// Taken for the prompt of a model whose window nobody knows, if it holds something whose size cannot be known: the
/// largest window in the catalog but for a single model's (Llama 4 Scout, ten million).
pub const ASSUMED_WINDOW_TOKENS: u64 = 1_050_000;

/// Taken for the uses of tools that the vendor runs as often as it likes, of each kind that has a price. No vendor
/// prints a bound; this is ten times what Anthropic's own examples cap a search at (`max_uses: 5`, "Web search tool").
pub const ASSUMED_TOOL_USES: u64 = 50;

/// What is known about the size of a call before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallBound {
    /// Bytes of the body. A token is at least one byte, so no prompt has more text tokens than bytes.
    pub input_bytes: u64,
    /// Inline pictures, sounds and documents.
    pub media: u64,
    /// Whether the prompt holds something whose size cannot be known here: a URL, a file id, an earlier response.
    pub unknowable: bool,
    /// Whether the vendor may run tools of its own, as often as it likes.
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

/// The most tokens that there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenBound {
    /// There cannot be more.
    Known(u64),
    /// Nobody knows how many there can be; so many are assumed.
    Assumed(u64),
}

impl TokenBound {
    /// How many.
    pub const fn tokens(self) -> u64 {
        match self {
            Self::Known(tokens) | Self::Assumed(tokens) => tokens,
        }
    }

    fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }
}

impl CallBound {
    /// The most tokens the prompt can have. What is unknowable fits the model's window.
    pub fn prompt_tokens(&self) -> TokenBound {
        let media = self.media.saturating_mul(MEDIA_TOKENS);
        let visible = self.input_bytes.saturating_add(OVERHEAD_TOKENS).saturating_add(media);
        if !self.unknowable {
            return TokenBound::Known(visible);
        }
        match self.context_window {
            Some(window) => TokenBound::Known(window.max(visible)),
            None => TokenBound::Assumed(ASSUMED_WINDOW_TOKENS.max(visible)),
        }
    }

    /// The most tokens all answers can have together: the caller's cap for each, else the model's largest answer, else
    /// its window, which no answer is longer than.
    pub fn answer_tokens(&self) -> TokenBound {
        let choices = self.choices.max(1);
        match self.output_cap.or(self.max_output).or(self.context_window) {
            Some(most) => TokenBound::Known(most.saturating_mul(choices)),
            None => TokenBound::Assumed(ASSUMED_ANSWER_TOKENS.saturating_mul(choices)),
        }
    }
}

/// The dearest prices that a call can meet whose prompt crosses no more than a given threshold. None: there is no
/// such price at any tier, in any geography.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Of a prompt's tokens.
    text: Option<UnitPrice>,
    /// The same where the prompt may hold media.
    media: Option<UnitPrice>,
    /// Of an answer's tokens.
    answer: Option<UnitPrice>,
    /// Of a call as such.
    call: Option<UnitPrice>,
    /// Of one use of each of the vendor's own tools.
    tools: Option<UnitPrice>,
    /// Whether `input` has a price: without one, not every prompt can be charged.
    input_is_priced: bool,
    /// The same of `output` and answers.
    output_is_priced: bool,
}

impl Ceiling {
    /// The ceiling of `version` over all of `places`.
    pub(crate) fn of(version: &PriceVersion, places: &(impl Iterator<Item = Place> + Clone)) -> Self {
        let dearest = |class: UsageClass| {
            places.clone().filter_map(|place| version.find(class, place)).map(|found| found.price).max()
        };
        let of_all = |classes: &mut dyn Iterator<Item = UsageClass>| classes.filter_map(dearest).max();
        let prompt = || PROMPT_CLASSES.iter().copied();
        let tools = TOOL_CLASSES.iter().copied().filter_map(dearest);
        Self {
            text: of_all(&mut prompt().filter(|class| !is_media(*class))),
            media: of_all(&mut prompt()),
            answer: of_all(&mut ANSWER_CLASSES.iter().copied()),
            call: dearest(UsageClass::Calls),
            tools: tools.reduce(|one, other| UnitPrice::from_pico(one.pico().saturating_add(other.pico()))),
            input_is_priced: dearest(UsageClass::Input).is_some(),
            output_is_priced: dearest(UsageClass::Output).is_some(),
        }
    }

    fn worst_case(self, bound: &CallBound) -> Hold {
        let times = |price: Option<UnitPrice>, units| price.map_or(Money::ZERO, |price| price.times(units));
        let (prompt, answer) = (bound.prompt_tokens(), bound.answer_tokens());
        let input = if bound.media > 0 || bound.unknowable { self.media } else { self.text };
        let tools = if bound.hosted_tools { times(self.tools, ASSUMED_TOOL_USES) } else { Money::ZERO };
        let amount =
            times(input, prompt.tokens()) + times(self.answer, answer.tokens()) + times(self.call, 1) + tools;
        // Each use of a tool adds to the prompt, so without a bound on uses there is none on tokens either.
        let known = prompt.is_known()
            && answer.is_known()
            && !bound.hosted_tools
            && self.input_is_priced
            && (self.output_is_priced || answer.tokens() == 0);
        if known { Hold::Known(amount) } else { Hold::Assumed(amount) }
    }
}

/// Tokens of sound, pictures and films are in a prompt only if it holds a media item.
fn is_media(class: UsageClass) -> bool {
    use UsageClass::{AudioCacheRead, AudioIn, ImageCacheRead, ImageIn, VideoIn};
    matches!(class, AudioIn | AudioCacheRead | ImageIn | ImageCacheRead | VideoIn)
}

impl PriceVersion {
    /// The most that a call within `bound` can cost, at whatever tier and in whatever geography it is served. It is
    /// assumed if the call's size has no bound, if its input or output has no price, or if the vendor may run tools
    /// as often as it likes.
    pub fn worst_case(&self, bound: &CallBound) -> Hold {
        self.ceiling(bound.prompt_tokens().tokens()).worst_case(bound)
    }

    /// The most that a call within `bound` can cost if the vendor is known to serve it at `tier` in `geo`.
    pub fn worst_case_at(&self, bound: &CallBound, tier: &str, geo: &str) -> Hold {
        let prompt = bound.prompt_tokens().tokens();
        Ceiling::of(self, &self.places(tier, geo, prompt)).worst_case(bound)
    }
}

#[cfg(test)]
mod tests;
