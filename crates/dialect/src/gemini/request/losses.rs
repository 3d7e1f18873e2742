//! What Gemini cannot express of a canonical request, field by field: of its parameters here, of its content where the
//! parts are made.

use crate::chat::ChatRequest;
use crate::gemini::service_tier;
use crate::loss::{Loss, options};

/// The most answers, and the most stop texts ("`GenerationConfig`").
pub(super) const MAX_CHOICES: u64 = 8;
pub(super) const MAX_STOPS: usize = 5;

/// The parameters that have no word here.
pub(super) fn of(request: &ChatRequest, own: bool) -> Vec<Loss> {
    let mut losses = refused(request, own);
    let mut lose = |asked: bool, field: &'static str, why: &'static str| {
        if asked {
            losses.push(Loss::dropped(field, why));
        }
    };
    lose(request.logit_bias.is_some(), "logit_bias", "the wire samples without it");
    lose(request.store == Some(true), "store", "Google keeps no answers");
    lose(request.verbosity.is_some(), "verbosity", "the wire has no such field");
    lose(request.prediction.is_some(), "prediction", "the wire has no such field");
    lose(request.prompt_cache_key.is_some(), "prompt_cache_key", "the vendor caches by itself");
    lose(request.prompt_cache_retention.is_some(), "prompt_cache_retention", "the vendor caches by itself");
    lose(request.user.is_some(), "user", "the wire names no end user");
    lose(request.safety_identifier.is_some(), "safety_identifier", "the wire names no end user");
    lose(request.metadata.is_some(), "metadata", "the vendor keeps no labels");
    lose(
        request.parallel_tool_calls == Some(false),
        "parallel_tool_calls",
        "the model may call several at once",
    );
    lose(request.stop.len() > MAX_STOPS, "stop", "only the first five are sent");
    lose(request.stop.iter().any(String::is_empty), "stop", "an empty stop text stops nothing");
    lose(seed(request).is_none() && request.seed.is_some(), "seed", "the wire's seeds have 32 bits");
    let tier = request.service_tier.as_deref();
    lose(
        tier.is_some_and(|tier| tier != "auto" && service_tier(tier).is_none()),
        "service_tier",
        "Google has no such tier",
    );
    losses.extend(
        options(&request.stream_extra).map(|name| {
            Loss::dropped(format!("stream_options.{name}"), "the wire's streams have no options")
        }),
    );
    if !own {
        losses.extend(Loss::foreign(&request.extra));
    }
    losses
}

/// The seed, if it is one of this wire's.
pub(super) fn seed(request: &ChatRequest) -> Option<i32> {
    request.seed.and_then(|seed| i32::try_from(seed).ok())
}

/// The parameters without which the call would mean something else.
fn refused(request: &ChatRequest, own: bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut refuse = |asked: bool, field: &'static str, why: &'static str| {
        if asked {
            losses.push(Loss::refused(field, why));
        }
    };
    refuse(request.choices.is_some_and(|choices| choices > MAX_CHOICES), "n", "the wire has up to 8 answers");
    let sounds = request.modalities.iter().any(|modality| modality != "text");
    refuse(sounds && !own, "modalities", "the wire has no words for another vendor's voices");
    refuse(request.audio.is_some(), "audio", "the wire has no words for another vendor's voices");
    let search = "Google's search is a tool of its own, googleSearch, with another price";
    refuse(request.web_search_options.is_some(), "web_search_options", search);
    losses
}
