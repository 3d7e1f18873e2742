//! How hard to think. Anthropic's older models take a budget of tokens, its newer ones an effort beside `thinking:
//! adaptive` ([`Quirks`]); `OpenAI`'s open models take `reasoning_effort`; of others nothing is known.
//!
//! A client of this very wire says for itself what its model takes, so its words go over as they are.

use crate::anthropic::quirks::Quirks;
use crate::anthropic::thinking::{self, LEAST_BUDGET, Sampling, field};
use crate::bedrock::is_claude;
use crate::bedrock::request::tools::Tools;
use crate::chat::{ChatRequest, Message, Part, Role, Thinking, ThinkingMode};
use crate::dialect::Dialect;
use crate::json::Object;
use crate::loss::{Loss, Losses};

/// What is written of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// `outputConfig.effort`.
    pub(super) effort: Option<String>,
    /// `additionalModelRequestFields.reasoning_effort`.
    model_effort: Option<String>,
    thinking: Option<Thinking>,
}

impl Plan {
    /// `cap`: the cap on generated tokens as it is sent, or the model's own.
    pub(super) fn of(
        request: &ChatRequest,
        model: &str,
        cap: Option<u64>,
        sampling: &Sampling,
        tools: &Tools<'_>,
        losses: &mut Losses,
    ) -> Self {
        let effort = request.reasoning_effort.as_deref();
        let by_word = model.contains("openai.");
        if request.origin == Some(Dialect::BedrockConverse) {
            let effort = effort.map(str::to_owned);
            return Self {
                effort: effort.clone().filter(|_| !by_word),
                model_effort: effort.filter(|_| by_word),
                thinking: request.thinking.clone(),
            };
        }
        if by_word {
            return Self::by_word(request, effort, losses);
        }
        if !is_claude(model) {
            return Self::not_at_all(request, effort, losses);
        }
        let quirks = Quirks::of(model);
        let excluded = if tools.is_forced() {
            Some("a forced tool call excludes thinking")
        } else if sampling.is_cold() {
            Some("a temperature other than 1 excludes thinking")
        } else {
            None
        };
        let thinking = thinking::wanted(request, quirks, losses);
        let thinking = thinking.and_then(|thinking| match (thinking.mode, excluded) {
            (ThinkingMode::Disabled, _) | (_, None) => fit(thinking, request, cap, losses),
            (_, Some(why)) => {
                losses.push(Loss::dropped(field(request), why));
                None
            }
        });
        // A model that thinks by itself must be told not to; the others do not.
        let by_effort = request.origin != Some(Dialect::AnthropicMessages) && effort.is_some();
        let asked = request.thinking.is_some() || by_effort;
        let off = (asked && quirks.adaptive && quirks.disabled).then_some(Thinking::OFF);
        let thinking = thinking.filter(Thinking::is_on).or(off);
        // "When extended thinking is disabled, the effort level is capped at high" (API reference, `OutputConfig`).
        let thinks = thinking.as_ref().is_some_and(Thinking::is_on);
        let sayable: Vec<&str> = quirks
            .efforts
            .iter()
            .copied()
            .filter(|word| thinks || !matches!(*word, "xhigh" | "max"))
            .collect();
        let effort = thinking::effort(request, quirks, thinking.as_ref(), &sayable, losses);
        Self { effort, thinking, model_effort: None }
    }

    /// Whether the model thinks before it answers.
    pub(super) fn is_on(&self) -> bool {
        self.thinking.as_ref().is_some_and(Thinking::is_on)
    }

    fn by_word(request: &ChatRequest, effort: Option<&str>, losses: &mut Losses) -> Self {
        if request.thinking.is_some() {
            losses.push(Loss::dropped("thinking", "the model has no such switch"));
        }
        not_shown(request, losses);
        let word = effort.map(|effort| match effort {
            "none" | "minimal" => "low",
            "xhigh" | "max" => "high",
            effort => effort,
        });
        if word != effort {
            losses.push(Loss::emulated("reasoning_effort", "the model knows low, medium and high"));
        }
        Self { model_effort: word.map(str::to_owned), ..Self::default() }
    }

    fn not_at_all(request: &ChatRequest, effort: Option<&str>, losses: &mut Losses) -> Self {
        if effort.is_some_and(|effort| effort != "none") {
            losses.push(Loss::dropped("reasoning_effort", "the model takes none on this wire"));
        }
        if request.thinking.as_ref().is_some_and(Thinking::is_on) {
            losses.push(Loss::dropped("thinking", "the model has no such switch on this wire"));
        }
        not_shown(request, losses);
        Self::default()
    }

    /// Writes the model's own fields.
    pub(super) fn write(&self, fields: &mut Object<'_>) {
        fields.opt("reasoning_effort", self.model_effort.as_ref());
        let Some(Thinking { mode, display }) = &self.thinking else { return };
        fields.object("thinking", |thinking| {
            match mode {
                ThinkingMode::Disabled => thinking.field("type", "disabled"),
                ThinkingMode::Adaptive => thinking.field("type", "adaptive"),
                ThinkingMode::BetweenTools => thinking.field("type", "between_tools"),
                ThinkingMode::Budget(tokens) => {
                    thinking.field("type", "enabled");
                    thinking.field("budget_tokens", tokens);
                }
            }
            thinking.opt("display", display.as_ref());
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.thinking.is_none() && self.model_effort.is_none()
    }
}

/// A model that takes no word of thinking takes none of how it is shown.
fn not_shown(request: &ChatRequest, losses: &mut Losses) {
    if request.thinking.as_ref().is_some_and(|thinking| thinking.display.is_some()) {
        losses.push(Loss::dropped("thinking.display", "the wire shows what it shows"));
    }
}

/// A budget under the cap on the answer; and none in a tool loop whose reasoning is not there, for Anthropic refuses to
/// go on thinking then.
fn fit(
    mut thinking: Thinking,
    request: &ChatRequest,
    cap: Option<u64>,
    losses: &mut Losses,
) -> Option<Thinking> {
    let ThinkingMode::Budget(budget) = &mut thinking.mode else { return Some(thinking) };
    if loop_without_reasoning(&request.messages) {
        let why = "the turn that called the tools has no signed reasoning to go on from";
        losses.push(Loss::dropped(field(request), why));
        return None;
    }
    *budget = (*budget).max(LEAST_BUDGET);
    if let Some(cap) = cap.filter(|cap| *budget >= *cap) {
        if cap <= LEAST_BUDGET {
            losses.push(Loss::dropped(field(request), "the cap on tokens leaves no room for it"));
            return None;
        }
        losses.push(Loss::emulated(field(request), "half of the cap on tokens is the budget"));
        *budget = (cap / 2).max(LEAST_BUDGET);
    }
    Some(thinking)
}

/// Whether the conversation ends with results of tools, and the turn that called them does not begin with reasoning
/// that Claude takes back.
fn loop_without_reasoning(messages: &[Message]) -> bool {
    let in_loop = messages
        .last()
        .is_some_and(|last| last.content.iter().any(|part| matches!(part, Part::ToolResult(_))));
    let Some(last) = messages.iter().rposition(|message| message.role == Role::Assistant).filter(|_| in_loop)
    else {
        return false;
    };
    // Turns of the assistant that follow each other are one.
    let first = messages[..last].iter().rposition(|message| message.role != Role::Assistant);
    let turn = &messages[first.map_or(0, |index| index + 1)..=last];
    let begins = turn.iter().flat_map(|message| &message.content).next();
    !matches!(begins, Some(Part::Reasoning { signature: Some(_), .. } | Part::RedactedReasoning { .. }))
}
