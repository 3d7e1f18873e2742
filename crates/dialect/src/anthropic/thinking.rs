//! How Claude thinks and samples, whichever wire carries it: what the caller asks for, in a way that the model can.
//!
//! Rules of the vendor ("Extended thinking", "Adaptive thinking", "Effort"): thinking excludes a forced tool call, a
//! temperature other than 1, `top_k`, and a `top_p` under 0.95; a budget is at least 1,024 tokens and less than the cap
//! on the answer; by budget, the model's turn in a tool loop must begin with its thought.

use crate::anthropic::quirks::Quirks;
use crate::chat::{ChatRequest, Thinking, ThinkingMode};
use crate::dialect::Dialect;
use crate::loss::{Loss, Losses};
use crate::reasoning::{budget_of_effort, effort_of_budget};

pub(crate) const LEAST_BUDGET: u64 = 1_024;
const LEAST_TOP_P: f64 = 0.95;

impl Thinking {
    /// Not at all.
    pub(crate) const OFF: Self = Self { mode: ThinkingMode::Disabled, display: None };

    pub(crate) fn is_on(&self) -> bool {
        self.mode != ThinkingMode::Disabled
    }

    pub(crate) fn by_budget(&self) -> bool {
        matches!(self.mode, ThinkingMode::Budget(_))
    }
}

/// The parameters of sampling.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sampling {
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u64>,
}

impl Sampling {
    /// As the caller asks for it.
    pub(crate) fn of(request: &ChatRequest) -> Self {
        Self { temperature: request.temperature, top_p: request.top_p, top_k: request.top_k }
    }

    /// Leaves out what the model does not take.
    pub(crate) fn suit(&mut self, quirks: Quirks, losses: &mut Losses) {
        // What is the model's own setting is not missed.
        let moved = |value: Option<f64>| value.is_some_and(|value| (value - 1.0).abs() > f64::EPSILON);
        if !quirks.sampling {
            let asked = [
                ("temperature", moved(self.temperature.take())),
                ("top_p", moved(self.top_p.take())),
                ("top_k", self.top_k.take().is_some()),
            ];
            let why = "the model samples as it sees fit";
            let lost = asked.into_iter().filter(|(_, asked)| *asked);
            losses.extend(lost.map(|(name, _)| Loss::dropped(name, why)));
        } else if !quirks.both_samplings && self.temperature.is_some() && self.top_p.is_some() {
            match (moved(self.temperature), moved(self.top_p)) {
                (_, false) => self.top_p = None,
                (false, true) => self.temperature = None,
                (true, true) => {
                    self.top_p = None;
                    losses.push(Loss::dropped("top_p", "the model takes it or the temperature, not both"));
                }
            }
        }
    }

    /// The wire's highest temperature is 1.
    pub(crate) fn cool(&mut self, losses: &mut Losses) {
        if let Some(value) = self.temperature.as_mut().filter(|value| **value > 1.0) {
            losses.push(Loss::emulated("temperature", "the wire's highest is 1"));
            *value = 1.0;
        }
    }

    /// Whether it excludes thinking.
    pub(crate) fn is_cold(&self) -> bool {
        self.temperature.is_some_and(|temperature| temperature < 1.0)
    }

    /// Drops what thinking excludes and only tunes.
    pub(crate) fn beside_thinking(&mut self, losses: &mut Losses) {
        if self.top_k.take().is_some() {
            losses.push(Loss::dropped("top_k", "thinking excludes it"));
        }
        if self.top_p.is_some_and(|top_p| top_p < LEAST_TOP_P) {
            self.top_p = None;
            losses.push(Loss::dropped("top_p", "thinking excludes less than 0.95"));
        }
    }
}

/// The field by which the caller asked for thinking.
pub(crate) fn field(request: &ChatRequest) -> &'static str {
    if request.thinking.is_some() { "thinking" } else { "reasoning_effort" }
}

/// Callers of Anthropic's wire and of Bedrock's ask for thinking apart from the effort.
fn asks_apart(request: &ChatRequest) -> bool {
    matches!(request.origin, Some(Dialect::AnthropicMessages | Dialect::BedrockConverse))
}

/// How the caller wants the model to think, in a way that it can.
pub(crate) fn wanted(request: &ChatRequest, quirks: Quirks, losses: &mut Losses) -> Option<Thinking> {
    let effort = request.reasoning_effort.as_deref();
    let asked = match (&request.thinking, effort) {
        (Some(thinking), _) => thinking.clone(),
        (None, None) => return None,
        (None, Some("none")) => Thinking::OFF,
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
        if asked.is_on() {
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

/// The effort in a word that may be said. `sayable`: those of the model's that may, in its present mode.
pub(crate) fn effort(
    request: &ChatRequest,
    quirks: Quirks,
    thinking: Option<&Thinking>,
    sayable: &[&str],
    losses: &mut Losses,
) -> Option<String> {
    const FIELD: &str = "reasoning_effort";
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
        // A budget that was made of it tells the same.
        let told = !request.thinking.as_ref().is_some_and(Thinking::by_budget)
            && thinking.is_some_and(Thinking::by_budget);
        if !told && request.reasoning_effort.is_some() {
            losses.once(Loss::dropped(FIELD, "the model knows no efforts"));
        }
        return None;
    }
    if sayable.contains(&asked) {
        return Some(asked.to_owned());
    }
    let nearest = match asked {
        "minimal" => "low",
        "xhigh" | "max" => "high",
        _ => {
            losses.push(Loss::dropped(FIELD, "the model does not know this effort"));
            return None;
        }
    };
    losses.push(Loss::emulated(FIELD, "the model knows no such effort: the nearest is taken"));
    Some(nearest.to_owned())
}
