//! Names of tools that a target's wire refuses: what is sent in their place, and the way back.
//!
//! Gemini's functions may be called `files.read`, Anthropic's may have 128 letters; OpenAI and AWS take neither. Such a name
//! is sent in letters that fit, with a checksum of what it was, wherever it stands: in the definitions, in the choice, and
//! in the calls of the history. The answer's calls get the caller's names again. It is a function of the request alone, so
//! a conversation that goes on is sent the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::chat::{ChatRequest, ChatResponse, Part, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::event::StreamEvent;
use crate::loss::Loss;

/// What a wire takes as the name of a tool: letters, digits, `_`, `-`, and what stands here.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// The most letters.
    most: usize,
    /// Also `.` and `:`, but it begins with a letter or `_`.
    googles: bool,
}

impl Rule {
    const fn of(wire: Dialect) -> Self {
        let (most, googles) = match wire {
            Dialect::OpenAiChat | Dialect::BedrockConverse => (64, false),
            Dialect::OpenAiResponses | Dialect::AnthropicMessages | Dialect::BedrockInvokeAnthropic => {
                (128, false)
            }
            Dialect::GeminiGenerate | Dialect::GeminiArray => (128, true),
        };
        Self { most, googles }
    }

    fn takes(self, letter: char) -> bool {
        letter.is_ascii_alphanumeric()
            || matches!(letter, '_' | '-')
            || (self.googles && matches!(letter, '.' | ':'))
    }

    fn begins_well(self, name: &str) -> bool {
        !self.googles || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
    }

    fn fits(self, name: &str) -> bool {
        !name.is_empty()
            && name.len() <= self.most
            && self.begins_well(name)
            && name.chars().all(|letter| self.takes(letter))
    }

    /// A name that fits. `turn` makes others of it.
    fn fitted(self, name: &str, turn: u32) -> String {
        let head = if self.begins_well(name) { "" } else { "_" };
        let letters = name.chars().map(|letter| if self.takes(letter) { letter } else { '_' });
        // Room for the checksum, and for what a name may have to begin with.
        let kept: String = letters.take(self.most - 10).collect();
        let mut sum = crc32fast::Hasher::new();
        sum.update(name.as_bytes());
        if turn > 0 {
            sum.update(&turn.to_be_bytes());
        }
        format!("{head}{kept}_{:08x}", sum.finalize())
    }
}

/// The names of a request that are sent otherwise. Most requests have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolNames {
    /// By the caller's names.
    sent: BTreeMap<String, String>,
    /// By the names that are sent.
    callers: BTreeMap<String, String>,
}

impl ToolNames {
    /// What `wire` gets in place of the names that it refuses.
    pub fn of(wire: Dialect, request: &ChatRequest) -> Self {
        let rule = Rule::of(wire);
        let mut names = Self::default();
        if named(request).all(|(name, _)| rule.fits(name)) {
            return names;
        }
        let mut taken: BTreeSet<String> =
            named(request).map(|(name, _)| name).filter(|name| rule.fits(name)).map(str::to_owned).collect();
        for (name, _) in named(request).filter(|(name, _)| !rule.fits(name)) {
            if names.sent.contains_key(name) {
                continue;
            }
            let fitted =
                (0..=u32::MAX).map(|turn| rule.fitted(name, turn)).find(|fitted| !taken.contains(fitted));
            let Some(fitted) = fitted else { continue };
            taken.insert(fitted.clone());
            names.callers.insert(fitted.clone(), name.to_owned());
            names.sent.insert(name.to_owned(), fitted);
        }
        names
    }

    /// The request under the names that are sent, and where that is missed; none if it stays as it is.
    pub(crate) fn sent(&self, request: &ChatRequest) -> Option<(ChatRequest, Vec<Loss>)> {
        if self.sent.is_empty() {
            return None;
        }
        let mut told = BTreeSet::new();
        let losses = named(request)
            .filter(|(name, _)| self.sent.contains_key(*name) && told.insert(name.to_owned()))
            .map(|(_, place)| {
                Loss::emulated(
                    place.to_string(),
                    "the vendor takes no such name: it gets another, and its calls come back under this",
                )
            })
            .collect();
        let mut request = request.clone();
        let change = |name: &mut String| {
            if let Some(sent) = self.sent.get(name) {
                name.clone_from(sent);
            }
        };
        request
            .tools
            .iter_mut()
            .filter(|tool| is_callers(&tool.kind))
            .for_each(|tool| change(&mut tool.name));
        match &mut request.tool_choice {
            Some(ToolChoice::Tool(name)) => change(name),
            Some(ToolChoice::Allowed { names, .. }) => names.iter_mut().for_each(change),
            Some(ToolChoice::None | ToolChoice::Auto | ToolChoice::Required) | None => {}
        }
        for part in request.messages.iter_mut().flat_map(|message| &mut message.content) {
            if let Part::ToolCall(call) = part {
                change(&mut call.name);
            }
        }
        Some((request, losses))
    }

    /// Gives the calls of a whole answer the caller's names.
    pub fn restore(&self, response: &mut ChatResponse) {
        if self.callers.is_empty() {
            return;
        }
        for part in response.choices.iter_mut().flat_map(|choice| &mut choice.message.content) {
            if let Part::ToolCall(call) = part {
                self.give_back(&mut call.name);
            }
        }
    }

    /// Gives a call that begins in a stream the caller's name.
    pub fn restore_event(&self, event: &mut StreamEvent) {
        if let StreamEvent::ToolCallStart { name, .. } = event {
            self.give_back(name);
        }
    }

    fn give_back(&self, name: &mut String) {
        if let Some(callers) = self.callers.get(name) {
            name.clone_from(callers);
        }
    }
}

/// Whether the caller gave the tool its name. Vendors' own tools have theirs from the vendor.
fn is_callers(kind: &ToolKind) -> bool {
    match kind {
        ToolKind::Function { .. } | ToolKind::Custom { .. } => true,
        ToolKind::Foreign { .. } => false,
    }
}

/// Where a name stands in a request.
#[derive(Debug, Clone, Copy)]
enum Place {
    Tool(usize),
    Call(usize, usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => write!(f, "tools[{tool}].name"),
            Self::Call(message, part) => write!(f, "messages[{message}].content[{part}].name"),
        }
    }
}

/// The names of a request's tools, those of the definitions first, and where they stand.
fn named(request: &ChatRequest) -> impl Iterator<Item = (&str, Place)> {
    let tools = request.tools.iter().enumerate().filter(|(_, tool)| is_callers(&tool.kind));
    let tools = tools.map(|(index, tool)| (tool.name.as_str(), Place::Tool(index)));
    let calls = request.messages.iter().enumerate().flat_map(|(index, message)| {
        message.content.iter().enumerate().filter_map(move |(part, content)| match content {
            Part::ToolCall(call) => Some((call.name.as_str(), Place::Call(index, part))),
            _ => None,
        })
    });
    tools.chain(calls)
}
