//! `additionalModelRequestFields`: what a model's own vendor takes and Converse has no word for. The fields of Anthropic's
//! that the canonical model knows are read; the others, and those of another shape, are carried as they are.

use serde_json::value::RawValue;

use crate::anthropic::request::headers;
use crate::bedrock::request::decode::carry;
use crate::chat::{ChatRequest, Extra, Json, ResponseFormat, Thinking, ThinkingMode, ToolChoice};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, Object};

/// The member's name.
pub(super) const NAME: &str = "additionalModelRequestFields";

pub(super) fn decode(
    fields: &mut Fields<'_, '_>,
    request: &mut ChatRequest,
    carried: &mut Extra,
) -> Result<(), Fault> {
    let Some(raw) = fields.take(NAME) else { return Ok(()) };
    if !raw.get().starts_with('{') {
        // Any JSON, to the service model.
        carried.insert(NAME.to_owned(), raw.into());
        return Ok(());
    }
    let at = fields.at.field(NAME);
    let mut own = Fields::of(raw, &at)?;
    request.top_k = own.take_if("top_k", |raw| raw.get().parse().ok());
    request.thinking = own.take_if("thinking", thinking);
    if request.thinking.is_none() {
        request.thinking = own.take_if("reasoning_config", thinking);
        request.places.word("thinking", "additionalModelRequestFields.reasoning_config");
    }
    if request.reasoning_effort.is_none() {
        request.reasoning_effort = own.text_or_leave("reasoning_effort");
        request.places.word("reasoning_effort", "additionalModelRequestFields.reasoning_effort");
    }
    if let Some((choice, parallel)) = own.take_if("tool_choice", tool_choice) {
        request.parallel_tool_calls = parallel.then_some(false);
        if request.tool_choice.is_none() {
            request.tool_choice = Some(choice);
            request.places.word("tool_choice", "additionalModelRequestFields.tool_choice");
        }
    }
    output(&mut own, request);
    carry(carried, NAME, &own.rest());
    Ok(())
}

/// Anthropic's `thinking`, of which Converse's older guide says `reasoning_config`. None if it holds more than is known.
fn thinking(raw: &RawValue) -> Option<Thinking> {
    let mut fields = Fields::of(raw, &At::Root).ok()?;
    let budget = fields.count("budget_tokens", 0, u64::MAX).ok()?;
    let mode = match (fields.text_or_leave("type")?.as_str(), budget) {
        ("enabled", Some(tokens)) => ThinkingMode::Budget(tokens),
        ("adaptive", None) => ThinkingMode::Adaptive,
        ("between_tools", None) => ThinkingMode::BetweenTools,
        ("disabled", None) => ThinkingMode::Disabled,
        _ => return None,
    };
    let display = fields.text_or_leave("display");
    fields.rest().is_empty().then_some(Thinking { mode, display })
}

/// Anthropic's `tool_choice`, and whether it forbids calls side by side.
fn tool_choice(raw: &RawValue) -> Option<(ToolChoice, bool)> {
    let mut fields = Fields::of(raw, &At::Root).ok()?;
    let choice = match fields.text_or_leave("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Tool(fields.text_or_leave("name")?),
        "none" => ToolChoice::None,
        _ => return None,
    };
    let single = fields.flag("disable_parallel_tool_use").ok()?.unwrap_or(false);
    fields.rest().is_empty().then_some((choice, single))
}

/// Anthropic's `output_config`: the effort, and the form of the answer, unless Converse's own words say them already.
fn output(own: &mut Fields<'_, '_>, request: &mut ChatRequest) {
    let read = |raw: &RawValue| {
        let mut fields = Fields::of(raw, &At::Root).ok()?;
        let effort = fields.text("effort").ok()?;
        let format = match fields.take("format") {
            Some(raw) => Some(schema(raw)?),
            None => None,
        };
        let twice = (effort.is_some() && request.reasoning_effort.is_some())
            || (format.is_some() && request.response_format.is_some());
        (!twice && fields.rest().is_empty()).then_some((effort, format))
    };
    let Some((effort, format)) = own.take_if("output_config", read) else { return };
    if effort.is_some() {
        request.reasoning_effort = effort;
        request.places.word("reasoning_effort", "additionalModelRequestFields.output_config.effort");
    }
    if format.is_some() {
        request.places.word("response_format", "additionalModelRequestFields.output_config.format");
    }
    let format = format.map(|schema| ResponseFormat::JsonSchema {
        name: "output".to_owned(),
        schema: Some(schema),
        strict: None,
        description: None,
    });
    request.response_format = format.or_else(|| request.response_format.take());
}

fn schema(raw: &RawValue) -> Option<Json> {
    let mut fields = Fields::of(raw, &At::Root).ok()?;
    let known = fields.text_or_leave("type").is_some_and(|kind| kind == "json_schema");
    let schema = fields.json("schema")?;
    (known && fields.rest().is_empty()).then_some(schema)
}

/// What a client of Anthropic's wire asks that the canonical model has no word for, and that AWS hands on to Claude (user
/// guide, "Anthropic Claude Messages API": betas and what they bring).
#[derive(Debug, Default)]
pub(super) struct Beyond<'a> {
    management: Option<&'a Json>,
    /// As the body has them, if they are no list of names.
    odd: Option<&'a Json>,
    betas: Vec<String>,
    /// How fast the answer is wanted.
    pub(super) latency: Option<&'a Json>,
}

const MANAGEMENT: &str = "context_management";
const BETAS: &str = "anthropic_beta";

impl<'a> Beyond<'a> {
    pub(super) fn of(request: &'a ChatRequest, claude: bool) -> Self {
        if request.origin != Some(Dialect::AnthropicMessages) {
            return Self::default();
        }
        let extra = &request.extra;
        let latency = extra.get(headers::LATENCY);
        if !claude {
            return Self { latency, ..Self::default() };
        }
        let written = extra.get(BETAS);
        let list = written.and_then(headers::list);
        let odd = written.filter(|_| list.is_none());
        let mut betas = list.unwrap_or_default();
        let known = headers::betas(extra).into_iter().filter(|beta| headers::is_on_bedrock(beta));
        let new: Vec<String> = known.filter(|beta| !betas.contains(beta)).collect();
        betas.extend(new);
        Self { management: extra.get(MANAGEMENT), odd, betas, latency }
    }

    /// Whether there is nothing for the model's vendor.
    pub(super) fn is_empty(&self) -> bool {
        self.management.is_none() && self.odd.is_none() && self.betas.is_empty()
    }

    /// Whether what is named goes over.
    pub(super) fn holds(&self, name: &str) -> bool {
        match name {
            MANAGEMENT => self.management.is_some(),
            BETAS => self.odd.is_some() || !self.betas.is_empty(),
            headers::LATENCY => self.latency.is_some(),
            name => {
                let beta = name.strip_prefix(headers::BETA).and_then(|rest| rest.strip_prefix(": "));
                beta.is_some_and(|beta| self.betas.iter().any(|known| known == beta))
            }
        }
    }

    pub(super) fn write(&self, fields: &mut Object<'_>) {
        fields.opt(BETAS, self.odd);
        if !self.betas.is_empty() {
            fields.field(BETAS, &self.betas);
        }
        fields.opt(MANAGEMENT, self.management);
    }
}
