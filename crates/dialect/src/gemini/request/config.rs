//! `generationConfig`, as a client tells it.

use serde_json::value::RawValue;

use crate::chat::{ChatRequest, Extra, Json, ResponseFormat, Thinking, ThinkingMode};
use crate::gemini::members::Members;
use crate::gemini::request::decode::carry;
use crate::gemini::schema::json_schema;
use crate::json::{At, Fault};

/// The member, by which what is left of it is carried.
pub(super) const NAME: &str = "generationConfig";
/// The name of a schema on wires that want one.
const SCHEMA: &str = "output";
/// What the model shows of its thoughts, in the canonical words.
pub(super) const SHOWN: &str = "summarized";
pub(super) const HIDDEN: &str = "omitted";

pub(super) fn decode(
    members: &mut Members<'_, '_>,
    request: &mut ChatRequest,
    carried: &mut Extra,
) -> Result<(), Fault> {
    let name = members.name(NAME)?.into_owned();
    let Some(raw) = members.take(NAME)? else { return Ok(()) };
    let at = members.at.field(&name);
    let mut config = Members::of(raw, &at)?;
    request.max_output_tokens = config.count("maxOutputTokens", 0, u32::MAX)?;
    request.temperature = config.number("temperature", 0.0, 2.0)?;
    request.top_p = config.number("topP", 0.0, 1.0)?;
    request.top_k = config.count("topK", 0, u32::MAX)?;
    request.stop = config.opt("stopSequences", "an array of strings")?.unwrap_or_default();
    request.choices = config.count("candidateCount", 1, 128)?;
    request.seed = config.whole("seed", i64::from(i32::MIN), i64::from(i32::MAX))?;
    request.presence_penalty = config.number("presencePenalty", -2.0, 2.0)?;
    request.frequency_penalty = config.number("frequencyPenalty", -2.0, 2.0)?;
    request.logprobs = config.flag("responseLogprobs")?;
    request.top_logprobs = config.count("logprobs", 0, 20)?;
    let modalities: Option<Vec<String>> = config.opt("responseModalities", "an array of strings")?;
    request.modalities =
        modalities.unwrap_or_default().iter().map(|kind| kind.to_ascii_lowercase()).collect();
    thinking(&mut config, request, carried)?;
    format(&mut config, request, carried)?;
    let mut rest = config.rest();
    for name in ["thinkingConfig", "responseMimeType", "responseSchema"] {
        rest.extend(carried.remove(name).map(|json| (name.to_owned(), json)));
    }
    carry(carried, NAME, &rest);
    Ok(())
}

fn thinking(
    config: &mut Members<'_, '_>,
    request: &mut ChatRequest,
    carried: &mut Extra,
) -> Result<(), Fault> {
    let name = config.name("thinkingConfig")?.into_owned();
    let Some(raw) = config.take("thinkingConfig")? else { return Ok(()) };
    let at = config.at.field(&name);
    let mut thinking = Members::of(raw, &at)?;
    let budget = thinking.whole("thinkingBudget", -1, i64::MAX)?;
    let level = thinking.text("thinkingLevel")?.map(|level| level.to_ascii_lowercase());
    request.reasoning_effort = level.filter(|level| level != "thinking_level_unspecified");
    let display = thinking.flag("includeThoughts")?.map(|shown| if shown { SHOWN } else { HIDDEN });
    let mode = match budget {
        Some(0) => Some(ThinkingMode::Disabled),
        Some(budget) => Some(u64::try_from(budget).map_or(ThinkingMode::Adaptive, ThinkingMode::Budget)),
        None => display.map(|_| ThinkingMode::Adaptive),
    };
    request.thinking = mode.map(|mode| Thinking { mode, display: display.map(str::to_owned) });
    carry(carried, "thinkingConfig", &thinking.rest());
    Ok(())
}

/// The form of the answer. A choice of words (`text/x.enum`) has no name on other wires, and is carried.
fn format(config: &mut Members<'_, '_>, request: &mut ChatRequest, carried: &mut Extra) -> Result<(), Fault> {
    let kind = config.text("responseMimeType")?;
    let googles = config.name("responseSchema")?.into_owned();
    let googles = (config.take("responseSchema")?, config.at.field(&googles));
    let plain = config.name("responseJsonSchema")?.into_owned();
    let plain_raw = config.take("responseJsonSchema")?;
    let at = config.at.field(&plain);
    match kind.as_deref() {
        None | Some("" | "text/plain") if googles.0.is_none() && plain_raw.is_none() => {
            request.response_format =
                kind.as_deref().filter(|kind| !kind.is_empty()).map(|_| ResponseFormat::Text);
        }
        Some("application/json") => {
            let schema = schema(googles, (plain_raw, at))?;
            request.response_format = Some(match schema {
                None => ResponseFormat::JsonObject,
                schema => ResponseFormat::JsonSchema {
                    name: SCHEMA.to_owned(),
                    schema,
                    strict: None,
                    description: None,
                },
            });
        }
        None | Some("" | "text/plain") => {
            let at = config.at.field("responseMimeType");
            return Err(Fault::invalid(&at, format!("`{at}` must be `application/json` beside a schema")));
        }
        Some(other) => {
            let word = serde_json::Value::from(other).to_string();
            carried.extend(Json::parse(word).ok().map(|word| ("responseMimeType".to_owned(), word)));
            carried.extend(
                schema(googles, (plain_raw, at))?.map(|schema| ("responseSchema".to_owned(), schema)),
            );
        }
    }
    Ok(())
}

type Placed<'a, 'p> = (Option<&'a RawValue>, At<'p>);

fn schema(googles: Placed<'_, '_>, plain: Placed<'_, '_>) -> Result<Option<Json>, Fault> {
    match (googles, plain) {
        ((Some(_), _), (Some(_), at)) => {
            Err(Fault::invalid(&at, format!("`{at}` stands beside `responseSchema`: write one of them")))
        }
        ((Some(raw), at), _) => json_schema(raw, &at).map(Some),
        (_, (Some(raw), _)) if raw.get().starts_with('{') => Ok(Some(raw.into())),
        (_, (Some(raw), at)) => Err(Fault::mistyped(&at, "an object", raw)),
        _ => Ok(None),
    }
}
