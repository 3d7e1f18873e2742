//! What Chat Completions cannot express of a canonical request, field by field.
//!
//! What only tunes is dropped, what the wire reaches by other means is emulated, and what would silently change the
//! meaning of the call is refused.

use crate::chat::{ChatRequest, FileSource, Media, Part, Role, ThinkingMode};
use crate::dialect::{Dialect, Target};
use crate::loss::{Loss, Losses, options, strangers};
use crate::openai_chat::quirks::Quirks;
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

/// What the model takes of a call that came in another wire's words. Another server's models take what they take.
pub(super) fn quirks(request: &ChatRequest, target: &Target<'_>) -> Quirks {
    let foreign = request.origin.is_some_and(|origin| origin != Dialect::OpenAiChat);
    if foreign && !target.compatible { Quirks::of(target.model) } else { Quirks::ANY }
}

/// Names what the model would refuse. What says no more than holds anyway is no loss.
fn refused_by_model(request: &ChatRequest, quirks: Quirks, losses: &mut Losses) {
    let moved =
        |value: Option<f64>, from: f64| value.is_some_and(|value| (value - from).abs() > f64::EPSILON);
    if !quirks.sampling.is_taken(effort(request).as_deref()) {
        for (name, value, usual) in [
            ("temperature", request.temperature, 1.0),
            ("top_p", request.top_p, 1.0),
            ("presence_penalty", request.presence_penalty, 0.0),
            ("frequency_penalty", request.frequency_penalty, 0.0),
        ] {
            if moved(value, usual) {
                losses.push(Loss::dropped(name, "a model that reasons samples as it is made to"));
            }
        }
    }
    if !quirks.stop && !request.stop.is_empty() {
        losses.push(Loss::dropped("stop", "a model that reasons takes no stop texts"));
    }
    if !quirks.effort && effort(request).is_some() {
        let name = if request.reasoning_effort.is_some() { "reasoning_effort" } else { "thinking" };
        losses.push(Loss::dropped(name, "the model does not reason"));
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
pub(super) fn of(request: &ChatRequest, target: &Target<'_>) -> Losses {
    let mut losses = Losses::default();
    let quirks = quirks(request, target);
    parameters(request, quirks, &mut losses);
    refused_by_model(request, quirks, &mut losses);
    tools(request, &mut losses);
    content(request, target, &mut losses);
    losses
}

fn parameters(request: &ChatRequest, quirks: Quirks, losses: &mut Losses) {
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
    lose(quirks.stop && request.stop.len() > MAX_STOPS, || {
        Loss::dropped("stop", "only the first four are sent")
    });
    lose(request.user.as_ref().is_some_and(|user| user.len() > MAX_USER), || {
        Loss::dropped("user", "the wire takes at most 64 bytes")
    });
    lose(foreign && request.metadata.is_some(), || {
        Loss::dropped("metadata", "the vendor takes labels of stored answers only")
    });
    lose(request.service_tier.as_deref() == Some("reserved"), || {
        Loss::dropped("service_tier", "the vendor reserves no capacity by call")
    });
    lose(quirks.effort && request.reasoning_effort.as_deref() == Some("max"), || {
        Loss::emulated("reasoning_effort", "the strongest effort of the wire is xhigh")
    });
    let by_effort = quirks.effort && request.reasoning_effort.is_none();
    lose(by_effort && matches!(mode, Some(ThinkingMode::Budget(_))), || {
        Loss::emulated("thinking", "the budget became an effort")
    });
    lose(by_effort && matches!(mode, Some(ThinkingMode::Adaptive | ThinkingMode::BetweenTools)), || {
        Loss::emulated("thinking", "it became the effort medium")
    });
    lose(mode == Some(ThinkingMode::Disabled), || {
        Loss::dropped("thinking", "the wire has no switch; the model thinks as it is made to")
    });
    lose(foreign && request.modalities.iter().any(|kind| kind != "text"), || {
        Loss::refused("modalities", "the vendor answers in text, unless it is told a voice in its own words")
    });
    lose(shown, || Loss::dropped("thinking.display", "the wire shows what it shows"));
    if foreign {
        let lost = options(&request.stream_extra).filter(|name| !is_own_option(name));
        losses.extend(lost.map(|name| {
            Loss::dropped(format!("stream_options.{name}"), "the wire has no such option of a stream")
        }));
        losses.extend(Loss::foreign(&request.extra));
    }
}

/// Whether OpenAI's other wire has the option of a stream, too.
pub(super) fn is_own_option(name: &str) -> bool {
    name == "include_obfuscation"
}

fn tools(request: &ChatRequest, losses: &mut Losses) {
    for (index, tool) in request.tools.iter().enumerate() {
        if !is_expressible(tool) {
            losses.push(Loss::vendors_tool(request, index, Dialect::OpenAiChat));
            continue;
        }
        if tool.cache.is_some() {
            losses.push(mark(format!("tools[{index}].cache")));
        }
        losses.extend(Loss::foreign_tool(index, tool));
    }
}

fn content(request: &ChatRequest, target: &Target<'_>, losses: &mut Losses) {
    let foreign = request.origin.is_some_and(|origin| origin != Dialect::OpenAiChat);
    if foreign && request.messages.last().is_some_and(|last| last.role == Role::Assistant) {
        let why = "the model answers its own last words instead of going on from them";
        losses.push(Loss::emulated(format!("messages[{}]", request.messages.len() - 1), why));
    }
    for (index, message) in request.messages.iter().enumerate() {
        if foreign {
            let names = strangers(&message.extra).map(|name| format!("messages[{index}].{name}"));
            losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
        }
        for (number, part) in message.content.iter().enumerate() {
            let field = || format!("messages[{index}].content[{number}]");
            if matches!(part, Part::CacheMark(_)) {
                losses.push(mark(field()));
                continue;
            }
            one(part, foreign, target, &field, losses);
            if let Part::ToolResult(result) = part {
                for (number, inner) in result.content.iter().enumerate() {
                    let field = || format!("{}.content[{number}]", field());
                    if matches!(inner, Part::CacheMark(_)) {
                        losses.push(mark(field()));
                    } else {
                        one(inner, foreign, target, &field, losses);
                    }
                }
            }
        }
    }
}

fn mark(field: String) -> Loss {
    Loss::dropped(field, "the vendor caches by itself")
}

/// What is lost of one part. An answer that is sent back loses no more than what only marks it.
fn one(part: &Part, foreign: bool, target: &Target<'_>, field: &dyn Fn() -> String, losses: &mut Losses) {
    beside(part, foreign, field, losses);
    let loss = match part {
        Part::Image { source: Media::Id(_), .. } | Part::File { source: FileSource::Id(_), .. }
            if foreign =>
        {
            Loss::refused(field(), "the file is in another vendor's store: send its content")
        }
        Part::Audio { format, .. } if foreign && !matches!(format.as_str(), "wav" | "mp3") => {
            Loss::refused(field(), "the vendor takes sound as wav or mp3")
        }
        Part::File { source: FileSource::Url(_), .. } => {
            Loss::refused(field(), "the vendor fetches no documents: send its content")
        }
        Part::File { source: FileSource::Text(_) | FileSource::Parts(_), .. } => {
            losses.extend(Loss::pieces(&field(), part));
            Loss::emulated(field(), "the document became text")
        }
        Part::File { context: Some(_), .. } => {
            Loss::dropped(field(), "the wire has no context of a document")
        }
        Part::SearchResult { .. } => Loss::emulated(field(), "the search result became text"),
        Part::Foreign { dialect, kind, .. } if *dialect != Dialect::OpenAiChat => {
            Loss::foreign_part(field(), kind)
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
fn beside(part: &Part, foreign: bool, field: &dyn Fn() -> String, losses: &mut Losses) {
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
        let names = strangers(extra).map(|name| format!("{}.{name}", field()));
        losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
    }
}
