//! What headers ask for besides the body: betas on Anthropic's own wire, and what Bedrock's `InvokeModel` has no member
//! for. They are kept among the members without a name, under the names of the headers.

use http::HeaderMap;

use crate::chat::{ChatRequest, Extra, Json};
use crate::dialect::Dialect;

/// The betas of a call.
pub(crate) const BETA: &str = "anthropic-beta";
/// How fast an answer is wanted of Bedrock: `standard`, `optimized`.
pub(crate) const LATENCY: &str = "X-Amzn-Bedrock-PerformanceConfig-Latency";
/// The labels of a call on Bedrock, as JSON.
const METADATA: &str = "X-Amzn-Bedrock-Request-Metadata";
/// The member of Converse that holds a model's own fields.
pub(super) const OWN_FIELDS: &str = "additionalModelRequestFields";
const TIER: &str = "X-Amzn-Bedrock-Service-Tier";

/// What begins the names of betas that ask for nothing by themselves: they admit members of the body, which are named if
/// they are lost, or tell who calls, or how a stream is cut or Claude's own thoughts are ordered (the names are those of
/// `AnthropicBetaParam` in Anthropic's SDK, and those that its documents and clients name besides).
const SILENT: [&str; 28] = [
    "advanced-tool-use-",
    "advisor-tool-",
    "claude-code-",
    "code-execution-",
    "compact-",
    "computer-use-",
    "context-management-",
    "effort-",
    "extended-cache-ttl-",
    "fast-mode-",
    "files-api-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "mcp-client-",
    "message-batches-",
    "mid-conversation-system-",
    "oauth-",
    "pdfs-",
    "prompt-caching-",
    "search-results-",
    "skills-",
    "structured-outputs-",
    "task-budgets-",
    "token-counting-",
    "tool-examples-",
    "user-profiles-",
    "web-fetch-",
    "web-search-",
];

/// What begins the names of betas that AWS hands on to Claude; it refuses a call with any other (user guide, "Anthropic
/// Claude Messages API"). How a tool's input is cut is not among those of the guide, and taken by Converse.
const ON_BEDROCK: [&str; 11] = [
    "computer-use-",
    "context-1m-",
    "context-management-",
    "dev-full-thinking-",
    "effort-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "output-128k-",
    "token-efficient-tools-",
    "tool-examples-",
    "tool-search-tool-",
];

/// Whether a beta is missed where it is not known.
pub(crate) fn is_missed(beta: &str) -> bool {
    !SILENT.iter().any(|begin| beta.starts_with(begin))
}

/// Whether any beta of a list is missed; so is what is no list.
pub(crate) fn are_missed(betas: &Json) -> bool {
    list(betas).is_none_or(|betas| betas.iter().any(|beta| is_missed(beta)))
}

/// Whether a call of Bedrock's may ask for a beta.
pub(crate) fn is_on_bedrock(beta: &str) -> bool {
    ON_BEDROCK.iter().any(|begin| beta.starts_with(begin))
}

/// Whether a member is a header, so that no body has it.
pub(crate) fn is_header(name: &str) -> bool {
    name == BETA || is_bedrocks(name)
}

/// Whether it is one of Bedrock's.
pub(crate) fn is_bedrocks(name: &str) -> bool {
    matches!(name, LATENCY | METADATA)
}

/// Betas as a list of names. None if they are no such list.
pub(crate) fn list(betas: &Json) -> Option<Vec<String>> {
    betas.read().ok()
}

/// The betas of a call's header.
pub(crate) fn betas(extra: &Extra) -> Vec<String> {
    extra.get(BETA).and_then(list).unwrap_or_default()
}

/// A member that a client of Converse wrote among the model's own fields, for Claude.
pub(super) fn converses(request: &ChatRequest, name: &str) -> Option<Json> {
    let extra = Some(&request.extra).filter(|_| request.origin == Some(Dialect::BedrockConverse));
    extra?.get(OWN_FIELDS)?.read::<Extra>().ok()?.remove(name)
}

pub(super) fn decode(headers: &HeaderMap, request: &mut ChatRequest) {
    let words = |name: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
    };
    let betas: Vec<&str> = words(BETA).collect();
    let mut keep = |name: &str, json: Result<String, serde_json::Error>| {
        let json = json.and_then(Json::parse).ok();
        request.extra.extend(json.map(|json| (name.to_owned(), json)));
    };
    if !betas.is_empty() {
        keep(BETA, serde_json::to_string(&betas));
    }
    if let Some(latency) = words(LATENCY).find(|word| *word != "standard") {
        keep(LATENCY, serde_json::to_string(latency));
    }
    if let Some(labels) = headers.get(METADATA).and_then(|value| value.to_str().ok()) {
        keep(METADATA, serde_json::to_string(labels));
    }
    if let Some(tier) = words(TIER).next() {
        request.service_tier = Some(tier.to_owned());
        request.places.word("service_tier", TIER);
    }
}
