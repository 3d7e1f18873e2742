//! Tools. AWS has no word for "call nothing", and wants the tools of every call in the history; so tools that must not be
//! called are named, and an instruction forbids them.

use std::collections::BTreeSet;

use crate::bedrock::content::cache_point;
use crate::chat::{ChatRequest, Json, Part, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::Object;
use crate::loss::{Loss, Losses};

/// What is written of tools.
#[derive(Debug, Default)]
pub(super) struct Tools<'a> {
    specs: Vec<Spec<'a>>,
    /// Converse's own choice.
    choice: Option<Choice<'a>>,
    /// Anthropic's choice, which forbids calls side by side.
    pub(super) single: Option<Choice<'a>>,
    /// The model must be told not to call any.
    pub(super) forbidden: bool,
    /// The request came in this dialect: tools keep their further members.
    own: bool,
}

#[derive(Debug)]
enum Spec<'a> {
    Given(&'a Tool),
    /// A tool that was called earlier and is not given any more.
    Remembered(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    Auto,
    Any,
    Tool(&'a str),
}

impl Choice<'_> {
    pub(super) fn is_forced(self) -> bool {
        !matches!(self, Self::Auto)
    }
}

impl<'a> Tools<'a> {
    pub(super) fn is_forced(&self) -> bool {
        self.choice.or(self.single).is_some_and(Choice::is_forced)
    }

    pub(super) fn of(request: &'a ChatRequest, claude: bool, losses: &mut Losses) -> Self {
        let own = request.origin == Some(Dialect::BedrockConverse);
        let called = called(request);
        let mut tools = Self { own, ..Self::default() };
        if !matches!(request.tool_choice, Some(ToolChoice::None)) {
            tools.given(request, own, losses);
        }
        if tools.specs.is_empty() {
            tools.remember(request, &called, losses);
            return tools;
        }
        let choice = match &request.tool_choice {
            None | Some(ToolChoice::None) => None,
            Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Some(Choice::Auto),
            Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Some(Choice::Any),
            Some(ToolChoice::Tool(name)) => Some(Choice::Tool(name)),
        };
        match request.parallel_tool_calls {
            Some(false) if claude || own => tools.single = Some(choice.unwrap_or(Choice::Auto)),
            Some(false) => {
                losses.push(Loss::dropped("parallel_tool_calls", "the model may call several tools at once"));
                tools.choice = choice;
            }
            Some(true) | None => tools.choice = choice,
        }
        tools
    }

    /// The tools that are given and may be called.
    fn given(&mut self, request: &'a ChatRequest, own: bool, losses: &mut Losses) {
        let allowed: Option<BTreeSet<&str>> = match &request.tool_choice {
            Some(ToolChoice::Allowed { names, .. }) => {
                losses.push(Loss::emulated("tool_choice", "only the allowed tools are sent"));
                Some(names.iter().map(String::as_str).collect())
            }
            _ => None,
        };
        for (index, tool) in request.tools.iter().enumerate() {
            if allowed.as_ref().is_some_and(|allowed| !allowed.contains(tool.name.as_str())) {
                continue;
            }
            let field = || format!("tools[{index}]");
            match &tool.kind {
                ToolKind::Foreign { dialect: Dialect::BedrockConverse, .. } | ToolKind::Function { .. } => {}
                ToolKind::Foreign { .. } => {
                    losses.push(Loss::vendors_tool(request, index, Dialect::BedrockConverse));
                    continue;
                }
                ToolKind::Custom { .. } => {
                    losses.push(Loss::refused(field(), "the wire has no tools that take free text"));
                    continue;
                }
            }
            if !own {
                losses.extend(Loss::foreign_tool(index, tool));
            }
            self.specs.push(Spec::Given(tool));
        }
    }

    /// No tool may be called, but some were: AWS wants them named.
    fn remember(&mut self, request: &'a ChatRequest, called: &[&'a str], losses: &mut Losses) {
        if called.is_empty() {
            return;
        }
        for name in called {
            let known = request
                .tools
                .iter()
                .find(|tool| tool.name == *name && matches!(tool.kind, ToolKind::Function { .. }));
            self.specs.push(known.map_or(Spec::Remembered(name), Spec::Given));
        }
        self.forbidden = true;
        // What the caller wrote of it: that its tools must not be called, or no tools.
        let said_none = !request.tools.is_empty() && request.tool_choice == Some(ToolChoice::None);
        let why = "the tools of earlier calls are named, and an instruction forbids to call them";
        losses.push(Loss::emulated(if said_none { "tool_choice" } else { "tools" }, why));
    }

    /// Writes `toolConfig`, if there is anything in it. `carried`: what stood beside.
    pub(super) fn write(&self, body: &mut Object<'_>, carried: Option<&Json>) {
        if self.specs.is_empty() {
            return;
        }
        let entries = self.specs.iter().flat_map(|spec| {
            let mark = match spec {
                Spec::Given(tool) => tool.cache.map(Entry::Mark),
                Spec::Remembered(_) => None,
            };
            std::iter::once(Entry::Tool(spec)).chain(mark)
        });
        body.object("toolConfig", |config| {
            config.objects("tools", entries, |object, entry| match entry {
                Entry::Tool(spec) => spec.write(object, self.own),
                Entry::Mark(ttl) => cache_point(object, ttl),
            });
            if let Some(choice) = self.choice {
                config.object("toolChoice", |object| match choice {
                    Choice::Auto => object.object("auto", |_| {}),
                    Choice::Any => object.object("any", |_| {}),
                    Choice::Tool(name) => object.object("tool", |tool| tool.field("name", name)),
                });
            }
            if let Some(carried) = carried {
                config.members(carried);
            }
        });
    }

    /// Writes Anthropic's choice into the model's own fields.
    pub(super) fn write_single(&self, fields: &mut Object<'_>) {
        let Some(choice) = self.single else { return };
        fields.object("tool_choice", |object| {
            match choice {
                Choice::Auto => object.field("type", "auto"),
                Choice::Any => object.field("type", "any"),
                Choice::Tool(name) => {
                    object.field("type", "tool");
                    object.field("name", name);
                }
            }
            object.field("disable_parallel_tool_use", &true);
        });
    }
}

enum Entry<'s, 'a> {
    Tool(&'s Spec<'a>),
    Mark(crate::chat::CacheTtl),
}

impl Spec<'_> {
    fn write(&self, object: &mut Object<'_>, own: bool) {
        match self {
            Self::Given(Tool { kind: ToolKind::Foreign { definition, .. }, .. }) => {
                object.members(definition);
            }
            Self::Given(tool) => object.object("toolSpec", |spec| {
                spec.field("name", &tool.name);
                spec.opt("description", tool.description.as_ref().filter(|text| !text.is_empty()));
                let (parameters, strict) = match &tool.kind {
                    ToolKind::Function { parameters, strict } => (parameters.as_ref(), *strict),
                    ToolKind::Custom { .. } | ToolKind::Foreign { .. } => (None, None),
                };
                schema(spec, parameters);
                spec.opt("strict", strict.as_ref());
                if own {
                    spec.extra(&tool.extra);
                }
            }),
            Self::Remembered(name) => object.object("toolSpec", |spec| {
                spec.field("name", name);
                schema(spec, None);
            }),
        }
    }
}

/// The schema is required; without one a tool takes nothing.
fn schema(spec: &mut Object<'_>, parameters: Option<&Json>) {
    spec.object("inputSchema", |schema| match parameters {
        Some(parameters) => schema.field("json", parameters),
        None => schema.object("json", |object| {
            object.field("type", "object");
            object.object("properties", |_| {});
        }),
    });
}

/// The tools that were called in the history, in the order of their first calls.
fn called(request: &ChatRequest) -> Vec<&str> {
    let mut names = Vec::new();
    for part in request.messages.iter().flat_map(|message| &message.content) {
        if let Part::ToolCall(call) = part
            && !names.contains(&call.name.as_str())
        {
            names.push(call.name.as_str());
        }
    }
    names
}
