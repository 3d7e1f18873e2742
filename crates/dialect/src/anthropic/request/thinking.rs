//! How the model thinks and samples: what the caller asks for, what the model takes, and what excludes each other.
//!
//! Rules of the vendor ("Extended thinking", "Adaptive thinking", "Effort"): thinking excludes a forced tool call, a
//! temperature other than 1, `top_k`, and a `top_p` under 0.95; a budget is at least 1,024 tokens and less than
//! `max_tokens`; by budget, the model's turn in a tool loop must begin with its thought.

use crate::anthropic::quirks::Quirks;
use crate::anthropic::request::definitions::Offer;
use crate::anthropic::request::encode::{Losses, is_own};
use crate::anthropic::request::turns::Conversation;
use crate::chat::{ChatRequest, Thinking, ThinkingMode};
use crate::dialect::{Dialect, Target};
use crate::error::Loss;
use crate::reasoning::{budget_of_effort, effort_of_budget};

/// The cap where the caller gives none and the catalog knows none.
const USUAL_CAP: u64 = 4_096;
const LEAST_BUDGET: u64 = 1_024;
const LEAST_TOP_P: f64 = 0.95;

/// The parameters that depend on each other, settled.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    pub(super) max_tokens: u64,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<String>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

pub(super) fn settle(
    request: &ChatRequest,
    target: &Target<'_>,
    quirks: Quirks,
    conversation: &Conversation<'_>,
    offer: &Offer<'_>,
    losses: &mut Losses,
) -> Tuning {
    let mut tuning = Tuning { max_tokens: cap(request, target, losses), ..Tuning::default() };
    sampling(request, quirks, &mut tuning, losses);
    let wanted = wanted(request, quirks, losses);
    let excluded = wanted.as_ref().filter(|thinking| is_on(thinking.mode)).and_then(|thinking| {
        let by_budget = matches!(thinking.mode, ThinkingMode::Budget(_));
        if offer.is_forced() {
            Some("a forced tool call excludes thinking")
        } else if tuning.temperature.is_some_and(|temperature| temperature < 1.0) {
            Some("a temperature other than 1 excludes thinking")
        } else if by_budget && conversation.lacks_thought() {
            Some("the turn that called the tools has no signed thought to go on from")
        } else if by_budget && request.max_output_tokens.is_some_and(|cap| cap <= LEAST_BUDGET) {
            Some("the cap on tokens leaves no room for it")
        } else {
            None
        }
    });
    tuning.thinking = match (wanted, excluded) {
        (Some(thinking), None) => Some(thinking),
        (_, Some(why)) => {
            losses.once(Loss::dropped(field(request), why));
            Some(Thinking { mode: ThinkingMode::Disabled, display: None })
        }
        (None, None) => None,
    };
    if let Some(Thinking { mode: ThinkingMode::Budget(budget), .. }) = &mut tuning.thinking {
        *budget = fit(*budget, request, target, &mut tuning.max_tokens, losses);
    }
    if tuning.thinking.as_ref().is_some_and(|thinking| is_on(thinking.mode)) {
        beside_thinking(&mut tuning, losses);
    }
    tuning.thinking = tuning.thinking.filter(|thinking| quirks.disabled || is_on(thinking.mode));
    tuning.effort = effort(request, quirks, tuning.thinking.as_ref(), losses);
    tuning
}

fn asks_apart(request: &ChatRequest) -> bool {
    matches!(request.origin, Some(Dialect::AnthropicMessages | Dialect::BedrockConverse))
}

fn is_on(mode: ThinkingMode) -> bool {
    mode != ThinkingMode::Disabled
}

fn by_budget(thinking: Option<&Thinking>) -> bool {
    thinking.is_some_and(|thinking| matches!(thinking.mode, ThinkingMode::Budget(_)))
}

/// The field by which the caller asked for thinking.
fn field(request: &ChatRequest) -> &'static str {
    if request.thinking.is_some() { "thinking" } else { "reasoning_effort" }
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

fn sampling(request: &ChatRequest, quirks: Quirks, tuning: &mut Tuning, losses: &mut Losses) {
    const FIXED: &str = "the model samples as it sees fit";
    if !quirks.sampling {
        // What is the model's own setting is not missed.
        let moved = |value: Option<f64>| value.is_some_and(|value| (value - 1.0).abs() > f64::EPSILON);
        let asked = [
            ("temperature", moved(request.temperature)),
            ("top_p", moved(request.top_p)),
            ("top_k", request.top_k.is_some()),
        ];
        for (name, _) in asked.into_iter().filter(|(_, asked)| *asked) {
            losses.push(Loss::dropped(name, FIXED));
        }
        return;
    }
    tuning.temperature = request.temperature.map(|asked| {
        if asked > 1.0 {
            losses.push(Loss::emulated("temperature", "the wire's highest is 1"));
        }
        asked.min(1.0)
    });
    tuning.top_p = request.top_p;
    if tuning.temperature.is_some() && tuning.top_p.is_some() && !quirks.both_samplings {
        losses.push(Loss::dropped("top_p", "the model takes it or the temperature, not both"));
        tuning.top_p = None;
    }
    tuning.top_k = request.top_k;
}

/// How the caller wants the model to think, in a way that it can.
fn wanted(request: &ChatRequest, quirks: Quirks, losses: &mut Losses) -> Option<Thinking> {
    let effort = request.reasoning_effort.as_deref();
    let asked = match (&request.thinking, effort) {
        (Some(thinking), _) => thinking.clone(),
        (None, None) => return None,
        (None, Some("none")) => Thinking { mode: ThinkingMode::Disabled, display: None },
        // Callers of this wire and of Bedrock's ask for thinking apart from the effort.
        (None, Some(_)) if asks_apart(request) => return None,
        (None, Some(effort)) if !quirks.adaptive => {
            let Some(budget) = budget_of_effort(effort) else {
                losses.push(Loss::dropped("reasoning_effort", "nobody knows this word"));
                return None;
            };
            if quirks.thinking && quirks.efforts.is_empty() {
                losses.push(Loss::emulated("reasoning_effort", "it became a budget of tokens"));
            }
            Thinking { mode: ThinkingMode::Budget(budget), display: None }
        }
        (None, Some(_)) => Thinking { mode: ThinkingMode::Adaptive, display: None },
    };
    if !quirks.thinking {
        if is_on(asked.mode) {
            losses.push(Loss::dropped(field(request), "the model does not think"));
        }
        return None;
    }
    let mode = match asked.mode {
        ThinkingMode::Budget(_) if !quirks.budgets => {
            losses.push(Loss::emulated(field(request), "the model thinks as it sees fit, by an effort"));
            ThinkingMode::Adaptive
        }
        ThinkingMode::Adaptive | ThinkingMode::BetweenTools if !quirks.adaptive => {
            losses.push(Loss::emulated(field(request), "the model thinks by a budget"));
            let budget = budget_of_effort(effort.unwrap_or("medium"));
            ThinkingMode::Budget(budget.unwrap_or(LEAST_BUDGET))
        }
        ThinkingMode::Disabled if !quirks.disabled => {
            losses.push(Loss::dropped(field(request), "the model always thinks"));
            ThinkingMode::Disabled
        }
        mode => mode,
    };
    Some(Thinking { mode, display: asked.display })
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

/// Drops what thinking excludes and only tunes.
fn beside_thinking(tuning: &mut Tuning, losses: &mut Losses) {
    if tuning.top_k.take().is_some() {
        losses.push(Loss::dropped("top_k", "thinking excludes it"));
    }
    if tuning.top_p.is_some_and(|top_p| top_p < LEAST_TOP_P) {
        tuning.top_p = None;
        losses.push(Loss::dropped("top_p", "thinking excludes less than 0.95"));
    }
}

/// The effort in a word that the model knows.
fn effort(
    request: &ChatRequest,
    quirks: Quirks,
    thinking: Option<&Thinking>,
    losses: &mut Losses,
) -> Option<String> {
    let asked = match (&request.reasoning_effort, &request.thinking) {
        (Some(effort), _) => effort.as_str(),
        // A budget that the model does not take any more.
        (None, Some(Thinking { mode: ThinkingMode::Budget(budget), .. })) if !quirks.budgets => {
            effort_of_budget(*budget)
        }
        (None, _) => return None,
    };
    if asked == "none" {
        return None;
    }
    if quirks.efforts.is_empty() {
        // A budget tells the same.
        let told = !by_budget(request.thinking.as_ref()) && by_budget(thinking);
        let unnamed = quirks.thinking || asks_apart(request) || request.thinking.is_some();
        if !told && request.reasoning_effort.is_some() && unnamed {
            losses.once(Loss::dropped("reasoning_effort", "the model knows no efforts"));
        }
        return None;
    }
    if quirks.efforts.contains(&asked) {
        return Some(asked.to_owned());
    }
    let nearest = match asked {
        "minimal" => "low",
        "xhigh" | "max" => "high",
        _ => {
            losses.push(Loss::dropped("reasoning_effort", "the model does not know this effort"));
            return None;
        }
    };
    losses.push(Loss::emulated("reasoning_effort", "the model knows no such effort: the nearest is taken"));
    Some(nearest.to_owned())
}
