//! What Chat Completions cannot express of a canonical request, field by field.
//!
//! What only tunes is dropped, what the wire reaches by other means is emulated, and what would silently change the
//! meaning of the call is refused.

use crate::chat::{ChatRequest, FileSource, Media, Part, ThinkingMode, ToolChoice};
use crate::dialect::{Dialect, Target};
use crate::error::Loss;
use crate::openai_chat::request::encode::{MAX_STOPS, MAX_USER, is_expressible};
use crate::reasoning::effort_of_budget;

/// The effort that the request comes to: its own word, else that of its thinking.
pub(super) fn effort(request: &ChatRequest) -> Option<String> {
    if let Some(effort) = &request.reasoning_effort {
        // The wire's strongest word.
        let word = if effort == "max" { "xhigh" } else { effort };
        return Some(word.to_owned());
    }
    match request.thinking.as_ref()?.mode {
        ThinkingMode::Adaptive | ThinkingMode::BetweenTools => Some("medium".to_owned()),
        ThinkingMode::Budget(tokens) => {
            let effort = effort_of_budget(tokens);
            Some(if effort == "max" { "xhigh" } else { effort }.to_owned())
        }
        ThinkingMode::Disabled => None,
    }
}

/// The tier in the wire's words.
pub(super) fn service_tier(request: &ChatRequest) -> Option<String> {
    match request.service_tier.as_deref()? {
        "standard_only" | "standard" => Some("default".to_owned()),
        "reserved" => None,
        word => Some(word.to_owned()),
    }
}

/// Everything that does not go over as it is.
pub(super) fn of(request: &ChatRequest, target: &Target<'_>) -> Vec<Loss> {
    let mut losses = Vec::new();
    parameters(request, &mut losses);
    tools(request, &mut losses);
    content(request, target, &mut losses);
    losses
}

fn parameters(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let mut lose = |asked: bool, loss: fn() -> Loss| {
        if asked {
            losses.push(loss());
        }
    };
    let foreign = request.origin.is_some_and(|origin| origin != Dialect::OpenAiChat);
    let mode = request.thinking.as_ref().map(|thinking| thinking.mode);
    let shown = request.thinking.as_ref().is_some_and(|thinking| thinking.display.is_some());
    lose(request.top_k.is_some(), || Loss::dropped("top_k", "the wire samples without it"));
    lose(request.max_output_tokens == Some(0), || {
        Loss::emulated("max_output_tokens", "the least cap of the wire is 1")
    });
    lose(request.stop.len() > MAX_STOPS, || Loss::dropped("stop", "only the first four are sent"));
    lose(request.user.as_ref().is_some_and(|user| user.len() > MAX_USER), || {
        Loss::dropped("user", "the wire takes at most 64 bytes")
    });
    lose(foreign && request.metadata.is_some(), || {
        Loss::dropped("metadata", "the vendor takes labels of stored answers only")
    });
    lose(request.service_tier.as_deref() == Some("reserved"), || {
        Loss::dropped("service_tier", "the vendor reserves no capacity by call")
    });
    lose(request.reasoning_effort.as_deref() == Some("max"), || {
        Loss::emulated("reasoning_effort", "the strongest effort of the wire is xhigh")
    });
    let by_effort = request.reasoning_effort.is_none();
    lose(by_effort && matches!(mode, Some(ThinkingMode::Budget(_))), || {
        Loss::emulated("thinking", "the budget became an effort")
    });
    lose(by_effort && matches!(mode, Some(ThinkingMode::Adaptive | ThinkingMode::BetweenTools)), || {
        Loss::emulated("thinking", "it became the effort medium")
    });
    lose(mode == Some(ThinkingMode::Disabled), || {
        Loss::dropped("thinking", "the wire has no switch; the model thinks as it is made to")
    });
    lose(shown, || Loss::dropped("thinking.display", "the wire shows what it shows"));
    if foreign {
        losses.extend(request.extra.keys().map(|name| Loss::dropped(name, "another wire's own field")));
    }
}

fn tools(request: &ChatRequest, losses: &mut Vec<Loss>) {
    for (index, tool) in request.tools.iter().enumerate() {
        let field = || format!("tools[{index}]");
        if !is_expressible(tool) {
            let forced = matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if *name == tool.name);
            losses.push(if forced {
                Loss::refused(field(), "it must be called, and another vendor defines it")
            } else {
                Loss::dropped(field(), "another vendor defines it")
            });
            continue;
        }
        if tool.cache.is_some() {
            losses.push(Loss::dropped(format!("tools[{index}].cache"), "the vendor caches by itself"));
        }
        if tool.name.len() > 64 {
            losses
                .push(Loss::refused(format!("tools[{index}].name"), "the wire takes at most 64 characters"));
        }
        losses.extend(
            tool.extra
                .keys()
                .map(|name| Loss::dropped(format!("tools[{index}].{name}"), "the wire has no such field")),
        );
    }
}

fn content(request: &ChatRequest, target: &Target<'_>, losses: &mut Vec<Loss>) {
    let foreign = request.origin.is_some_and(|origin| origin != Dialect::OpenAiChat);
    let mut marked = false;
    for (index, message) in request.messages.iter().enumerate() {
        if foreign {
            let names = message.extra.keys().map(|name| format!("messages[{index}].{name}"));
            losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
        }
        for (number, part) in message.content.iter().enumerate() {
            let field = || format!("messages[{index}].content[{number}]");
            if matches!(part, Part::CacheMark(_)) {
                mark(&mut marked, losses);
                continue;
            }
            one(part, foreign, target, &field, losses);
            if let Part::ToolResult(result) = part {
                for inner in &result.content {
                    if matches!(inner, Part::CacheMark(_)) {
                        mark(&mut marked, losses);
                    } else {
                        one(inner, foreign, target, &field, losses);
                    }
                }
            }
        }
    }
}

/// A mark is lost. Named once: a long conversation has many.
fn mark(marked: &mut bool, losses: &mut Vec<Loss>) {
    if !std::mem::replace(marked, true) {
        losses.push(Loss::dropped("cache_marks", "the vendor caches by itself"));
    }
}

/// What is lost of one part. An answer that is sent back loses no more than what only marks it.
fn one(part: &Part, foreign: bool, target: &Target<'_>, field: &dyn Fn() -> String, losses: &mut Vec<Loss>) {
    beside(part, foreign, field, losses);
    let loss = match part {
        Part::Image { source: Media::Id(_), .. } | Part::File { source: FileSource::Id(_), .. }
            if foreign =>
        {
            Loss::refused(field(), "the file is in another vendor's store: send its content")
        }
        Part::File { source: FileSource::Url(_), .. } => {
            Loss::refused(field(), "the vendor fetches no documents: send its content")
        }
        Part::File { source: FileSource::Text(_) | FileSource::Parts(_), .. } => {
            Loss::emulated(field(), "the document became text")
        }
        Part::File { context: Some(_), .. } => {
            Loss::dropped(field(), "the wire has no context of a document")
        }
        Part::SearchResult { .. } => Loss::emulated(field(), "the search result became text"),
        Part::Foreign { dialect, .. } if *dialect != Dialect::OpenAiChat => {
            Loss::refused(field(), "only another vendor's wire has this block")
        }
        Part::RedactedReasoning { .. } => Loss::dropped(field(), "hidden reasoning of another vendor"),
        Part::Reasoning { .. } if !target.compatible => {
            Loss::dropped(field(), "the vendor takes no reasoning back on this wire")
        }
        Part::Reasoning { signature: Some(_), .. } => {
            Loss::dropped(field(), "another vendor's proof of its reasoning")
        }
        Part::Text { .. }
        | Part::Image { .. }
        | Part::Audio { .. }
        | Part::AudioRef { .. }
        | Part::File { .. }
        | Part::Refusal { .. }
        | Part::Reasoning { .. }
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Json(_)
        | Part::CacheMark(_)
        | Part::Foreign { .. } => return,
    };
    losses.push(loss);
}

/// What a part loses beside itself: its sources, and members that another wire gave it.
fn beside(part: &Part, foreign: bool, field: &dyn Fn() -> String, losses: &mut Vec<Loss>) {
    let cites = match part {
        Part::Text { citations, .. } => !citations.is_empty(),
        Part::File { citations, source, .. } => {
            *citations && !matches!(source, FileSource::Text(_) | FileSource::Parts(_))
        }
        _ => false,
    };
    if cites {
        losses
            .push(Loss::dropped(format!("{}.citations", field()), "the wire cites no sources in a request"));
    }
    if let Part::Text { extra, .. } = part
        && foreign
    {
        let names = extra.keys().map(|name| format!("{}.{name}", field()));
        losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
    }
}
