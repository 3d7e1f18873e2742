//! A member that no reader knows, in every object of every request: it is named as lost, by its path.

use std::collections::BTreeSet;

use serde_json::Value;
use steelyard_core::ErrorCode;
use steelyard_dialect::{Dialect, Loss, LossKind, accept};

use super::rows::{Requests, outside};
use super::{CLIENTS, WIRES};
use crate::fixtures;

const NAME: &str = "x_unknown";
/// Members of an element of Gemini's `tools` are tools.
const OWN_TOOL: &str = "tools[].x_unknown";

/// The objects whose members are the caller's own: labels, schemas, and what is given to tools and comes back of them.
/// Whatever is inside of them is theirs, too.
fn free(client: Dialect) -> &'static [&'static str] {
    match client {
        Dialect::OpenAiChat => &[
            "functions[].parameters",
            "logit_bias",
            "metadata",
            "response_format.json_schema.schema",
            "tools[].function.parameters",
        ],
        Dialect::OpenAiResponses => {
            &["metadata", "text.format.schema", "tools[].parameters", "tools[].tools[].parameters"]
        }
        Dialect::AnthropicMessages => &[
            "messages[].content[].input",
            "metadata",
            "output_config.format.schema",
            "output_format.schema",
            "tools[].input_schema",
        ],
        Dialect::BedrockConverse => &[
            "additionalModelRequestFields.output_config.format.schema",
            "messages[].content[].toolResult.content[].json",
            "messages[].content[].toolUse.input",
            "requestMetadata",
            "toolConfig.tools[].toolSpec.inputSchema.json",
        ],
        Dialect::GeminiGenerate => &[
            "contents[].parts[].functionCall.args",
            "contents[].parts[].functionResponse.response",
            "generationConfig.responseJsonSchema",
            "generationConfig.responseSchema",
            "labels",
            "tools[].functionDeclarations[].parameters",
            "tools[].functionDeclarations[].parametersJsonSchema",
            // As clients write them in Python.
            "tools[].function_declarations[].parameters",
            "tools[].function_declarations[].parameters_json_schema",
        ],
        other => panic!("nobody has said what is free in {}", other.name()),
    }
}

/// The path of every object, the whole first, but for those whose members are the caller's own.
fn objects(value: &Value, path: &str, free: &[&str], out: &mut Vec<String>) {
    match value {
        Value::Object(members) if !free.contains(&plain(path).as_str()) => {
            out.push(path.to_owned());
            for (name, member) in members {
                objects(member, &inside(path, name), free, out);
            }
        }
        Value::Array(list) => {
            for (index, one) in list.iter().enumerate() {
                objects(one, &format!("{path}[{index}]"), free, out);
            }
        }
        _ => {}
    }
}

fn inside(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A path without its numbers.
fn plain(path: &str) -> String {
    let steps = path.split('[').enumerate();
    steps
        .map(|(step, text)| {
            if step == 0 {
                text.to_owned()
            } else {
                format!("[{}", text.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
        })
        .collect()
}

/// The place that a path names.
fn at<'v>(body: &'v mut Value, path: &str) -> &'v mut Value {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    let pointer = if pointer.is_empty() { pointer } else { format!("/{pointer}") };
    body.pointer_mut(&pointer).unwrap()
}

/// Whether a member is told of: by its own path, or because something that holds it does not go over.
fn is_told(path: &str, losses: &[Loss]) -> bool {
    losses.iter().any(|loss| match path.strip_prefix(loss.field.as_str()) {
        Some("") => true,
        Some(rest) => rest.starts_with(['.', '[']) && loss.kind != LossKind::Emulated,
        None => false,
    })
}

/// What is wrong with the requests that are made of one by putting a member into one object after the other.
fn faults(client: Dialect, title: &str, body: &Value, stream: bool, report: &mut BTreeSet<String>) -> usize {
    let mut all = Vec::new();
    objects(body, "", free(client), &mut all);
    for path in &all {
        let mut body = body.clone();
        at(&mut body, path).as_object_mut().unwrap().insert(NAME.to_owned(), 1.into());
        let member = inside(path, NAME);
        let head = format!("{}: {}", client.name(), plain(&member));
        let request = match client.decode_request(body.to_string().as_bytes(), &outside(client, stream)) {
            Ok(request) => request,
            // A union of a kind that nobody knows holds nothing beside.
            Err(error) if error.to_string().contains(&format!("`{path}` must hold exactly one of")) => {
                continue;
            }
            Err(error) => {
                report.insert(format!("{head}: refused by the reader: {error} ({title})"));
                continue;
            }
        };
        for wire in WIRES.iter().filter(|wire| wire.dialect != client) {
            let (sent, losses) = wire.dialect.encode_request(&request, &wire.target);
            let head = format!("{head} → {} ({})", wire.dialect.name(), wire.title);
            let names: Vec<&str> = losses.iter().map(|loss| loss.field.as_str()).collect();
            let arrives = accept(&losses, false).is_ok() && String::from_utf8_lossy(&sent).contains(NAME);
            match (is_told(&member, &losses), arrives) {
                (true, false) => match accept(&losses, true) {
                    Err(error) if error.code == ErrorCode::Loss => {}
                    other => drop(report.insert(format!("{head}: strict: {other:?} ({title})"))),
                },
                // Another wire has a place for all that stands there, whatever it is.
                (false, true) => {}
                (true, true) => drop(report.insert(format!("{head}: named as lost, and arrives ({title})"))),
                // A tool of the vendor's own that may not be called is not missed.
                (false, false) if client == Dialect::GeminiGenerate && plain(&member) == OWN_TOOL => {
                    let config = &body["toolConfig"]["functionCallingConfig"];
                    let kept = config["mode"] == "NONE" || config["allowedFunctionNames"].is_array();
                    assert!(kept, "{head}: lost in silence: {names:?} ({title})");
                }
                (false, false) => {
                    report.insert(format!("{head}: lost in silence: {names:?} ({title})"));
                }
            }
        }
    }
    all.len()
}

fn folder(client: Dialect) -> &'static str {
    match client {
        Dialect::OpenAiChat => "openai_chat/requests",
        Dialect::OpenAiResponses => "openai_responses/requests",
        Dialect::AnthropicMessages => "anthropic/requests",
        Dialect::BedrockConverse => "bedrock/requests",
        Dialect::GeminiGenerate => "gemini/requests",
        other => panic!("no fixtures of {}", other.name()),
    }
}

#[test]
fn a_member_that_nobody_knows_is_named_wherever_it_stands() {
    let (mut report, mut count) = (BTreeSet::new(), 0);
    for client in CLIENTS {
        for (title, text) in fixtures::all(folder(client)) {
            let body: Value = serde_json::from_slice(&text).unwrap();
            count += faults(client, &title, &body, false, &mut report);
        }
        let all = Requests::of(client);
        for row in &all.rows {
            let title = format!("the row {}", row.field);
            count += faults(client, &title, &all.body(row), row.outside(client).stream, &mut report);
        }
    }
    let text = report.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(report.is_empty(), "{} faults:\n{text}", report.len());
    assert!(count > 2_000, "{count} objects");
}
