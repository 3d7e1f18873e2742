//! Whether the cost of a translation grows with the messages of a request and no faster. In this process: the wires
//! are plain functions, and a server would only blur them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use steelyard_dialect::{Dialect, Outside, Target};

use super::measure::float;
use super::wire;

const WIRES: [Dialect; 4] = [
    Dialect::OpenAiChat,
    Dialect::AnthropicMessages,
    Dialect::BedrockConverse,
    Dialect::BedrockInvokeAnthropic,
];
const FEW: u64 = 100;
const MANY: u64 = 10_000;
/// Messages that are translated for one measured piece, and how many pieces there are: the least of them counts.
const PIECE: u64 = MANY;
const PIECES: u32 = 7;

const TARGET: Target<'static> = Target { model: wire::MODEL, max_output: Some(16_000), compatible: true };
const OUTSIDE: Outside<'static> =
    Outside { model: Some(wire::ROUTE), stream: false, version: None, headers: None };

/// One client's wire into one vendor's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The client's wire.
    pub(crate) from: String,
    /// The vendor's wire.
    pub(crate) to: String,
    /// Nanoseconds per message of a request with 100 messages: read, and written anew.
    pub(crate) few_ns: f64,
    /// Nanoseconds per message of a request with 10,000 messages.
    pub(crate) many_ns: f64,
}

impl Pair {
    /// How much dearer a message is among 10,000 than among 100.
    pub(crate) fn growth(&self) -> f64 {
        self.many_ns / self.few_ns
    }
}

/// Every pair of two wires.
pub(crate) fn measure() -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for from in WIRES {
        let (few, many) = (body(from, FEW)?, body(from, MANY)?);
        for to in WIRES.into_iter().filter(|to| *to != from) {
            let (few_ns, many_ns) = (per_message(from, to, &few, FEW)?, per_message(from, to, &many, MANY)?);
            pairs.push(Pair { from: from.name().into(), to: to.name().into(), few_ns, many_ns });
        }
    }
    Ok(pairs)
}

/// A request of so many messages, in a wire.
fn body(wire: Dialect, messages: u64) -> Result<Vec<u8>> {
    let chat = chat(messages);
    if wire == Dialect::OpenAiChat {
        return Ok(chat.into_bytes());
    }
    let request = Dialect::OpenAiChat.decode_request(chat.as_bytes(), &Outside::default())?;
    let (body, _) = wire.encode_request(&request, &TARGET);
    // Written so that other wires can read it again with the same messages.
    ensure!(body.len() > chat.len() / 2, "a request shrank in the wire {}", wire.name());
    Ok(body.to_vec())
}

/// Rounds of four: a question, a call of a tool, its result, an answer.
fn chat(messages: u64) -> String {
    let text = "the merchants of rival cities shared one gate, one warehouse and one court";
    let turns: Vec<String> = (0..messages)
        .map(|number| match number % 4 {
            0 => format!(r#"{{"role":"user","content":"{number}: {text}"}}"#),
            1 => format!(
                r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{number}","type":"function","function":{{"name":"look","arguments":"{{\"at\":{number},\"for\":\"{text}\"}}"}}}}]}}"#
            ),
            2 => format!(r#"{{"role":"tool","tool_call_id":"call_{}","content":"{number}: {text}"}}"#, number - 1),
            _ => format!(r#"{{"role":"assistant","content":"{number}: {text}"}}"#),
        })
        .collect();
    format!(
        r#"{{"model":"{}","max_tokens":1024,"tools":[{{"type":"function","function":{{"name":"look","description":"Looks.","parameters":{{"type":"object","properties":{{"at":{{"type":"integer"}},"for":{{"type":"string"}}}}}}}}}}],"messages":[{}]}}"#,
        wire::ROUTE,
        turns.join(",")
    )
}

fn per_message(from: Dialect, to: Dialect, body: &[u8], messages: u64) -> Result<f64> {
    let mut least = Duration::MAX;
    for _ in 0..PIECES {
        let start = Instant::now();
        for _ in 0..PIECE / messages {
            let request = from
                .decode_request(black_box(body), &OUTSIDE)
                .with_context(|| format!("a request cannot be read in the wire {}", from.name()))?;
            black_box(to.encode_request(&request, &TARGET));
        }
        least = least.min(start.elapsed());
    }
    Ok(least.as_secs_f64() * 1e9 / float(PIECE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_can_be_asked_for_any_number_of_messages() {
        for wire in WIRES {
            for messages in [4, 100] {
                let body = body(wire, messages).unwrap();
                let request = wire.decode_request(&body, &OUTSIDE).unwrap();
                let read = u64::try_from(request.messages.len()).unwrap();
                // A turn with the result of a tool and words beside it is two messages.
                assert!((messages / 2..=messages * 2).contains(&read), "{}: {read}", wire.name());
            }
        }
    }
}
