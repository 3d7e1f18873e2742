//! What the stand-in says.

use serde_json::Value;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::Json;
use steelyard_dialect::chat::{
    ChatRequest, ChatResponse, Choice, FinishReason, Logprobs, Message, Part, ResponseFormat, Role,
    ThinkingMode, TokenLogprob, Tool, ToolCall, ToolChoice, ToolInput, ToolKind, TopLogprob,
};

use super::{schema, tokens};

const INTRODUCTION: &str =
    "This is the Steelyard sandbox. It is not a language model; it repeats what it is told.";
const REASONING: &str = "The sandbox does not think; this text stands where reasoning would.";
/// A picture, a sound or a document counts as so many tokens.
const MEDIA_TOKENS: u64 = 256;

/// The answer to `request`. The same request has the same answer.
pub(super) fn respond(request: &ChatRequest) -> ChatResponse {
    let said = say(request);
    let thinks = match (&request.reasoning_effort, &request.thinking) {
        (Some(effort), _) => effort != "none",
        (None, Some(thinking)) => thinking.mode != ThinkingMode::Disabled,
        (None, None) => false,
    };
    let reasoning = if thinks { tokens(REASONING) } else { 0 };
    let (content, finish, output) = cap(said, request.max_output_tokens, reasoning);
    let choices = request.choices.unwrap_or(1);

    let mut usage = Usage::ZERO;
    usage[UsageClass::Input] = prompt_tokens(request);
    usage[UsageClass::Output] = output.saturating_mul(choices);
    usage[UsageClass::Reasoning] = reasoning.saturating_mul(choices);

    let logprobs =
        (request.logprobs == Some(true)).then(|| probabilities(&content, request.top_logprobs.unwrap_or(0)));
    let choice = |index| Choice {
        index,
        message: Message { role: Role::Assistant, content: content.clone(), ..Message::default() },
        finish: finish.clone(),
        logprobs: logprobs.clone(),
    };
    ChatResponse {
        model: request.model.clone(),
        choices: (0..u32::try_from(choices).unwrap_or(1)).map(choice).collect(),
        usage: Some(usage),
        service_tier: Some("default".to_owned()),
        ..ChatResponse::default()
    }
}

fn say(request: &ChatRequest) -> Vec<Part> {
    let results = trailing_results(request);
    if !results.is_empty() {
        return vec![Part::text(format!("{INTRODUCTION} The tools answered: {}", results.join(" | ")))];
    }
    let told = last_user_text(request);
    let called = called_tools(request, &told);
    if !called.is_empty() {
        return called
            .into_iter()
            .enumerate()
            .map(|(index, tool)| Part::ToolCall(call(index, tool)))
            .collect();
    }
    match &request.response_format {
        Some(ResponseFormat::JsonSchema { schema: Some(schema), .. }) => {
            vec![Part::text(example(schema).to_string())]
        }
        Some(ResponseFormat::JsonSchema { schema: None, .. } | ResponseFormat::JsonObject) => {
            let object = serde_json::json!({ "sandbox": true, "note": INTRODUCTION, "you_said": told });
            vec![Part::text(object.to_string())]
        }
        Some(ResponseFormat::Text) | None => vec![Part::text(format!("{INTRODUCTION} You said: {told}"))],
    }
}

/// What the tools answered, when that is the last that happened.
fn trailing_results(request: &ChatRequest) -> Vec<String> {
    let mut results: Vec<String> = request
        .messages
        .iter()
        .rev()
        .take_while(|message| message.role == Role::Tool)
        .flat_map(|message| message.content.iter().rev())
        .map(|part| match part {
            Part::ToolResult(result) => texts(&result.content),
            other => texts(std::slice::from_ref(other)),
        })
        .collect();
    results.reverse();
    results
}

fn last_user_text(request: &ChatRequest) -> String {
    let last = request.messages.iter().rev().find(|message| message.role == Role::User);
    last.map_or_else(String::new, |message| texts(&message.content))
}

/// The text of parts; what is no text is named.
fn texts(parts: &[Part]) -> String {
    let piece = |part: &Part| match part {
        Part::Text { text, .. } | Part::Refusal { text } => text.clone(),
        Part::Image { .. } => "[image]".to_owned(),
        Part::Audio { .. } | Part::AudioRef { .. } => "[audio]".to_owned(),
        Part::File { .. } => "[file]".to_owned(),
        Part::ToolResult(result) => texts(&result.content),
        Part::Json(json) => json.get().to_owned(),
        Part::SearchResult { content, .. } => texts(content),
        Part::Foreign { kind, .. } => format!("[{kind}]"),
        Part::Reasoning { .. } | Part::RedactedReasoning { .. } | Part::ToolCall(_) | Part::CacheMark(_) => {
            String::new()
        }
    };
    parts.iter().map(piece).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The tools to call: those that must be, or that the user asks for by `call NAME`.
fn called_tools<'a>(request: &'a ChatRequest, told: &str) -> Vec<&'a Tool> {
    let mut asked: Vec<&Tool> = request.tools.iter().filter(|tool| names(told, &tool.name)).collect();
    let must: Vec<&Tool> = match &request.tool_choice {
        Some(ToolChoice::None) => return Vec::new(),
        Some(ToolChoice::Tool(name)) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        Some(ToolChoice::Required) => request.tools.iter().take(1).collect(),
        Some(ToolChoice::Allowed { required, names }) => {
            asked.retain(|tool| names.contains(&tool.name));
            request.tools.iter().filter(|tool| *required && names.contains(&tool.name)).take(1).collect()
        }
        Some(ToolChoice::Auto) | None => Vec::new(),
    };
    if matches!(request.tool_choice, Some(ToolChoice::Tool(_))) || asked.is_empty() {
        asked = must;
    }
    if request.parallel_tool_calls == Some(false) {
        asked.truncate(1);
    }
    asked
}

/// Whether `text` says `call NAME`, with the name as a word of its own.
fn names(text: &str, name: &str) -> bool {
    let wanted = format!("call {name}");
    text.match_indices(&wanted).any(|(at, _)| {
        let next = text[at + wanted.len()..].chars().next();
        next.is_none_or(|next| !next.is_alphanumeric() && next != '_' && next != '-')
    })
}

fn call(index: usize, tool: &Tool) -> ToolCall {
    let input = match &tool.kind {
        ToolKind::Function { parameters, .. } => {
            let arguments = parameters.as_ref().map_or_else(|| serde_json::json!({}), example);
            ToolInput::Arguments(arguments.to_string())
        }
        ToolKind::Custom { .. } => ToolInput::Text("sandbox".to_owned()),
        ToolKind::Foreign { .. } => ToolInput::Arguments("{}".to_owned()),
    };
    ToolCall { id: format!("call_sandbox_{}", index + 1), name: tool.name.clone(), input }
}

fn example(schema: &Json) -> Value {
    schema.read::<Value>().map_or(Value::Null, |schema| schema::example(&schema))
}

/// Holds an answer to its cap. Reasoning comes out of the same cap, as it does at vendors.
fn cap(content: Vec<Part>, limit: Option<u64>, reasoning: u64) -> (Vec<Part>, FinishReason, u64) {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(reasoning));
    let calls = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let size: u64 = content.iter().map(part_tokens).sum();
    if size <= left {
        let finish = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        return (content, finish, size);
    }
    let [Part::Text { text, .. }] = content.as_slice() else { return (Vec::new(), FinishReason::Length, 0) };
    let bytes = usize::try_from(left.saturating_mul(4)).unwrap_or(usize::MAX);
    let short = &text[..text.floor_char_boundary(bytes)];
    (vec![Part::text(short)], FinishReason::Length, tokens(short))
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Text { text, .. } | Part::Refusal { text } | Part::Reasoning { text, .. } => tokens(text),
        Part::RedactedReasoning { data } => tokens(data),
        Part::Json(json) | Part::Foreign { block: json, .. } => tokens(json.get()),
        Part::SearchResult { content, .. } => content.iter().map(part_tokens).sum(),
        Part::CacheMark(_) => 0,
        Part::Image { .. } | Part::Audio { .. } | Part::AudioRef { .. } | Part::File { .. } => MEDIA_TOKENS,
        Part::ToolCall(call) => {
            let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &call.input;
            tokens(&call.name) + tokens(input)
        }
        Part::ToolResult(result) => result.content.iter().map(part_tokens).sum(),
    }
}

pub(super) fn prompt_tokens(request: &ChatRequest) -> u64 {
    let messages: u64 =
        request.messages.iter().map(|message| 4 + message.content.iter().map(part_tokens).sum::<u64>()).sum();
    let tools: u64 = request
        .tools
        .iter()
        .map(|tool| {
            let schema = match &tool.kind {
                ToolKind::Function { parameters: schema, .. } | ToolKind::Custom { format: schema } => {
                    schema.as_ref()
                }
                ToolKind::Foreign { definition, .. } => Some(definition),
            };
            tokens(&tool.name)
                + tool.description.as_deref().map_or(0, tokens)
                + schema.map_or(0, |schema| tokens(schema.get()))
        })
        .sum();
    messages + tools
}

/// The stand-in is certain of every word.
fn probabilities(content: &[Part], alternatives: u64) -> Logprobs {
    let text: String = content.iter().map(|part| texts(std::slice::from_ref(part))).collect();
    let token = |word: &str| TokenLogprob {
        token: word.to_owned(),
        logprob: 0.0,
        bytes: Some(word.as_bytes().to_vec()),
        top_logprobs: if alternatives == 0 {
            Vec::new()
        } else {
            vec![TopLogprob { token: word.to_owned(), logprob: 0.0, bytes: Some(word.as_bytes().to_vec()) }]
        },
    };
    Logprobs { content: Some(text.split_inclusive(' ').map(token).collect()), refusal: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steelyard_dialect::{Dialect, Outside};

    fn answer(body: &str) -> ChatResponse {
        respond(&Dialect::OpenAiChat.decode_request(body.as_bytes(), &Outside::default()).unwrap())
    }

    fn text(response: &ChatResponse) -> String {
        texts(&response.choices[0].message.content)
    }

    #[test]
    fn it_says_what_it_is_and_repeats() {
        let response = answer(r#"{"model":"sandbox","messages":[{"role":"user","content":"good day"}]}"#);
        assert!(
            text(&response).contains("not a language model")
                && text(&response).ends_with("You said: good day")
        );
        assert_eq!(response.choices[0].finish, FinishReason::Stop);
        assert!(response.usage.unwrap()[UsageClass::Input] > 0);
    }

    #[test]
    fn it_calls_the_tools_it_is_told_to_and_answers_with_their_results() {
        let tools = r#"[{"type":"function","function":{"name":"add","parameters":{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}}},
                        {"type":"function","function":{"name":"add_all"}}]"#;
        let asked = answer(&format!(
            r#"{{"model":"sandbox","tools":{tools},"messages":[{{"role":"user","content":"please call add now"}}]}}"#
        ));
        let [Part::ToolCall(call)] = asked.choices[0].message.content.as_slice() else { panic!("{asked:?}") };
        assert_eq!(
            (call.name.as_str(), &call.input),
            ("add", &ToolInput::Arguments(r#"{"a":1}"#.to_owned()))
        );
        assert_eq!(asked.choices[0].finish, FinishReason::ToolCalls);

        let both = answer(&format!(
            r#"{{"model":"sandbox","tools":{tools},"messages":[{{"role":"user","content":"call add, call add_all"}}]}}"#
        ));
        assert_eq!(both.choices[0].message.content.len(), 2);

        let done = answer(&format!(
            r#"{{"model":"sandbox","tools":{tools},"messages":[{{"role":"user","content":"call add"}},
                {{"role":"assistant","content":null,"tool_calls":[{{"id":"c1","type":"function","function":{{"name":"add","arguments":"{{}}"}}}}]}},
                {{"role":"tool","tool_call_id":"c1","content":"forty-two"}}]}}"#
        ));
        assert!(text(&done).contains("forty-two"));
    }

    #[test]
    fn it_honours_schemas_caps_and_counts_reasoning() {
        let schema = answer(
            r#"{"model":"sandbox","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",
               "json_schema":{"name":"n","schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}}"#,
        );
        assert_eq!(text(&schema), r#"{"city":"sandbox"}"#);
        let capped =
            answer(r#"{"model":"sandbox","max_tokens":3,"messages":[{"role":"user","content":"x"}]}"#);
        assert_eq!(capped.choices[0].finish, FinishReason::Length);
        assert_eq!(capped.usage.unwrap()[UsageClass::Output], 3);
        let thought = answer(
            r#"{"model":"sandbox","reasoning_effort":"low","messages":[{"role":"user","content":"x"}]}"#,
        );
        assert!(thought.usage.unwrap()[UsageClass::Reasoning] > 0);
    }
}
