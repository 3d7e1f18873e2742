//! How hard to think, in the words of the model: tokens, or levels, or not at all.

use crate::chat::{ChatRequest, Json, ThinkingMode};
use crate::dialect::Dialect;
use crate::gemini::quirks::Thinks;
use crate::gemini::request::config::{HIDDEN, SHOWN};
use crate::json::Object;
use crate::loss::Loss;
use crate::reasoning::{budget_of_effort, effort_of_budget};

/// What is written of thinking.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    budget: Option<i64>,
    level: Option<String>,
    shown: Option<bool>,
}

impl Plan {
    pub(super) fn of(request: &ChatRequest, thinks: Thinks, own: bool, losses: &mut Vec<Loss>) -> Self {
        let mode = request.thinking.as_ref().map(|thinking| thinking.mode);
        let effort = request.reasoning_effort.as_deref();
        let mut plan = Self { shown: shown(request), ..Self::default() };
        if mode == Some(ThinkingMode::BetweenTools) {
            losses.push(Loss::emulated("thinking", "the model thinks where it sees fit"));
        }
        match thinks {
            Thinks::Not => {
                let why = "the model does not think";
                if mode.is_some_and(|mode| mode != ThinkingMode::Disabled) {
                    losses.push(Loss::dropped("thinking", why));
                }
                if effort.is_some_and(|effort| effort != "none") {
                    losses.push(Loss::dropped("reasoning_effort", why));
                }
                return Self::default();
            }
            Thinks::Tokens { least, most, off } => plan.tokens(mode, effort, (least, most), off, losses),
            Thinks::Levels(levels) => plan.levels(mode, effort, levels, own, losses),
        }
        plan
    }

    fn tokens(
        &mut self,
        mode: Option<ThinkingMode>,
        effort: Option<&str>,
        (least, most): (u64, u64),
        off: bool,
        losses: &mut Vec<Loss>,
    ) {
        let mut within = |asked: u64, field: &'static str, losses: &mut Vec<Loss>| {
            let budget = asked.clamp(least, most);
            if budget != asked {
                losses.push(Loss::emulated(field, "the budget was brought within what the model takes"));
            }
            self.budget = i64::try_from(budget).ok();
        };
        let field = if mode == Some(ThinkingMode::Disabled) { "thinking" } else { "reasoning_effort" };
        let none = mode == Some(ThinkingMode::Disabled) || (mode.is_none() && effort == Some("none"));
        match (mode, effort) {
            _ if none && off => self.budget = Some(0),
            _ if none => {
                losses.push(Loss::emulated(field, "the model always thinks, now as little as it can"));
                self.budget = i64::try_from(least).ok();
            }
            (Some(ThinkingMode::Budget(tokens)), _) => within(tokens, "thinking", losses),
            (_, Some(effort)) => match budget_of_effort(effort) {
                Some(tokens) => {
                    losses.push(Loss::emulated("reasoning_effort", "the effort became a budget"));
                    within(tokens, "reasoning_effort", losses);
                }
                None => losses.push(Loss::dropped("reasoning_effort", "the model knows no such effort")),
            },
            (Some(_), None) => self.budget = Some(-1),
            (None, None) => {}
        }
        if none && mode.is_none() && off {
            losses.push(Loss::emulated("reasoning_effort", "the effort became a budget"));
        }
        if mode.is_some()
            && effort.is_some()
            && !matches!(mode, Some(ThinkingMode::Adaptive | ThinkingMode::BetweenTools))
        {
            losses.push(Loss::dropped("reasoning_effort", "the budget for thinking says how hard to think"));
        }
    }

    fn levels(
        &mut self,
        mode: Option<ThinkingMode>,
        effort: Option<&str>,
        levels: &'static [&'static str],
        own: bool,
        losses: &mut Vec<Loss>,
    ) {
        let least = levels.first().copied().unwrap_or("low");
        let asked = match (mode, effort) {
            // A client of this wire knows what its model takes.
            (Some(ThinkingMode::Budget(tokens)), None) if own => {
                self.budget = i64::try_from(tokens).ok();
                return;
            }
            (Some(ThinkingMode::Adaptive), None) if own => {
                self.budget = self.shown.is_none().then_some(-1);
                return;
            }
            (Some(ThinkingMode::Disabled), _) => {
                losses.push(Loss::emulated("thinking", "the model always thinks, now as little as it can"));
                self.level = Some(least.to_owned());
                return;
            }
            (_, Some("none")) => {
                losses.push(Loss::emulated(
                    "reasoning_effort",
                    "the model always thinks, now as little as it can",
                ));
                self.level = Some(least.to_owned());
                return;
            }
            (Some(ThinkingMode::Budget(tokens)), None) => {
                losses.push(Loss::emulated("thinking", "the budget became a level"));
                effort_of_budget(tokens)
            }
            (mode, Some(effort)) => {
                if let Some(ThinkingMode::Budget(_)) = mode {
                    losses.push(Loss::dropped("thinking", "the effort says how hard to think"));
                }
                effort
            }
            (_, None) => return,
        };
        if own || levels.contains(&asked) {
            self.level = Some(asked.to_owned());
            return;
        }
        // The nearest that does not fall short of it.
        let Some(place) = ORDER.iter().position(|word| *word == asked) else {
            losses.push(Loss::dropped("reasoning_effort", "the model knows no such effort"));
            return;
        };
        let nearest = ORDER[place..].iter().find(|word| levels.contains(word)).or_else(|| levels.last());
        if effort.is_some() {
            losses.push(Loss::emulated("reasoning_effort", "it became the nearest level of the model"));
        }
        self.level = nearest.map(|word| (*word).to_owned());
    }

    /// Writes `thinkingConfig`, if there is anything in it. `carried`: what stood beside.
    pub(super) fn write(&self, config: &mut Object<'_>, carried: Option<&Json>) {
        if *self == Self::default() && carried.is_none() {
            return;
        }
        config.object("thinkingConfig", |thinking| {
            thinking.opt("thinkingBudget", self.budget.as_ref());
            thinking
                .opt("thinkingLevel", self.level.as_ref().map(|level| level.to_ascii_uppercase()).as_ref());
            thinking.opt("includeThoughts", self.shown.as_ref());
            if let Some(carried) = carried {
                thinking.members(carried);
            }
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The efforts, from the least to the most.
const ORDER: [&str; 6] = ["minimal", "low", "medium", "high", "xhigh", "max"];

/// Whether the model shows what it thinks. Other wires show it where nothing is said, this one hides it.
fn shown(request: &ChatRequest) -> Option<bool> {
    let thinking = request.thinking.as_ref()?;
    let own = request.origin == Some(Dialect::GeminiGenerate);
    match thinking.display.as_deref() {
        Some(SHOWN) => Some(true),
        Some(HIDDEN) => Some(false),
        _ if own || thinking.mode == ThinkingMode::Disabled => None,
        _ => Some(true),
    }
}
