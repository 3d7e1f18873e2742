//! What vendors refuse, so that a translation that breaks their rules fails as it would before the real ones.
//!
//! Sources: Anthropic's API reference ("Create a Message", "Tool use", "Extended thinking"), AWS's ("Converse") and Google's
//! ("Generating content", "Function calling").
//! OpenAI's wire is not checked: servers that speak it differ too much.

use std::collections::BTreeSet;

use serde_json::Value;

use super::request::Request;
use super::wire::Wire;

/// What is wrong with a request for an answer, in a sentence; none if nothing is.
pub(super) fn complaint(request: &Request) -> Option<String> {
    let path = request.bare_path();
    match request.wire {
        Wire::Anthropic if path.starts_with("/v1/messages") => anthropic(request).err(),
        Wire::Bedrock if path.starts_with("/model/") => bedrock(request).err(),
        Wire::Gemini if path.starts_with("/v1beta/models/") => gemini(request).err(),
        Wire::OpenAi | Wire::Anthropic | Wire::Bedrock | Wire::Gemini => None,
    }
}

type Checked = Result<(), String>;

/// No turn is empty, and as many results as calls follow at once.
fn gemini(request: &Request) -> Checked {
    let body = request.json();
    let wants_stream = request.wants_stream();
    ensure(!wants_stream || request.path.ends_with("?alt=sse"), || {
        "a stream that is no event stream".to_owned()
    })?;
    ensure(body.get("model").is_none(), || "Unknown name \"model\": Cannot find field.".to_owned())?;
    let contents = list(&body["contents"]);
    ensure(!contents.is_empty(), || {
        "* GenerateContentRequest.contents: contents is not specified".to_owned()
    })?;
    let count = |content: &Value, kind: &str| {
        list(&content["parts"]).iter().filter(|part| !part[kind].is_null()).count()
    };
    let mut open = 0;
    for content in contents {
        let is_model = content["role"] == "model";
        ensure(!list(&content["parts"]).is_empty(), || "must include at least one parts field".to_owned())?;
        let (calls, results) = (count(content, "functionCall"), count(content, "functionResponse"));
        let equal = "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.";
        // The SDK for Python writes a turn of the model for each piece of a stream.
        ensure(is_model || results == open, || equal.to_owned())?;
        open = if is_model { open + calls } else { 0 };
        for part in list(&content["parts"]) {
            ensure(part["functionCall"].is_null() || part["functionCall"]["args"].is_object(), || {
                "args must be an object".to_owned()
            })?;
            let said = &part["functionResponse"];
            ensure(said.is_null() || said["response"].is_object(), || {
                "response must be an object".to_owned()
            })?;
        }
    }
    ensure(open == 0, || "the last turn calls functions".to_owned())
}

fn ensure(good: bool, complaint: impl FnOnce() -> String) -> Checked {
    if good { Ok(()) } else { Err(complaint()) }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_name(name: &str, most: usize, more: &[char]) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || more.contains(&letter);
    !name.is_empty() && name.len() <= most && name.chars().all(fits)
}

fn is_within(value: &Value, most: f64) -> bool {
    value.is_null() || value.as_f64().is_some_and(|number| (0.0..=most).contains(&number))
}

/// What both wires' rules are about, block by block.
enum Block<'a> {
    Text(&'a str),
    Call(&'a str),
    Result(&'a str),
    Thinking,
    Mark,
    Other,
}

/// Roles in order, calls and results in pairs, no empty text.
fn conversation(turns: &[(&str, Vec<Block<'_>>)]) -> Checked {
    ensure(turns.first().is_some_and(|(role, _)| *role == "user"), || {
        "messages: the first must use the \"user\" role".to_owned()
    })?;
    let mut seen = BTreeSet::new();
    let mut open: BTreeSet<&str> = BTreeSet::new();
    for (number, (role, blocks)) in turns.iter().enumerate() {
        ensure(!blocks.is_empty(), || format!("messages.{number}: content is empty"))?;
        let mut others = false;
        for block in blocks {
            match block {
                Block::Text(text) => {
                    ensure(!text.trim().is_empty(), || format!("messages.{number}: a text is blank"))?;
                    others = true;
                }
                Block::Result(id) => {
                    ensure(*role == "user" && !others, || {
                        format!("messages.{number}: results come first, in a user's message")
                    })?;
                    ensure(open.remove(id), || {
                        format!("messages.{number}: `{id}` is the result of no call")
                    })?;
                }
                Block::Call(_) | Block::Thinking => {
                    ensure(*role == "assistant", || {
                        format!("messages.{number}: only assistants call and think")
                    })?;
                }
                Block::Other => others = true,
                Block::Mark => {}
            }
        }
        ensure(open.is_empty(), || format!("messages.{number}: calls without results: {open:?}"))?;
        for block in blocks {
            if let Block::Call(id) = block {
                ensure(seen.insert(*id), || format!("messages.{number}: the id `{id}` is used twice"))?;
                open.insert(id);
            }
        }
    }
    ensure(open.is_empty(), || format!("calls without results: {open:?}"))?;
    let last = turns.last().map(|(role, blocks)| (*role, blocks.last()));
    let trails =
        matches!(last, Some(("assistant", Some(Block::Text(text)))) if text.ends_with(char::is_whitespace));
    ensure(!trails, || "the last words of an assistant end with white space".to_owned())
}

/// Every member that a request may have.
const MEMBERS: [&str; 24] = [
    "model",
    "max_tokens",
    "messages",
    "system",
    "stream",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "metadata",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "cache_control",
    "container",
    "context_management",
    "mcp_servers",
    "inference_geo",
    "diagnostics",
    "betas",
];

fn anthropic(request: &Request) -> Checked {
    let body = request.json();
    let object = body.as_object().ok_or("the body is no object")?;
    ensure(request.header("anthropic-version").is_some(), || {
        "anthropic-version: header is required".to_owned()
    })?;
    let known = request.header("x-api-key").or_else(|| request.header("authorization")).is_some();
    ensure(known, || "x-api-key: header is required".to_owned())?;
    let json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    ensure(json, || "content-type: must be application/json".to_owned())?;
    for member in object.keys() {
        ensure(MEMBERS.contains(&member.as_str()), || format!("{member}: Extra inputs are not permitted"))?;
    }
    ensure(body["model"].as_str().is_some_and(|model| !model.is_empty()), || {
        "model: Field required".to_owned()
    })?;
    let most = body["max_tokens"].as_u64();
    let counts = request.bare_path().ends_with("/count_tokens");
    ensure(most.is_some() || counts, || "max_tokens: Field required".to_owned())?;
    ensure(is_within(&body["temperature"], 1.0), || "temperature: range: 0..1".to_owned())?;
    ensure(is_within(&body["top_p"], 1.0), || "top_p: range: 0..1".to_owned())?;

    let turns = list(&body["messages"])
        .iter()
        .enumerate()
        .map(|(number, message)| anthropic_turn(message, number))
        .collect::<Result<Vec<_>, String>>()?;
    let conversed: Vec<_> = turns.into_iter().filter(|(role, _)| *role != "system").collect();
    conversation(&conversed)?;

    let names: Vec<&str> = list(&body["tools"]).iter().filter_map(|tool| tool["name"].as_str()).collect();
    for (tool, name) in list(&body["tools"]).iter().zip(&names) {
        ensure(is_name(name, 128, &['_', '-']), || format!("tools: the name `{name}`"))?;
        let own = tool["type"].is_null() || tool["type"] == "custom";
        ensure(!own || tool["input_schema"]["type"] == "object", || {
            format!("tools: `{name}` has no object schema")
        })?;
    }
    ensure(names.iter().collect::<BTreeSet<_>>().len() == names.len(), || {
        "tools: names are used twice".to_owned()
    })?;
    let choice = body["tool_choice"]["type"].as_str();
    ensure(choice.is_none() || !names.is_empty(), || "tool_choice: there are no tools".to_owned())?;
    if let Some(name) = body["tool_choice"]["name"].as_str() {
        ensure(names.contains(&name), || format!("tool_choice: there is no tool `{name}`"))?;
    }
    ensure(body.to_string().matches("\"cache_control\":{").count() <= 4, || {
        "more than 4 cache marks".to_owned()
    })?;
    if body["thinking"]["type"] == "enabled" {
        let budget = body["thinking"]["budget_tokens"].as_u64().unwrap_or(0);
        ensure(budget >= 1024, || "thinking.budget_tokens: at least 1024".to_owned())?;
        ensure(most.is_none_or(|most| budget < most), || {
            "max_tokens must exceed thinking.budget_tokens".to_owned()
        })?;
        ensure(!matches!(choice, Some("any" | "tool")), || "thinking with a forced tool".to_owned())?;
        ensure(body["temperature"].is_null() || body["temperature"] == 1, || {
            "thinking with a temperature".to_owned()
        })?;
        ensure(body["top_k"].is_null(), || "thinking with top_k".to_owned())?;
        thinking_in_loop(&conversed)?;
    }
    Ok(())
}

/// Where thinking is on, the assistant's turn of a tool loop begins with it.
fn thinking_in_loop(turns: &[(&str, Vec<Block<'_>>)]) -> Checked {
    let [.., (_, said), (_, last)] = turns else { return Ok(()) };
    let in_loop = last.iter().any(|block| matches!(block, Block::Result(_)));
    ensure(!in_loop || matches!(said.first(), Some(Block::Thinking)), || {
        "a final assistant message must start with a thinking block".to_owned()
    })
}

fn anthropic_turn(message: &Value, number: usize) -> Result<(&str, Vec<Block<'_>>), String> {
    let role = message["role"].as_str().unwrap_or_default();
    ensure(["user", "assistant", "system"].contains(&role), || format!("messages.{number}.role: `{role}`"))?;
    if let Some(text) = message["content"].as_str() {
        return Ok((role, vec![Block::Text(text)]));
    }
    let block = |block| anthropic_block(block).map_err(|why| format!("messages.{number}: {why}"));
    Ok((role, list(&message["content"]).iter().map(block).collect::<Result<_, _>>()?))
}

fn anthropic_block(block: &Value) -> Result<Block<'_>, String> {
    let text = |member: &str| block[member].as_str();
    match block["type"].as_str().unwrap_or_default() {
        "text" => text("text").map(Block::Text).ok_or_else(|| "a text without text".to_owned()),
        "tool_use" => {
            let id = text("id").filter(|id| is_name(id, 256, &['_', '-']));
            ensure(block["input"].is_object(), || "tool_use.input: must be an object".to_owned())?;
            id.map(Block::Call).ok_or_else(|| format!("tool_use.id: {}", block["id"]))
        }
        "tool_result" => {
            let content = &block["content"];
            for inner in list(content) {
                if let Block::Text(text) = anthropic_block(inner)? {
                    ensure(!text.is_empty(), || "tool_result: a text is empty".to_owned())?;
                }
            }
            text("tool_use_id").map(Block::Result).ok_or_else(|| "tool_result without an id".to_owned())
        }
        "thinking" => {
            let signed = text("signature").is_some_and(|signature| !signature.is_empty());
            ensure(signed && text("thinking").is_some(), || "thinking without a signature".to_owned())?;
            Ok(Block::Thinking)
        }
        "redacted_thinking" => text("data").map(|_| Block::Thinking).ok_or_else(|| "no data".to_owned()),
        "image" => {
            let kinds = ["image/jpeg", "image/png", "image/gif", "image/webp"];
            let kind = block["source"]["media_type"].as_str();
            ensure(kind.is_none_or(|kind| kinds.contains(&kind)), || format!("image of type {kind:?}"))?;
            Ok(Block::Other)
        }
        "" => Err("a block without a type".to_owned()),
        _ => Ok(Block::Other),
    }
}

fn bedrock(request: &Request) -> Checked {
    let body = request.json();
    ensure(body.is_object(), || "the body is no object".to_owned())?;
    let given = request.header("authorization").unwrap_or_default();
    let signed =
        given.starts_with("AWS4-HMAC-SHA256 ") && given.contains("host") && given.contains("x-amz-date");
    ensure(signed || given.starts_with("Bearer "), || "no authentication".to_owned())?;
    let config = &body["inferenceConfig"];
    ensure(config["maxTokens"].is_null() || config["maxTokens"].as_u64() > Some(0), || {
        "maxTokens".to_owned()
    })?;
    ensure(is_within(&config["temperature"], 1.0), || "temperature: 0..1".to_owned())?;
    ensure(is_within(&config["topP"], 1.0), || "topP: 0..1".to_owned())?;

    let mut turns = Vec::new();
    let mut before = "";
    for (number, message) in list(&body["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        ensure(["user", "assistant"].contains(&role) && role != before, || {
            format!("messages.{number}: roles must alternate between user and assistant")
        })?;
        before = role;
        let block = |block| bedrock_block(block).map_err(|why| format!("messages.{number}: {why}"));
        turns.push((role, list(&message["content"]).iter().map(block).collect::<Result<Vec<_>, _>>()?));
    }
    conversation(&turns)?;
    for block in list(&body["system"]) {
        only_member(block)?;
        ensure(block["text"].as_str() != Some(""), || "system: a text is blank".to_owned())?;
    }
    let with_tools = turns.iter().flat_map(|(_, blocks)| blocks);
    let with_tools = with_tools.into_iter().any(|block| matches!(block, Block::Call(_) | Block::Result(_)));
    let tools = list(&body["toolConfig"]["tools"]);
    ensure(!with_tools || !tools.is_empty(), || {
        "toolConfig must be defined with toolUse and toolResult".to_owned()
    })?;
    ensure(body["toolConfig"].is_null() || !tools.is_empty(), || "toolConfig.tools is empty".to_owned())?;
    for tool in tools {
        if only_member(tool)? == "toolSpec" {
            let (name, schema) = (&tool["toolSpec"]["name"], &tool["toolSpec"]["inputSchema"]["json"]);
            let good = name.as_str().is_some_and(|name| is_name(name, 64, &['_', '-']));
            ensure(good && schema.is_object(), || format!("toolSpec: {tool}"))?;
            let described = &tool["toolSpec"]["description"];
            ensure(described.as_str() != Some(""), || "toolSpec: a description is empty".to_owned())?;
        }
    }
    let choice = &body["toolConfig"]["toolChoice"];
    if !choice.is_null() {
        only_member(choice)?;
    }
    Ok(())
}

/// The name of the one member that a union has.
fn only_member(union: &Value) -> Result<&str, String> {
    let members = union.as_object().ok_or("a union is no object")?;
    let mut names = members.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(format!("a union must have exactly one member: {union}")),
    }
}

fn bedrock_block(block: &Value) -> Result<Block<'_>, String> {
    let is_id = |id: &&str| is_name(id, 64, &['_', '-', '.', ':']);
    match only_member(block)? {
        "text" => block["text"].as_str().map(Block::Text).ok_or_else(|| "a text is no string".to_owned()),
        "toolUse" => {
            let id = block["toolUse"]["toolUseId"].as_str().filter(is_id);
            ensure(block["toolUse"]["input"].is_object(), || "toolUse.input: must be an object".to_owned())?;
            id.map(Block::Call).ok_or_else(|| format!("toolUseId: {block}"))
        }
        "toolResult" => {
            let result = &block["toolResult"];
            for inner in list(&result["content"]) {
                only_member(inner)?;
            }
            result["toolUseId"]
                .as_str()
                .filter(is_id)
                .map(Block::Result)
                .ok_or_else(|| format!("toolUseId: {block}"))
        }
        "reasoningContent" => only_member(&block["reasoningContent"]).map(|_| Block::Thinking),
        "cachePoint" => Ok(Block::Mark),
        "image" | "document" | "video" | "audio" | "guardContent" | "searchResult" | "citationsContent" => {
            Ok(Block::Other)
        }
        other => Err(format!("a block `{other}`")),
    }
}
