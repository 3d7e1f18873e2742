//! What Converse cannot express of a canonical request, field by field: of its parameters here, of its content where the
//! blocks are made.

use crate::bedrock::request::additional::Beyond;
use crate::bedrock::service_tier;
use crate::chat::{ChatRequest, Json};
use crate::json::{At, Fields, Object};
use crate::loss::{Loss, Losses, options};

/// The parameters that have no word here.
pub(super) fn of(request: &ChatRequest, own: bool, claude: bool, beyond: &Beyond<'_>) -> Losses {
    let mut losses = refused(request);
    let mut lose = |asked: bool, field: &'static str, why: &'static str| {
        if asked {
            losses.push(Loss::dropped(field, why));
        }
    };
    let without = "the wire samples without it";
    lose(request.seed.is_some(), "seed", without);
    lose(request.presence_penalty.is_some(), "presence_penalty", without);
    lose(request.frequency_penalty.is_some(), "frequency_penalty", without);
    lose(request.logit_bias.is_some(), "logit_bias", without);
    lose(request.store == Some(true), "store", "AWS keeps no answers");
    lose(request.verbosity.is_some(), "verbosity", "the wire has no such field");
    lose(request.prediction.is_some(), "prediction", "the wire has no such field");
    lose(request.prompt_cache_key.is_some(), "prompt_cache_key", "AWS caches by marks");
    lose(request.prompt_cache_retention.is_some(), "prompt_cache_retention", "AWS caches by marks");
    let unfit = request.stop.iter().any(|stop| !is_stop(stop, claude && !own));
    lose(unfit, "stop", "AWS refuses an empty stop text, and Claude one of white space");
    let tier = request.service_tier.as_deref();
    lose(
        tier.is_some_and(|tier| tier != "auto" && service_tier(tier).is_none()),
        "service_tier",
        "AWS has no such tier",
    );
    losses.extend(
        options(&request.stream_extra).map(|name| {
            Loss::dropped(format!("stream_options.{name}"), "the wire's streams have no options")
        }),
    );
    if !own {
        let lost = Loss::foreign(&request.extra).into_iter();
        losses.extend(lost.filter(|loss| !beyond.holds(&loss.field)));
    }
    losses
}

/// The parameters without which the call would mean something else.
fn refused(request: &ChatRequest) -> Losses {
    let mut losses = Losses::default();
    let mut refuse = |asked: bool, field: &'static str, why: &'static str| {
        if asked {
            losses.push(Loss::refused(field, why));
        }
    };
    refuse(request.choices.is_some_and(|choices| choices > 1), "n", "the wire has one answer");
    refuse(request.logprobs == Some(true), "logprobs", "the wire tells no probabilities");
    refuse(request.top_logprobs.is_some(), "top_logprobs", "the wire tells no probabilities");
    let sounds = request.modalities.iter().any(|modality| modality != "text");
    refuse(sounds, "modalities", "the wire answers in text");
    refuse(request.audio.is_some(), "audio", "the wire answers in text");
    refuse(request.web_search_options.is_some(), "web_search_options", "AWS runs no web search here");
    losses
}

/// Whether a stop text is taken. `claude`: by Anthropic's rules as well.
pub(super) fn is_stop(text: &str, claude: bool) -> bool {
    if claude { !text.trim().is_empty() } else { !text.is_empty() }
}

/// The most labels, and the most bytes of a name or a value (API reference, `RequestMetadata`).
const MAX_LABELS: usize = 16;
const MAX_LABEL: usize = 256;

/// The labels that AWS stores with the call.
#[derive(Debug)]
pub(super) enum Labels<'a> {
    /// As the client of this wire wrote them.
    Own(&'a Json),
    Made(Vec<(String, String)>),
}

impl Labels<'_> {
    pub(super) fn write(&self, body: &mut Object<'_>) {
        match self {
            Self::Own(metadata) => body.field("requestMetadata", metadata),
            Self::Made(labels) if labels.is_empty() => {}
            Self::Made(labels) => body.object("requestMetadata", |object| {
                for (name, value) in labels {
                    object.field(name, value);
                }
            }),
        }
    }
}

/// The labels, and those among them that AWS does not take.
pub(super) fn labels<'a>(request: &'a ChatRequest, own: bool, losses: &mut Losses) -> Labels<'a> {
    if let Some(metadata) = request.metadata.as_ref().filter(|_| own) {
        return Labels::Own(metadata);
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    for (name, value) in request.metadata.as_ref().map(given).unwrap_or_default() {
        let taken = value.filter(|value| fits(&name, value) && labels.len() < MAX_LABELS);
        match taken {
            Some(value) => labels.push((name, value)),
            None => losses.push(Loss::dropped(format!("metadata.{name}"), LABELS)),
        }
    }
    for (name, value) in [("user", &request.user), ("safety_identifier", &request.safety_identifier)] {
        let Some(value) = value else { continue };
        let free = labels.len() < MAX_LABELS && labels.iter().all(|(known, _)| known != name);
        if free && fits(name, value) {
            labels.push((name.to_owned(), value.clone()));
        } else {
            losses.push(Loss::dropped(name, LABELS));
        }
    }
    Labels::Made(labels)
}

const LABELS: &str = "AWS takes 16 labels of 256 letters, digits, white space and : _ @ $ # = / + , - .";

/// The members of the metadata, with their values if they are strings.
fn given(metadata: &Json) -> Vec<(String, Option<String>)> {
    let Ok(fields) = Fields::of(metadata.raw(), &At::Root) else { return Vec::new() };
    fields.rest().into_iter().map(|(name, value)| (name, value.as_string())).collect()
}

fn fits(name: &str, value: &str) -> bool {
    let good = |text: &str| {
        text.len() <= MAX_LABEL
            && text.chars().all(|letter| {
                letter.is_ascii_alphanumeric()
                    || letter.is_ascii_whitespace()
                    || ":_@$#=/+,-.".contains(letter)
            })
    };
    !name.is_empty() && good(name) && good(value)
}
