//! Tools whose names the vendor's wire refuses.

use serde_json::{Value, json};
use steelyard_testkit::{Wire, chat};

use super::read::said;
use super::{Pair, conversation, hi_with_tools, world};

/// A name that the client's wire takes and some others do not.
fn odd(client: Wire) -> String {
    match client {
        Wire::Gemini => "files.read:all".to_owned(),
        Wire::Anthropic => format!("mcp__{}", "x".repeat(95)),
        Wire::OpenAi | Wire::Bedrock => "1st-tool".to_owned(),
    }
}

/// Whether the vendor takes it: what its own reference says.
fn takes(vendor: Wire, name: &str) -> bool {
    let most = if matches!(vendor, Wire::OpenAi | Wire::Bedrock) { 64 } else { 128 };
    let google = vendor == Wire::Gemini;
    let good = |letter: char| {
        letter.is_ascii_alphanumeric() || "_-".contains(letter) || (google && ".:".contains(letter))
    };
    let first = name.chars().next().unwrap();
    name.len() <= most && name.chars().all(good) && (!google || first.is_ascii_alphabetic() || first == '_')
}

/// The first tool of a request.
fn first(wire: Wire, body: &mut Value) -> &mut Value {
    match wire {
        Wire::OpenAi => &mut body["tools"][0]["function"]["name"],
        Wire::Anthropic => &mut body["tools"][0]["name"],
        Wire::Bedrock => &mut body["toolConfig"]["tools"][0]["toolSpec"]["name"],
        Wire::Gemini => &mut body["tools"][0]["functionDeclarations"][0]["name"],
    }
}

/// The turn that answers a call.
fn result(wire: Wire, id: &str, name: &str) -> Value {
    match wire {
        Wire::OpenAi => json!({ "role": "tool", "tool_call_id": id, "content": "done" }),
        Wire::Anthropic => {
            json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "done" }] })
        }
        Wire::Bedrock => {
            json!({ "role": "user", "content": [{ "toolResult": { "toolUseId": id, "content": [{ "text": "done" }] } }] })
        }
        Wire::Gemini => json!({ "role": "user", "parts": [{ "functionResponse":
            { "id": id, "name": name, "response": { "output": "done" } } }] }),
    }
}

#[tokio::test]
async fn a_tool_is_called_as_the_vendor_takes_it_and_told_as_its_caller_named_it() {
    let world = world().await;
    for pair in Pair::translated() {
        let name = odd(pair.client);
        let mut body = hi_with_tools(pair.client);
        *first(pair.client, &mut body) = json!(name);
        let vendor = world.vendor(pair.vendor);
        vendor.next(chat().text("a"));
        let answer = world.ask(pair, &body).await;
        assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
        let sent = first(pair.vendor, &mut vendor.last_request().json()).as_str().unwrap().to_owned();
        assert!(takes(pair.vendor, &sent), "{pair:?}: {sent}");
        let kept = takes(pair.vendor, &name);
        assert_eq!(sent == name, kept, "{pair:?}: {sent}");
        let lost = answer.header("x-steelyard-loss").unwrap_or_default().contains("name");
        assert_eq!(lost, !kept, "{pair:?}: {answer:?}");

        vendor.next(chat().tool("call_1", &sent, &json!({ "city": "Kiel" })));
        let called = said(pair, &world.ask(pair, &body).await);
        assert_eq!(called.calls[0].1, name, "{pair:?}");
        let told = body[conversation(pair.client)].as_array_mut().unwrap();
        told.push(called.message.clone());
        told.push(result(pair.client, &called.calls[0].0, &name));
        vendor.next(chat().text("a"));
        let answer = world.ask(pair, &body).await;
        assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
        let replayed = vendor.last_request().json().to_string();
        assert!(replayed.matches(&format!("\"name\":\"{sent}\"")).count() >= 2, "{pair:?}: {replayed}");
        assert_eq!(replayed.contains(&format!("\"{name}\"")), kept, "{pair:?}: {replayed}");
    }
}
