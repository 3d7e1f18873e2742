//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read.
//!
//! Constraints:
//! - Whole events pass ([`relay`](crate::sse::relay)), each one JSON value; the terminal event (`response.completed` or
//!   `response.incomplete`, which bring the figures) waits until the call is settled.
//! - `response.created`, `response.queued` and `response.in_progress` are signs of life: a vendor that then fails has said
//!   nothing yet, and another may take over. `error` and `response.failed` are its own error.
//! - An event is an object: the SDKs die on others. What is in it belongs to client and vendor: it is passed on and
//!   counted, never an error.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::json::{Mapped, one_value, utf8};
use crate::openai_chat::facts::{fault, text_bytes};
use crate::openai_responses::facts::{self, Sighting};
use crate::sse::Event;
use crate::sse::closed::ClosedTap;
use crate::sse::relay::{Reader, Verdict, is_object, unreadable};

/// The tap of one stream.
pub type Tap = ClosedTap<Reading>;

impl AsRef<StreamFacts> for Reading {
    fn as_ref(&self) -> &StreamFacts {
        &self.facts
    }
}

/// Reads the events.
#[derive(Debug, Default)]
pub struct Reading {
    facts: StreamFacts,
}

/// An event, by its spans.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<Mapped<Sighting<'a>>>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

impl Seen<'_> {
    /// The type, which the SDKs go by: names of events may be missing.
    fn kind(&self) -> String {
        facts::text(self.kind).unwrap_or_default()
    }
}

/// Whether an event of this type ends a stream that is complete.
fn is_terminal(kind: &str) -> bool {
    matches!(kind, "response.completed" | "response.incomplete")
}

impl Reader for Reading {
    fn read(&mut self, block: &[u8]) -> Result<Verdict, WireError> {
        let Some(event) = Event::read(block) else { return Ok(Verdict::Pass) };
        let data = event.data.trim_ascii();
        // Servers that write the end of Chat Completions: it is nobody's.
        if data.starts_with(b"[DONE]") {
            return Ok(Verdict::Drop);
        }
        let Ok(Mapped(seen)) = serde_json::from_slice::<Mapped<Seen<'_>>>(data) else {
            utf8(data).and_then(one_value).map_err(|fault| unreadable(&fault))?;
            is_object(data)?;
            self.facts.begun = true;
            self.facts.unreadable_events += 1;
            return Ok(Verdict::Pass);
        };
        let kind = seen.kind();
        self.event(&kind, &seen, data);
        // After an error nothing makes a stream complete.
        let ends = is_terminal(&kind) && self.facts.upstream_error.is_none();
        self.facts.terminated |= ends;
        Ok(if ends { Verdict::End } else { Verdict::Pass })
    }

    fn ends(&self, block: &[u8]) -> bool {
        let Some(event) = Event::read(block) else { return false };
        let whole = utf8(&event.data).and_then(one_value).is_ok();
        let seen = serde_json::from_slice::<Mapped<Seen<'_>>>(&event.data);
        whole && self.facts.upstream_error.is_none() && seen.is_ok_and(|seen| is_terminal(&seen.0.kind()))
    }
}

impl Reading {
    fn event(&mut self, kind: &str, seen: &Seen<'_>, data: &[u8]) {
        let facts = &mut self.facts;
        if let Some(Mapped(response)) = &seen.response {
            facts.id = facts.id.take().or_else(|| response.id());
            facts.model = response.model().or_else(|| facts.model.take());
            facts.service_tier = response.service_tier().or_else(|| facts.service_tier.take());
            facts.tell(response.usage());
        }
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => return,
            "error" | "response.failed" => {
                let told = seen.response.as_ref().and_then(|response| response.0.fault());
                // The members of an `error` event stand in it, or in an object of their own.
                let told = told.or_else(|| fault(seen.error?)).or_else(|| fault(whole(data)?));
                // The first tells more: `response.failed` follows `error`.
                facts.upstream_error.get_or_insert_with(|| told.unwrap_or_default());
                return;
            }
            kind if is_terminal(kind) => {
                facts.finished = true;
                facts.finish.extend(seen.response.as_ref().map(|response| response.0.finish()));
            }
            _ => {}
        }
        facts.begun = true;
        let said = match kind {
            "response.output_item.added" => seen.item.map_or(0, |item| text_bytes(item.get().as_bytes()).0),
            // Of whatever kind.
            _ => seen
                .delta
                .filter(|delta| delta.get().starts_with('"'))
                .map_or(0, |delta| string_bytes(delta.get())),
        };
        facts.content_bytes += said;
        facts.content_events += u64::from(said > 0);
    }
}

fn whole(data: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(data).ok()
}

/// The length in UTF-8 of a JSON string.
fn string_bytes(written: &str) -> u64 {
    text_bytes(format!("{{\"text\":{written}}}").as_bytes()).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &[&str]) -> (Reading, Vec<Verdict>) {
        let mut reading = Reading::default();
        let verdicts =
            events.iter().map(|data| reading.read(format!("data: {data}\n\n").as_bytes()).unwrap()).collect();
        (reading, verdicts)
    }

    #[test]
    fn signs_of_life_are_no_beginning_and_the_figures_come_last() {
        let (reading, _) = read(&[
            r#"{"type":"response.created","response":{"id":"resp_1","model":"m","status":"in_progress","output":[],"usage":null}}"#,
            r#"{"type":"response.in_progress","response":{"id":"resp_1","output":[]}}"#,
        ]);
        assert!(!reading.facts.begun);
        assert_eq!(reading.facts.model.as_deref(), Some("m"));
        let (reading, verdicts) = read(&[
            r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"abc","arguments":""}}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{\"a\"","obfuscation":"xxxx"}"#,
            r#"{"type":"response.completed","response":{"status":"completed","output":[{"type":"function_call"}],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
        ]);
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::End]);
        let facts = reading.facts;
        assert!(facts.begun && facts.finished && facts.terminated && facts.usage.is_some());
        assert_eq!((facts.content_bytes, facts.content_events), (3 + 4, 2));
        assert_eq!(facts.finish, [crate::chat::FinishReason::ToolCalls]);
    }

    #[test]
    fn an_error_is_read_in_each_of_its_forms_and_nothing_is_complete_after_it() {
        for data in [
            r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":2}"#,
            r#"{"type":"error","sequence_number":2,"error":{"type":"requests","code":"rate_limit_exceeded","message":"slow"}}"#,
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"}}}"#,
        ] {
            let (reading, verdicts) = read(&[data, r#"{"type":"response.completed","response":{}}"#]);
            let fault = reading.facts.upstream_error.unwrap();
            assert_eq!(
                (fault.message.as_str(), fault.code.as_deref()),
                ("slow", Some("rate_limit_exceeded"))
            );
            assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass]);
        }
    }

    #[test]
    fn the_end_of_another_wire_is_dropped_and_what_is_no_json_ends_the_stream() {
        let (reading, verdicts) = read(&["[DONE]"]);
        assert_eq!((verdicts, reading.facts.begun), (vec![Verdict::Drop], false));
        assert!(Reading::default().read(b"data: {\"type\n\n").is_err());
        let whole = b"event: response.completed\ndata: {\"type\":\"response.completed\"}";
        assert!(Reading::default().ends(whole) && !Reading::default().ends(&whole[..50]));
    }
}
