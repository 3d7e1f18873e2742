//! What the model may call, for Gemini.

use crate::chat::{ChatRequest, Json, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fields, Object};
use crate::loss::Loss;

/// What is written of tools.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    functions: Vec<&'a Tool>,
    googles: Vec<&'a Json>,
    mode: Option<&'static str>,
    allowed: Vec<&'a str>,
    own: bool,
}

impl<'a> Offer<'a> {
    pub(super) fn of(request: &'a ChatRequest, own: bool, losses: &mut Vec<Loss>) -> Self {
        let mut offer =
            Self { functions: Vec::new(), googles: Vec::new(), mode: None, allowed: Vec::new(), own };
        for (index, tool) in request.tools.iter().enumerate() {
            offer.take(tool, index, request, losses);
            if tool.cache.is_some() {
                losses.push(Loss::dropped(format!("tools[{index}].cache"), "the vendor caches by itself"));
            }
        }
        if offer.functions.is_empty() {
            return offer;
        }
        let strict = |tool: &&Tool| matches!(tool.kind, ToolKind::Function { strict: Some(true), .. });
        let held = offer.functions.iter().all(strict);
        match &request.tool_choice {
            None if held => offer.mode = Some("VALIDATED"),
            None => {}
            Some(ToolChoice::Auto) => offer.mode = Some(if held { "VALIDATED" } else { "AUTO" }),
            Some(ToolChoice::None) => offer.mode = Some("NONE"),
            // What must be called is held to its schema in any case.
            Some(ToolChoice::Required) => offer.mode = Some("ANY"),
            Some(ToolChoice::Tool(name)) => {
                offer.mode = Some("ANY");
                offer.allowed.push(name);
            }
            Some(ToolChoice::Allowed { required, names }) => {
                offer.mode = Some(if *required { "ANY" } else { "VALIDATED" });
                offer.allowed.extend(names.iter().map(String::as_str));
                if !required && !held {
                    let why = "the arguments of the allowed tools are held to their schemas, too";
                    losses.push(Loss::emulated("tool_choice", why));
                }
            }
        }
        offer.strictness(request, held, losses);
        offer
    }

    /// The wire holds all functions to their schemas or none; forced calls it holds always.
    fn strictness(&self, request: &ChatRequest, held: bool, losses: &mut Vec<Loss>) {
        let by_mode = self.mode == Some("VALIDATED");
        for (index, tool) in request.tools.iter().enumerate() {
            let ToolKind::Function { strict: Some(true), .. } = tool.kind else { continue };
            if !(by_mode && held) {
                let why = "the wire holds all functions to their schemas, or those that must be called";
                losses.push(Loss::emulated(format!("tools[{index}].strict"), why));
            }
        }
    }

    fn take(&mut self, tool: &'a Tool, index: usize, request: &ChatRequest, losses: &mut Vec<Loss>) {
        let field = || format!("tools[{index}]");
        match &tool.kind {
            ToolKind::Foreign { dialect: Dialect::GeminiGenerate, definition, .. } => {
                return self.googles.push(definition);
            }
            ToolKind::Foreign { .. } => {
                return losses.push(Loss::vendors_tool(request, index, Dialect::GeminiGenerate));
            }
            ToolKind::Custom { .. } => {
                return losses.push(Loss::refused(field(), "the wire has no tools that take free text"));
            }
            ToolKind::Function { .. } => {}
        }
        if !self.own {
            losses.extend(Loss::foreign_tool(index, tool));
        }
        self.functions.push(tool);
    }

    /// Whether the model may call a function.
    pub(super) fn calls(&self) -> bool {
        !self.functions.is_empty() && self.mode != Some("NONE")
    }

    /// Writes `tools` and `toolConfig`. `carried`: what stood beside the choice.
    pub(super) fn write(&self, body: &mut Object<'_>, carried: Option<&Json>) {
        if !(self.functions.is_empty() && self.googles.is_empty()) {
            let functions = (!self.functions.is_empty()).then_some(Entry::Functions);
            let entries = functions.into_iter().chain(self.googles.iter().map(|json| Entry::Google(json)));
            body.objects("tools", entries, |object, entry| match entry {
                Entry::Functions => {
                    object.objects("functionDeclarations", &self.functions, |object, tool| {
                        self.function(object, tool);
                    });
                }
                Entry::Google(definition) => object.members(definition),
            });
        }
        if self.mode.is_none() && carried.is_none() {
            return;
        }
        // What stood beside the choice, of which one member stood inside it.
        let mut rest = carried
            .and_then(|carried| Fields::of(carried.raw(), &At::Root).ok().map(Fields::rest))
            .unwrap_or_default();
        let inside = rest.remove("functionCallingConfig");
        body.object("toolConfig", |config| {
            if self.mode.is_some() || inside.is_some() {
                config.object("functionCallingConfig", |calling| {
                    calling.opt("mode", self.mode);
                    if !self.allowed.is_empty() {
                        calling.field("allowedFunctionNames", &self.allowed);
                    }
                    if let Some(inside) = &inside {
                        calling.members(inside);
                    }
                });
            }
            config.extra(&rest);
        });
    }

    fn function(&self, object: &mut Object<'_>, tool: &Tool) {
        object.field("name", &tool.name);
        object.opt("description", tool.description.as_ref().filter(|text| !text.is_empty()));
        if let ToolKind::Function { parameters: Some(parameters), .. } = &tool.kind {
            object.field("parametersJsonSchema", parameters);
        }
        if self.own {
            object.extra(&tool.extra);
        }
    }
}

enum Entry<'j> {
    Functions,
    Google(&'j Json),
}
