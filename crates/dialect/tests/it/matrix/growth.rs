//! What a call costs grows with its messages and not faster: counted in bytes that are written and losses that are
//! named, not in time.

use std::fmt::Write as _;

use super::WIRES;
use super::rows::outside;

/// A conversation of so many turns with calls, results, thoughts and marks, in the wire of OpenAI's clients.
fn conversation(turns: usize) -> String {
    let mut messages = String::new();
    for turn in 0..turns {
        write!(
            messages,
            r#"{{"role":"user","content":[{{"type":"text","text":"Where is it?","cache_control":{{"type":"ephemeral"}}}}]}},
            {{"role":"assistant","content":null,"reasoning_content":"so","tool_calls":[
                {{"id":"call:{turn}","type":"function","function":{{"name":"find","arguments":"{{\"q\":"}}}}]}},
            {{"role":"tool","tool_call_id":"call:{turn}","content":"54 N"}},
            {{"role":"assistant","content":"There.","refusal":"no"}},"#
        )
        .unwrap();
    }
    format!(r#"{{"model":"m","messages":[{messages}{{"role":"user","content":"And?"}}]}}"#)
}

#[test]
fn ten_times_the_messages_are_ten_times_the_bytes() {
    let client = super::DIALECTS[0];
    for wire in &WIRES {
        let [small, large] = [100, 1_000].map(|turns| {
            let body = conversation(turns);
            let request = client.decode_request(body.as_bytes(), &outside(client, false)).unwrap();
            let (sent, losses) = wire.dialect.encode_request(&request, &wire.target);
            let again = wire.dialect.decode_request(&sent, &outside(wire.dialect, false)).unwrap();
            (sent.len(), losses.len(), again.messages.len())
        });
        let head = format!("{} ({}): {small:?} {large:?}", wire.dialect.name(), wire.title);
        // Numbers have one more digit, and ids that had to be changed a little more.
        assert!(large.0 <= 11 * small.0, "bytes: {head}");
        assert!(large.1 <= 10 * small.1 + 10, "losses: {head}");
        assert!(large.2 <= 10 * small.2, "messages: {head}");
    }
}
