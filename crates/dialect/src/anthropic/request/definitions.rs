//! What the model may call, for a vendor.

use std::collections::BTreeSet;

use crate::anthropic::quirks::Quirks;
use crate::anthropic::request::encode::is_own;
use crate::anthropic::request::parts::cache_control;
use crate::anthropic::request::turns::{Conversation, called};
use crate::chat::{ChatRequest, Json, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fields, Object};
use crate::loss::{Loss, Losses};

/// What the vendor is told of tools.
pub(super) struct Offer<'a> {
    tools: Vec<&'a Tool>,
    /// Tools that the conversation has called and the request does not define any more.
    gone: BTreeSet<&'a str>,
    choice: Option<Choice<'a>>,
    /// The model holds the input of a tool to its schema.
    strict: bool,
}

enum Choice<'a> {
    None,
    Auto,
    Any,
    Tool(&'a str),
}

impl Offer<'_> {
    /// The model must call a tool.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.choice, Some(Choice::Any | Choice::Tool(_)))
    }
}

pub(super) fn offer<'a>(
    request: &'a ChatRequest,
    quirks: Quirks,
    conversation: &Conversation<'a>,
    losses: &mut Losses,
) -> Offer<'a> {
    let mut tools: Vec<&Tool> = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        if is_expressible(request, tool, index, losses) {
            tools.push(tool);
        }
        if !quirks.formats && matches!(tool.kind, ToolKind::Function { strict: Some(true), .. }) {
            let why = "the model holds no input to its schema";
            losses.push(Loss::dropped(format!("tools[{index}].strict"), why));
        }
    }
    if let Some(ToolChoice::Allowed { names, .. }) = &request.tool_choice {
        tools.retain(|tool| names.contains(&tool.name));
        losses.push(Loss::emulated("tool_choice", "only the allowed tools are sent"));
    }
    if tools.is_empty() {
        // The vendor refuses calls of tools that nobody defines.
        let gone = called(conversation);
        if !gone.is_empty() {
            losses.push(Loss::emulated(
                "tools",
                "tools that were called are defined again, and may not be called",
            ));
        }
        let choice = (!gone.is_empty()).then_some(Choice::None);
        return Offer { tools, gone, choice, strict: false };
    }
    let parallel_off = request.parallel_tool_calls == Some(false);
    let choice = match &request.tool_choice {
        None if parallel_off => Some(Choice::Auto),
        None => None,
        Some(ToolChoice::None) => Some(Choice::None),
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Some(Choice::Auto),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Some(Choice::Any),
        Some(ToolChoice::Tool(name)) => Some(Choice::Tool(name)),
    };
    Offer { tools, gone: BTreeSet::new(), choice, strict: quirks.formats }
}

fn is_expressible(request: &ChatRequest, tool: &Tool, index: usize, losses: &mut Losses) -> bool {
    match &tool.kind {
        ToolKind::Foreign { dialect: Dialect::AnthropicMessages, .. } => return true,
        ToolKind::Function { .. } => {}
        ToolKind::Foreign { .. } => {
            losses.push(Loss::vendors_tool(request, index, Dialect::AnthropicMessages));
            return false;
        }
        ToolKind::Custom { .. } => {
            losses.push(Loss::refused(
                format!("tools[{index}]"),
                "the vendor's tools take JSON, not free text",
            ));
            return false;
        }
    }
    if !is_own(request) {
        losses.extend(Loss::foreign_tool(index, tool));
    }
    true
}

pub(super) fn write(body: &mut Object<'_>, request: &ChatRequest, offer: &Offer<'_>) {
    let own = is_own(request);
    if !offer.tools.is_empty() {
        body.objects("tools", &offer.tools, |object, tool| {
            write_tool(object, tool, own, offer.strict);
        });
    } else if !offer.gone.is_empty() {
        body.objects("tools", &offer.gone, |object, name| {
            object.field("name", name);
            object.object("input_schema", |schema| schema.field("type", "object"));
        });
    }
    let Some(choice) = &offer.choice else { return };
    let parallel = request.parallel_tool_calls.filter(|_| !offer.tools.is_empty());
    body.object("tool_choice", |object| {
        let kind = match choice {
            Choice::None => "none",
            Choice::Auto => "auto",
            Choice::Any => "any",
            Choice::Tool(_) => "tool",
        };
        object.field("type", kind);
        match choice {
            Choice::None => {}
            Choice::Tool(name) => {
                object.field("name", name);
                object.opt("disable_parallel_tool_use", parallel.map(|parallel| !parallel).as_ref());
            }
            Choice::Auto | Choice::Any => {
                object.opt("disable_parallel_tool_use", parallel.map(|parallel| !parallel).as_ref());
            }
        }
    });
}

fn write_tool(object: &mut Object<'_>, tool: &Tool, own: bool, strictly: bool) {
    match &tool.kind {
        ToolKind::Foreign { definition, .. } => object.members(definition),
        // `offer` leaves these out.
        ToolKind::Custom { .. } => {}
        ToolKind::Function { parameters, strict } => {
            object.field("name", &tool.name);
            object.opt("description", tool.description.as_ref());
            object.object("input_schema", |object| write_schema(object, parameters.as_ref()));
            object.opt("strict", strict.as_ref().filter(|strict| strictly && (**strict || own)));
            if let Some(ttl) = tool.cache {
                cache_control(object, ttl);
            }
            if own {
                object.extra(&tool.extra);
            }
        }
    }
}

/// A schema must say that it is an object's.
fn write_schema(object: &mut Object<'_>, schema: Option<&Json>) {
    let at = At::Root;
    // One that says a thing twice goes as it is: the vendor judges it.
    let typed = schema.is_some_and(|schema| {
        Fields::of(schema.raw(), &at).map_or(true, |mut fields| fields.take("type").is_some())
    });
    if !typed {
        object.field("type", "object");
    }
    if let Some(schema) = schema {
        object.members(schema);
    }
}
