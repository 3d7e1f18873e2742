//! Calls of a conversation that have the same id. The vendor refuses the second; other vendors number the calls of each
//! answer anew.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{ChatRequest, Part};

/// The request with an id of its own for each call: the later ones get a number, always the same for the same
/// conversation, and so do their results. Most requests are as they were.
pub(super) fn told_apart(request: &ChatRequest) -> Cow<'_, ChatRequest> {
    let calls = || {
        request.messages.iter().flat_map(|message| &message.content).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call.id.as_str()),
            _ => None,
        })
    };
    let mut used: BTreeSet<String> = calls().map(ToOwned::to_owned).collect();
    if used.len() == calls().count() {
        return Cow::Borrowed(request);
    }
    let mut request = request.clone();
    // The id that the last call of each got.
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for part in request.messages.iter_mut().flat_map(|message| &mut message.content) {
        match part {
            Part::ToolCall(call) => {
                let mut id = call.id.clone();
                let mut number = 2_u32;
                while given.contains_key(&call.id) && !used.insert(id.clone()) {
                    id = format!("{}-{number}", call.id);
                    number += 1;
                }
                given.insert(std::mem::replace(&mut call.id, id.clone()), id);
            }
            Part::ToolResult(result) => {
                if let Some(id) = given.get(&result.call_id) {
                    result.call_id.clone_from(id);
                }
            }
            _ => {}
        }
    }
    Cow::Owned(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::peek::Outside;

    #[test]
    fn calls_of_the_same_id_differ_and_find_their_results() {
        let turn = |id: &str, result: &str| {
            format!(
                r#"{{"role":"assistant","tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}]}},
                {{"role":"tool","tool_call_id":"{id}","content":"{result}"}}"#
            )
        };
        let turns = [turn("c", "one"), turn("c-2", "two"), turn("c", "three"), turn("c", "four")].join(",");
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"go"}},{turns}]}}"#);
        let request = Dialect::OpenAiChat.decode_request(body.as_bytes(), &Outside::default()).unwrap();
        let ids = |request: &ChatRequest| -> Vec<String> {
            let parts = request.messages.iter().flat_map(|message| &message.content);
            parts
                .filter_map(|part| match part {
                    Part::ToolCall(call) => Some(call.id.clone()),
                    Part::ToolResult(result) => Some(result.call_id.clone()),
                    _ => None,
                })
                .collect()
        };
        let apart = told_apart(&request);
        assert_eq!(ids(&apart), ["c", "c", "c-2", "c-2", "c-3", "c-3", "c-4", "c-4"]);
        assert!(matches!(told_apart(&apart), Cow::Borrowed(_)), "who has none twice is left alone");
    }
}
