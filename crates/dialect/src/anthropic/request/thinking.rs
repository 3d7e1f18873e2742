//! The parameters that depend on each other: the cap, how the model samples, and how it [thinks](crate::anthropic::thinking).

use crate::anthropic::quirks::Quirks;
use crate::anthropic::request::definitions::Offer;
use crate::anthropic::request::encode::is_own;
use crate::anthropic::request::turns::Conversation;
use crate::anthropic::thinking::{self, LEAST_BUDGET, Sampling, field};
use crate::chat::{ChatRequest, Thinking, ThinkingMode};
use crate::dialect::Target;
use crate::loss::{Loss, Losses};

/// The cap where the caller gives none and the catalog knows none.
const USUAL_CAP: u64 = 4_096;

/// The parameters that depend on each other, settled.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<String>,
    pub(super) sampling: Sampling,
}

pub(super) fn settle(
    request: &ChatRequest,
    target: &Target<'_>,
    quirks: Quirks,
    conversation: &Conversation<'_>,
    offer: &Offer<'_>,
    losses: &mut Losses,
) -> Tuning {
    let mut sampling = Sampling::of(request);
    sampling.suit(quirks, losses);
    sampling.cool(losses);
    let mut tuning = Tuning { max_tokens: cap(request, target, losses), sampling, ..Tuning::default() };
    let wanted = thinking::wanted(request, quirks, losses);
    let excluded = wanted.as_ref().filter(|thinking| thinking.is_on()).and_then(|thinking| {
        if offer.is_forced() {
            Some("a forced tool call excludes thinking")
        } else if tuning.sampling.is_cold() {
            Some("a temperature other than 1 excludes thinking")
        } else if thinking.by_budget() && conversation.lacks_thought() {
            Some("the turn that called the tools has no signed thought to go on from")
        } else if thinking.by_budget() && request.max_output_tokens.is_some_and(|cap| cap <= LEAST_BUDGET) {
            Some("the cap on tokens leaves no room for it")
        } else {
            None
        }
    });
    tuning.thinking = match (wanted, excluded) {
        (Some(thinking), None) => Some(thinking),
        (_, Some(why)) => {
            losses.push(Loss::dropped(field(request), why));
            Some(Thinking::OFF)
        }
        (None, None) => None,
    };
    if let Some(Thinking { mode: ThinkingMode::Budget(budget), .. }) = &mut tuning.thinking {
        *budget = fit(*budget, request, target, &mut tuning.max_tokens, losses);
    }
    if tuning.thinking.as_ref().is_some_and(Thinking::is_on) {
        tuning.sampling.beside_thinking(losses);
    }
    tuning.thinking = tuning.thinking.filter(|thinking| quirks.disabled || thinking.is_on());
    tuning.effort = thinking::effort(request, quirks, tuning.thinking.as_ref(), quirks.efforts, losses);
    tuning
}

fn cap(request: &ChatRequest, target: &Target<'_>, losses: &mut Losses) -> u64 {
    match (request.max_output_tokens, target.max_output) {
        (Some(asked), Some(most)) if asked > most => {
            losses.push(Loss::emulated("max_output_tokens", "the model's own cap is lower"));
            most
        }
        (Some(asked), _) => asked,
        (None, Some(most)) => most,
        (None, None) => {
            losses.push(Loss::emulated("max_output_tokens", "the wire needs a cap: a usual one was put in"));
            USUAL_CAP
        }
    }
}

/// A budget that fits under the cap, which is raised if the caller gave none.
fn fit(
    budget: u64,
    request: &ChatRequest,
    target: &Target<'_>,
    max_tokens: &mut u64,
    losses: &mut Losses,
) -> u64 {
    let budget = budget.max(LEAST_BUDGET);
    // With interleaved thinking a caller's own budget may exceed the cap: the vendor knows.
    let callers =
        is_own(request) && matches!(request.thinking, Some(Thinking { mode: ThinkingMode::Budget(_), .. }));
    if budget < *max_tokens || callers {
        return budget;
    }
    if request.max_output_tokens.is_none() && target.max_output.is_none() {
        *max_tokens = budget.saturating_add(USUAL_CAP);
        return budget;
    }
    losses.push(Loss::emulated(field(request), "half of the cap on tokens is the budget"));
    (*max_tokens / 2).max(LEAST_BUDGET)
}
