//! What a target cannot express of a request.

use std::collections::BTreeSet;

use steelyard_core::{ApiError, ErrorCode};

use crate::anthropic::request::headers;
use crate::chat::{ChatRequest, FileSource, Part, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{Extra, Json};

/// A request field that the target cannot express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The field as the client wrote it (`messages[2].content[0]`, `inferenceConfig.stopSequences`); inside of an encoder, as
    /// a path in the canonical request.
    pub field: String,
    /// How bad that is.
    pub kind: LossKind,
    /// What became of it.
    pub why: &'static str,
}

/// Members that are known: only what was not known of them is carried under their names.
const KNOWN: [&str; 9] = [
    "additionalModelRequestFields",
    "functionCallingConfig",
    "generationConfig",
    "inferenceConfig",
    "outputConfig",
    "output_config",
    "reasoning",
    "thinkingConfig",
    "toolConfig",
];

/// Anthropic's mark of what is to be cached.
const CACHE_CONTROL: &str = "cache_control";

/// Content that Google keeps, as clients name it.
const CACHED: [&str; 2] = ["cachedContent", "cached_content"];

/// How bad a loss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// It only tuned the answer and is left out.
    Dropped,
    /// It is reached by other means, nearly.
    Emulated,
    /// Without it the call would mean something else, so it is not made.
    Refused,
}

impl Loss {
    /// A field that only tunes and is left out.
    pub fn dropped(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Dropped, why }
    }

    /// A member that no reader knows. It is named as the client wrote it already.
    pub(crate) fn unread(path: &String) -> Self {
        Self::dropped(path, "no wire is known to have it here")
    }

    /// A request's members that only another wire has. A guardrail that silently did not run would be a lie.
    pub(crate) fn foreign(extra: &Extra) -> Vec<Self> {
        let mut losses = Vec::new();
        let mut lose = |name: String| losses.push(Self::dropped(name, "another wire's own field"));
        for (name, said) in extra.iter().filter(|(_, said)| !said.is_empty()) {
            match name.as_str() {
                "guardrailConfig" | "prompt" => {}
                name if CACHED.contains(&name) => {}
                headers::BETA => {
                    let missed = headers::betas(extra).into_iter().filter(|beta| headers::is_missed(beta));
                    missed.for_each(|beta| lose(format!("{name}: {beta}")));
                }
                _ => carried(name, name.clone(), said, &mut lose),
            }
        }
        if extra.contains_key("prompt") {
            let why = "OpenAI keeps the template, and another vendor's model would not see it";
            losses.push(Self::refused("prompt", why));
        }
        if extra.contains_key("guardrailConfig") {
            let why = "AWS keeps the guardrail, and it would not run before another vendor's model";
            losses.push(Self::refused("guardrailConfig", why));
        }
        for name in CACHED.into_iter().filter(|name| extra.contains_key(*name)) {
            let why = "Google keeps the content, and another vendor's model would not see it";
            losses.push(Self::refused(name, why));
        }
        losses
    }

    /// A tool that only another vendor defines. What the model was to reach by one of OpenAI's own tools it would make up
    /// without; the web is left out, for agents offer it in every call.
    pub(crate) fn vendors_tool(request: &ChatRequest, index: usize, target: Dialect) -> Self {
        let field = format!("tools[{index}]");
        let Some(tool) = request.tools.get(index) else {
            return Self::dropped(field, "there is no such tool");
        };
        if matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if *name == tool.name) {
            return Self::refused(field, "it must be called, and another vendor defines it");
        }
        if nothing_is_left_to_call(request, target) {
            return Self::refused(field, "some tool must be called, and another vendor defines all of them");
        }
        match &tool.kind {
            ToolKind::Foreign { dialect: Dialect::OpenAiResponses, kind, .. }
                if !kind.starts_with("web_search") =>
            {
                Self::refused(field, "OpenAI alone runs it, and the model would have to do without")
            }
            _ => Self::dropped(field, "another vendor defines it"),
        }
    }

    /// A part that only another wire has. Gemini's proof of its thoughts means nothing to others, who do without it.
    pub(crate) fn foreign_part(field: String, kind: &str) -> Self {
        match kind {
            "thoughtSignature" | "reasoning" => {
                Self::dropped(field, "another vendor's proof of its reasoning")
            }
            "item_reference" => {
                Self::refused(field, "OpenAI keeps the item, and nobody else knows it: send the item itself")
            }
            _ => Self::refused(field, "only another vendor's wire has this block"),
        }
    }

    /// What a document in pieces loses where it becomes text: the pieces that are none. `field`: the document.
    pub(crate) fn pieces(field: &str, part: &Part) -> Vec<Self> {
        let Part::File { source: FileSource::Parts(pieces), .. } = part else { return Vec::new() };
        let pieces = pieces.iter().filter(|piece| !matches!(piece, Part::CacheMark(_))).enumerate();
        let lost = pieces.filter(|(_, piece)| matches!(piece, Part::Image { .. } | Part::Foreign { .. }));
        let lose = |(number, _)| {
            let why = "the document becomes text, and this is none: send it beside the document";
            Self::refused(format!("{field}.source.content[{number}]"), why)
        };
        lost.map(lose).collect()
    }

    /// What only its own wire has of a request's messages, texts and tools, wherever it stands.
    pub(crate) fn beside(request: &ChatRequest, target: Dialect) -> impl Iterator<Item = Self> {
        let mut found = Vec::new();
        for (index, message) in request.messages.iter().enumerate() {
            let at = format!("messages[{index}]");
            found.extend(strangers(&message.extra).map(|name| format!("{at}.{name}")));
            // Claude is marked in its own words also by clients of Chat Completions.
            let marks = target.shares_words(Dialect::AnthropicMessages);
            beside(&message.content, &format!("{at}.content"), marks, &mut found);
        }
        let lost = found.into_iter().map(|field| Self::dropped(field, "another wire's own field"));
        let tools = request.tools.iter().enumerate();
        lost.chain(tools.flat_map(|(index, tool)| Self::foreign_tool(index, tool)))
    }

    /// A tool's members that only another wire has, and that say more than what holds without them.
    pub(crate) fn foreign_tool(index: usize, tool: &Tool) -> impl Iterator<Item = Self> {
        let lost = strangers(&tool.extra).filter(|name| !is_default(name, tool.extra[*name].get()));
        lost.map(move |name| Self::dropped(format!("tools[{index}].{name}"), "another wire's own field"))
    }

    /// A field that is reached by other means.
    pub fn emulated(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Emulated, why }
    }

    /// A field without which the call must not be made.
    pub fn refused(field: impl Into<String>, why: &'static str) -> Self {
        Self { field: field.into(), kind: LossKind::Refused, why }
    }
}

/// The members beside texts, in parts that stand in a list. `marks`: a mark for Claude's cache goes over.
fn beside(parts: &[Part], list: &str, marks: bool, found: &mut Vec<String>) {
    for (number, part) in parts.iter().enumerate() {
        let at = || format!("{list}[{number}]");
        match part {
            Part::Text { extra, .. } => {
                let is_mark = |name: &str| marks && name == CACHE_CONTROL;
                let lost = strangers(extra).filter(|name| !is_mark(name));
                found.extend(lost.map(|name| format!("{}.{name}", at())));
                let mark =
                    extra.get(CACHE_CONTROL).filter(|_| marks).and_then(|mark| mark.read::<Extra>().ok());
                let members = mark.iter().flat_map(strangers);
                let lost = members.filter(|name| !matches!(name.as_str(), "type" | "ttl"));
                found.extend(lost.map(|name| format!("{}.{CACHE_CONTROL}.{name}", at())));
            }
            Part::ToolResult(result) => beside(&result.content, &format!("{}.content", at()), false, found),
            Part::SearchResult { content, .. } => {
                beside(&unmarked(content), &format!("{}.content", at()), false, found);
            }
            Part::File { source: FileSource::Parts(content), .. } => {
                beside(&unmarked(content), &format!("{}.source.content", at()), false, found);
            }
            _ => {}
        }
    }
}

/// The parts that are blocks of the client's: its marks stand on them.
fn unmarked(parts: &[Part]) -> Vec<Part> {
    parts.iter().filter(|part| !matches!(part, Part::CacheMark(_))).cloned().collect()
}

/// Names what is lost with a member that is carried under `name` and stands at `path`.
fn carried(name: &str, path: String, said: &Json, lose: &mut impl FnMut(String)) {
    match said.read::<Extra>() {
        Ok(members) if KNOWN.contains(&name) => {
            for (name, said) in members.iter().filter(|(_, said)| !said.is_empty()) {
                carried(name, format!("{path}.{name}"), said, lose);
            }
        }
        _ if name == "anthropic_beta" && !headers::are_missed(said) => {}
        _ => lose(path),
    }
}

/// Whether the model must call one of several tools, and the target has a word for none of them.
fn nothing_is_left_to_call(request: &ChatRequest, target: Dialect) -> bool {
    let callable = |tool: &Tool| match &request.tool_choice {
        Some(ToolChoice::Required) => true,
        Some(ToolChoice::Allowed { required: true, names }) => names.contains(&tool.name),
        _ => false,
    };
    let mut callables = request.tools.iter().filter(|tool| callable(tool)).peekable();
    callables.peek().is_some()
        && callables.all(|tool| matches!(tool.kind, ToolKind::Foreign { dialect, .. } if dialect != target))
}

/// The members that say something, of those that another wire knows nothing of.
pub(crate) fn strangers(extra: &Extra) -> impl Iterator<Item = &String> {
    extra.iter().filter(|(_, said)| !said.is_empty()).map(|(name, _)| name)
}

/// Whether a member of a tool says what holds on every wire: its input comes when it is whole, it is told to the model at
/// once, and the model itself calls it (Anthropic, API reference of `tools`, "Tool reference").
fn is_default(name: &str, said: &str) -> bool {
    match name {
        "eager_input_streaming" | "defer_loading" => said == "false",
        "allowed_callers" => said == r#"["direct"]"#,
        _ => false,
    }
}

/// The options of a stream that are on. What is switched off cannot be missed.
pub(crate) fn options(extra: &Extra) -> impl Iterator<Item = &String> {
    extra.iter().filter(|(_, said)| said.get() != "false").map(|(name, _)| name)
}

/// The losses of one request, as an encoder finds them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    found: Vec<Loss>,
    named: BTreeSet<String>,
}

impl Losses {
    pub(crate) fn push(&mut self, loss: Loss) {
        self.named.insert(loss.field.clone());
        self.found.push(loss);
    }

    /// Names what many messages may lose, and what may be lost for several reasons, one time.
    pub(crate) fn once(&mut self, loss: Loss) {
        if !self.has(&loss.field) {
            self.push(loss);
        }
    }

    pub(crate) fn extend(&mut self, losses: impl IntoIterator<Item = Loss>) {
        losses.into_iter().for_each(|loss| self.push(loss));
    }

    /// Whether a field is among them.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.named.contains(field)
    }

    /// Whether the call will not be made.
    pub(crate) fn refuse(&self) -> bool {
        self.found.iter().any(|loss| loss.kind == LossKind::Refused)
    }

    pub(crate) fn into_vec(self) -> Vec<Loss> {
        self.found
    }
}

/// Whether a call is made in spite of what its target cannot express: the names of what is lost, or the refusal. A
/// `strict` call is made only if nothing is lost.
pub fn accept(losses: &[Loss], strict: bool) -> Result<Vec<String>, ApiError> {
    let fatal: Vec<&Loss> = losses.iter().filter(|loss| strict || loss.kind == LossKind::Refused).collect();
    let Some(first) = fatal.first() else {
        let mut names: Vec<String> = losses.iter().map(|loss| loss.field.clone()).collect();
        let mut named = BTreeSet::new();
        names.retain(|name| named.insert(name.clone()));
        return Ok(names);
    };
    let said: Vec<String> = fatal.iter().map(|loss| format!("`{}` ({})", loss.field, loss.why)).collect();
    let remedy = if first.kind == LossKind::Refused {
        "leave it out, or call a model whose wire has it"
    } else {
        "the call is strict: leave it out, or allow losses"
    };
    let text = format!("the target cannot express {}: {remedy}", said.join(", "));
    Err(ApiError::new(ErrorCode::Loss, text).with_param(first.field.clone()))
}
