//! What the tap reads of an event: a glance at a plain delta, a parse of anything else.

use memchr::memmem;

use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::json::Mapped;
use crate::openai_chat::choice_number;
use crate::openai_chat::facts::{Sighting, text_bytes};
use crate::sse::relay::lists_objects;

/// What `"tool_calls"` and `"function_call"` have in common.
const CALL: &[u8] = b"_call";

/// Searchers for the marks that decide whether an event is read, built once for a stream.
#[derive(Debug)]
pub(super) struct Marks {
    usage: memmem::Finder<'static>,
    choice: memmem::Finder<'static>,
    call: memmem::Finder<'static>,
    finish: memmem::Finder<'static>,
}

/// What has been read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) facts: StreamFacts,
    /// Bits of the choices seen and of those finished. There are at most 128.
    seen: u128,
    ended: u128,
    /// Those that call a tool.
    calls: u128,
    /// A choice beyond those bits was seen; whether all are finished cannot be told.
    beyond: bool,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            usage: memmem::Finder::new(b"\"usage\""),
            choice: memmem::Finder::new(b"\"choices\":[{\"index\":"),
            call: memmem::Finder::new(CALL),
            finish: memmem::Finder::new(b"\"finish_reason\":"),
        }
    }
}

impl Marks {
    /// Where the mark of usage stands, if it does.
    pub(super) fn usage(&self, data: &[u8]) -> Option<usize> {
        self.usage.find(data)
    }

    /// Reads a plain delta without parsing it. False if the event needs a closer look.
    pub(super) fn glance(&self, data: &[u8], read: &mut Reading) -> bool {
        if read.facts.model.is_none() {
            return false;
        }
        let Some(start) = self.choice.find(data) else { return false };
        let rest = &data[start + self.choice.needle().len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let Some(delta) = rest[digits..].strip_prefix(b",\"delta\":") else { return false };
        let Some(index) = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok())
        else {
            return false;
        };
        let (bytes, end) = text_bytes(delta);
        let after = &delta[end.min(delta.len())..];
        // A finish reason, a second choice or an unclosed delta: look closer.
        let Some(finish) = self.finish.find(after) else { return false };
        let finish = &after[finish + self.finish.needle().len()..];
        if !finish.starts_with(b"null") || self.finish.find(finish).is_some() {
            return false;
        }
        read.saw(index, false);
        let delta = &delta[..end.min(delta.len())];
        read.called(index, self.call.find_iter(delta).any(|mark| is_call(delta, mark)));
        read.count(bytes);
        true
    }
}

impl Reading {
    /// The facts, with what follows from the choices.
    pub(super) fn facts(&self) -> StreamFacts {
        let finished = self.seen != 0 && self.seen == self.ended && !self.beyond;
        StreamFacts { finished, ..self.facts.clone() }
    }

    /// Whether a tool call lacks its end: no choice that calls a tool ends without a reason.
    pub(super) fn breaks_off(&self) -> bool {
        self.calls & !self.ended != 0
    }

    /// Reads the data of any event, which is JSON. True if it is the extra usage chunk. Errors: it is no object, or its
    /// choices are no list of objects.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<bool, WireError> {
        let Ok(Mapped(seen)) = serde_json::from_slice::<Mapped<Sighting<'_>>>(data) else {
            lists_objects(data, "choices")?;
            self.facts.begun = true;
            self.facts.unreadable_events += 1;
            return Ok(false);
        };
        match seen.fault() {
            Some(fault) => self.facts.upstream_error = Some(fault),
            None => self.facts.begun = true,
        }
        if self.facts.id.is_none() {
            self.facts.id = seen.id();
        }
        if let Some(model) = seen.model() {
            self.facts.model.get_or_insert(model);
        }
        if let Some(tier) = seen.service_tier() {
            self.facts.service_tier = Some(tier);
        }
        let usage = seen.usage();
        let mut total = 0;
        let mut empty = seen.choices().is_some();
        for (number, choice) in seen.choices().into_iter().flatten().enumerate() {
            empty = false;
            let number = choice_number(choice.index, number);
            let delta = choice.delta.map_or(&[][..], |delta| delta.get().as_bytes());
            let (bytes, _) = text_bytes(delta);
            let finish = choice.finish();
            // Some vendors repeat it.
            let ended_before = self.ended;
            self.saw(number, finish.is_some());
            self.called(number, memmem::find_iter(delta, CALL).any(|mark| is_call(delta, mark)));
            self.facts.finish.extend(finish.filter(|_| self.ended != ended_before));
            total += bytes;
        }
        self.count(total);
        self.facts.tell(usage.or_else(|| seen.usage_in_choice()));
        Ok(usage.is_some() && empty)
    }

    fn called(&mut self, choice: u32, calls: bool) {
        self.calls |= u128::from(calls).checked_shl(choice).unwrap_or_default();
    }

    fn saw(&mut self, choice: u32, ended: bool) {
        match 1_u128.checked_shl(choice) {
            Some(bit) => {
                self.seen |= bit;
                self.ended |= if ended { bit } else { 0 };
            }
            None => self.beyond = true,
        }
    }

    fn count(&mut self, bytes: u64) {
        self.facts.content_bytes += bytes;
        self.facts.content_events += u64::from(bytes > 0);
    }
}

/// Whether the [`CALL`] at `mark` names a member that holds a call: `tool_calls`, or `function_call` as `OpenAI` had it
/// before. Some vendors write null or an empty one into every delta.
fn is_call(delta: &[u8], mark: usize) -> bool {
    let (before, after) = (&delta[..mark], &delta[mark + CALL.len()..]);
    let after = if before.ends_with(b"\"tool") {
        after.strip_prefix(b"s\"")
    } else if before.ends_with(b"\"function") {
        after.strip_prefix(b"\"")
    } else {
        None
    };
    let Some(value) = after.and_then(|after| after.trim_ascii_start().strip_prefix(b":")) else {
        return false;
    };
    let mut signs = value.iter().filter(|byte| !byte.is_ascii_whitespace());
    matches!((signs.next(), signs.next()), (Some(b'['), Some(b'{')) | (Some(b'{'), Some(b'"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_delta_is_read_without_parsing_and_anything_else_is_parsed() {
        let marks = Marks::default();
        let mut read = Reading::default();
        read.facts.model = Some("m".into());
        let plain = br#"{"id":"x","choices":[{"index":3,"delta":{"content":"abc"},"logprobs":null,"finish_reason":null}]}"#;
        assert!(marks.glance(plain, &mut read));
        assert_eq!((read.seen, read.facts.content_bytes, read.facts.content_events), (1 << 3, 3, 1));
        for odd in [
            r#"{"choices":[]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a"},"index":0,"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":null},{"index":1,"delta":{},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a"#,
            r#"{"error":{"message":"m"}}"#,
        ] {
            assert!(!marks.glance(odd.as_bytes(), &mut read), "{odd}");
        }
    }
}
