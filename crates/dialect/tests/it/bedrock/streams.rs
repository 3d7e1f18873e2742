//! Every stream fixture, whole, at every split point and byte by byte; and what is written for clients.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::FinishReason;
use steelyard_dialect::event_stream::{self, Frames};
use steelyard_dialect::{Dialect, Json, StreamEvent, TapEnd};

use crate::bedrock::{DIALECT, context};
use crate::fixtures;
use crate::replay::{decoded, every_cut, relayed};

/// Checks one fixture and reports what was read.
fn replay(name: &str, body: &[u8]) -> String {
    let whole = [body];
    let (events, end) = decoded(DIALECT, &whole);
    let tap = relayed(DIALECT, &whole);
    let bytes = [tap.passed.as_slice(), tap.terminal.as_deref().unwrap_or_default()].concat();
    assert!(body.starts_with(&bytes), "{name}: the tap must not change a byte");
    every_cut(body, |chunks, how| {
        let again = decoded(DIALECT, chunks);
        assert!(again == (events.clone(), end.clone()), "{name} {how}: {again:?}");
        assert_eq!(relayed(DIALECT, chunks), tap, "{name} {how}");
    });
    let mut report = String::new();
    for event in &events {
        writeln!(report, "{event:?}").unwrap();
    }
    let terminal = tap.terminal.map_or(0, |terminal| terminal.len());
    write!(
        report,
        "=> {end}\n\nrelayed: {}, {} bytes passed, {terminal} withheld, {} lost\n{:#?}",
        tap.end,
        tap.passed.len(),
        body.len() - bytes.len(),
        tap.facts
    )
    .unwrap();
    report
}

#[test]
fn every_split_point_gives_the_same() {
    let all = fixtures::all("bedrock/streams");
    let reports: Vec<String> = std::thread::scope(|scope| {
        let replays: Vec<_> =
            all.iter().map(|(name, body)| scope.spawn(move || replay(name, body))).collect();
        replays.into_iter().map(|replay| replay.join().unwrap()).collect()
    });
    for ((name, _), report) in all.iter().zip(reports) {
        insta::assert_snapshot!(format!("stream_{name}"), report);
    }
}

fn encoded(events: &[StreamEvent]) -> Bytes {
    let mut encoder = DIALECT.stream_encoder(context());
    let mut out = BytesMut::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    let before = out.len();
    encoder.finish(812, &mut out);
    let mut kinds = Vec::new();
    let mut frames = Frames::default();
    frames
        .push(&out[before..], |frame| {
            kinds.push(frame.header(":event-type").unwrap().to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(kinds[kinds.len() - 2..], ["messageStop", "metadata"], "the terminal part comes at the end");
    out.freeze()
}

/// The frames of a stream, readable.
pub(crate) fn shown(body: &[u8]) -> String {
    let mut text = String::new();
    let mut frames = Frames::default();
    frames
        .push(body, |frame| {
            let kind = frame.header(":event-type").unwrap();
            writeln!(text, "{kind} {}", std::str::from_utf8(frame.payload).unwrap()).unwrap();
            Ok(())
        })
        .unwrap();
    assert!(!frames.is_mid_frame());
    text
}

#[test]
fn a_stream_that_is_written_again_means_the_same() {
    for (name, body) in fixtures::all("bedrock/streams") {
        let (events, end) = decoded(DIALECT, &[&body]);
        if end != "complete" {
            continue;
        }
        let out = encoded(&events);
        let (again, end) = decoded(DIALECT, &[&out]);
        assert_eq!(end, "complete", "{name}");
        let written = |events: &[StreamEvent]| -> Vec<StreamEvent> {
            let zero = StreamEvent::Usage(Usage::ZERO);
            events.iter().filter(|event| **event != zero).cloned().collect()
        };
        // An empty call adds up to an object, and hidden metadata come first; the rest is the same.
        let plain = |events: &[StreamEvent]| -> Vec<StreamEvent> {
            let mut events = written(events);
            events.retain(
                |event| !matches!(event, StreamEvent::ToolCallArguments { text, .. } if text == "{}"),
            );
            events.sort_by_key(|event| matches!(event, StreamEvent::Usage(_)));
            events
        };
        assert_eq!(plain(&again), plain(&events), "{name}");
        insta::assert_binary_snapshot!(&format!("encoded_{name}.bin"), out.to_vec());
    }
}

#[test]
fn streams_of_other_vendors_read_like_bedrocks() {
    for (name, body) in fixtures::all("openai_chat/streams") {
        let (events, end) = decoded(Dialect::OpenAiChat, &[&body]);
        if end != "complete" {
            continue;
        }
        let out = encoded(&events);
        let (_, end) = decoded(DIALECT, &[&out]);
        assert_eq!(end, "complete", "{name}");
        insta::assert_snapshot!(format!("shown_of_openai_{name}"), shown(&out));
        insta::assert_binary_snapshot!(&format!("encoded_of_openai_{name}.bin"), out.to_vec());
    }
}

#[test]
fn a_stream_means_the_same_after_a_detour_over_anthropics_wire() {
    for (name, body) in fixtures::all("bedrock/streams") {
        let (events, end) = decoded(DIALECT, &[&body]);
        if end != "complete" {
            continue;
        }
        let mut encoder = Dialect::AnthropicMessages.stream_encoder(context());
        let mut out = BytesMut::new();
        for event in &events {
            encoder.push(event, &mut out);
        }
        encoder.finish(812, &mut out);
        let (detour, end) = decoded(Dialect::AnthropicMessages, &[&out]);
        assert_eq!(end, "complete", "{name}");
        let again = encoded(&detour);
        let (again, _) = decoded(DIALECT, &[&again]);
        // The beginning differs; so does a word that Anthropic has not, and a guardrail is a refusal to it. Its answers hold
        // no pictures.
        let said = |events: &[StreamEvent]| -> Vec<StreamEvent> {
            let said = |event: &&StreamEvent| {
                !matches!(
                    event,
                    StreamEvent::Start { .. }
                        | StreamEvent::Finish { .. }
                        | StreamEvent::Usage(_)
                        | StreamEvent::ServiceTier(_)
                )
            };
            events.iter().filter(said).cloned().collect()
        };
        let plain = |events: &[StreamEvent]| -> Vec<StreamEvent> {
            let mut events = said(events);
            events.retain(
                |event| !matches!(event, StreamEvent::ToolCallArguments { text, .. } if text == "{}"),
            );
            while let Some(at) = events.iter().position(|event| matches!(event, StreamEvent::Image { .. })) {
                // With the end of its block.
                events.drain(at..at + 2);
            }
            events
        };
        assert_eq!(plain(&again), plain(&events), "{name}");
    }
}

fn start(call: u32) -> StreamEvent {
    let (id, name) = (format!("call_{call}"), format!("f{call}"));
    StreamEvent::ToolCallStart { choice: 0, call, id, name, custom: false }
}

fn piece(call: u32, text: &str) -> StreamEvent {
    StreamEvent::ToolCallArguments { choice: 0, call, text: text.into() }
}

fn text(text: &str) -> StreamEvent {
    StreamEvent::Text { choice: 0, text: text.into() }
}

#[test]
fn calls_side_by_side_become_one_block_after_the_other() {
    let usage: Usage = [(UsageClass::Input, 3), (UsageClass::Output, 4)].into_iter().collect();
    let events = [
        StreamEvent::Start {
            id: None,
            model: None,
            service_tier: Some("default".into()),
            system_fingerprint: None,
        },
        text("a"),
        start(0),
        piece(0, "{\"x\""),
        start(1),
        piece(1, "{\"y\""),
        piece(0, ":1}"),
        text("late"),
        start(2),
        piece(1, ":2}"),
        StreamEvent::Text { choice: 1, text: "another answer".into() },
        text(""),
        StreamEvent::Finish { choice: 1, reason: FinishReason::Stop },
        StreamEvent::Finish { choice: 0, reason: FinishReason::ToolCalls },
        StreamEvent::Usage(Usage::ZERO),
        StreamEvent::Usage(usage),
    ];
    let out = encoded(&events);
    insta::assert_snapshot!(shown(&out));
    insta::assert_binary_snapshot!("encoded_side_by_side.bin", out.to_vec());
}

#[test]
fn the_tier_that_served_comes_with_the_figures_and_goes_where_a_wire_has_a_word_for_it() {
    let body = fixtures::one("bedrock/streams/text.bin");
    let mut frame = BytesMut::new();
    let headers =
        [(":event-type", "metadata"), (":content-type", "application/json"), (":message-type", "event")];
    let payload = br#"{"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1},"serviceTier":{"type":"priority"}}"#;
    event_stream::write(&mut frame, &headers, payload);
    let mut before = 0;
    let (mut at, mut kinds) = (0, Vec::new());
    while let Some((found, length)) = event_stream::take(&body[at..], body.len()).unwrap() {
        let kind = found.header(":event-type").unwrap().to_owned();
        if kind == "metadata" {
            before = at;
        }
        kinds.push(kind);
        at += length;
    }
    assert_eq!(kinds.last().map(String::as_str), Some("metadata"));
    let body = [&body[..before], &frame].concat();

    let (events, end) = decoded(DIALECT, &[&body]);
    assert_eq!(end, "complete");
    assert_eq!(events.last(), Some(&StreamEvent::ServiceTier("priority".into())));
    assert_eq!(relayed(DIALECT, &[&body]).facts.service_tier.as_deref(), Some("priority"));
    assert!(shown(&encoded(&events)).trim_end().ends_with(r#""serviceTier":{"type":"priority"}}"#));
    let mut encoder = Dialect::OpenAiChat.stream_encoder(context());
    let mut out = BytesMut::new();
    for event in &events {
        encoder.push(event, &mut out);
    }
    encoder.finish(812, &mut out);
    let out = String::from_utf8(out.to_vec()).unwrap();
    let figures = out.lines().find(|line| line.contains("\"prompt_tokens\"")).unwrap();
    assert!(figures.contains(r#""service_tier":"priority""#), "{figures}");
}

/// What Chat Completions tells of a web page it cites.
const PAGES: &str = r#"[{"type":"url_citation","url_citation":{"url":"https://a.example/x","title":"A","start_index":0,"end_index":4}},{"type":"url_citation","url_citation":{"url":"https://b.example/","title":"B","start_index":5,"end_index":9}},{"type":"file_citation"}]"#;

#[test]
fn web_pages_that_another_vendor_cites_are_cited() {
    let events = [
        text("read this"),
        StreamEvent::Annotations { choice: 0, annotations: Json::parse(PAGES).unwrap() },
        StreamEvent::Finish { choice: 0, reason: FinishReason::Stop },
    ];
    let out = encoded(&events);
    insta::assert_snapshot!(shown(&out));
    let (again, _) = decoded(DIALECT, &[&out]);
    let cited = again.iter().filter(|event| matches!(event, StreamEvent::Citation { .. })).count();
    assert_eq!(cited, 2);

    let body = format!(
        r#"{{"model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"read this","annotations":{PAGES}}}}}]}}"#
    );
    let whole = Dialect::OpenAiChat.decode_response(body.as_bytes()).unwrap();
    let written = DIALECT.encode_response(&whole, &context());
    insta::assert_snapshot!("pages_in_a_reply", std::str::from_utf8(&written).unwrap());
}

#[test]
fn an_open_call_streams_at_once_and_ends_with_its_part() {
    let mut encoder = DIALECT.stream_encoder(context());
    let mut out = BytesMut::new();
    let end = StreamEvent::PartEnd { choice: 0 };
    let mut push = |event: &StreamEvent| {
        encoder.push(event, &mut out);
        shown(&out.split()).lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(push(&start(0)), ["messageStart", "contentBlockStart"]);
    assert_eq!(push(&piece(0, "{")), ["contentBlockDelta"]);
    assert_eq!(push(&piece(0, "}")), ["contentBlockDelta"]);
    assert_eq!(push(&end), ["contentBlockStop"]);
    assert_eq!(push(&start(1)), ["contentBlockStart"]);
    assert_eq!(push(&end), ["contentBlockDelta", "contentBlockStop"]);
    assert_eq!(push(&text("x")), ["contentBlockDelta"]);
    assert_eq!(push(&start(2)), ["contentBlockStop", "contentBlockStart"]);
    // The part that ends is the one that came last, not the one that is open.
    assert_eq!(push(&start(3)), [""; 0]);
    assert_eq!(push(&end), [""; 0]);
    assert_eq!(push(&piece(2, "{}")), ["contentBlockDelta"]);
    assert_eq!(push(&end).len(), 1 + 3);
}

#[test]
fn an_answer_of_nothing_is_still_a_whole_stream() {
    insta::assert_snapshot!(shown(&encoded(&[])));
}

#[test]
fn frames_pass_when_they_are_whole_and_the_end_waits() {
    let body = Bytes::from(fixtures::one("bedrock/streams/no_metadata.bin"));
    let whole = relayed(DIALECT, &[&body]);
    let stop = whole.passed.len();
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    tap.push(body.slice(..10), &mut out).unwrap();
    assert!(out.is_empty());
    tap.push(body.slice(10..stop - 1), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    tap.push(body.slice(stop - 1..stop), &mut out).unwrap();
    assert_eq!(out.concat(), body[..stop]);
    assert_eq!(tap.unfinished_terminal(), None);
    assert_eq!(tap.push(body.slice(stop..), &mut out).unwrap(), None);
    assert_eq!(out.concat(), body[..stop]);
    assert!(tap.facts().terminated);
    assert_eq!(tap.unfinished_terminal().as_deref(), Some(&body[stop..]));
    assert_eq!(tap.unfinished_terminal(), None);
    assert_eq!(tap.finish(&mut out), TapEnd::Complete(Bytes::new()));
}

#[test]
fn whole_frames_are_passed_without_a_copy_and_a_vendor_that_never_ends_is_refused() {
    let body = Bytes::from(fixtures::one("bedrock/streams/cut.bin"));
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    tap.push(body.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), body.as_ptr());

    let mut tap = DIALECT.tap(true);
    let body = Bytes::from(fixtures::one("bedrock/streams/text.bin"));
    assert!(tap.push(body, &mut out).unwrap().is_some());
    let flood = Bytes::from(vec![0; 40 << 10]);
    assert_eq!(tap.push(flood.clone(), &mut out).unwrap(), None);
    assert!(tap.push(flood, &mut out).is_err());
}

#[test]
fn what_stood_before_a_bad_frame_has_passed() {
    let body = fixtures::one("bedrock/streams/bad_checksum.bin");
    let relay = relayed(DIALECT, &[&body]);
    assert!(relay.end.contains("checksum") && !relay.passed.is_empty(), "{relay:?}");
    assert!(shown(&relay.passed).starts_with("messageStart"));
}

#[test]
fn a_stream_is_done_when_its_end_and_its_figures_have_come() {
    for (name, done) in [("text", true), ("metadata_first", true), ("no_metadata", false), ("cut", false)] {
        let body = fixtures::one(&format!("bedrock/streams/{name}.bin"));
        let mut decoder = DIALECT.stream_decoder();
        let last = body.len() - 1;
        decoder.push(&body[..last], &mut Vec::new()).unwrap();
        assert!(!decoder.is_done(), "{name}");
        decoder.push(&body[last..], &mut Vec::new()).unwrap();
        assert_eq!(decoder.is_done(), done, "{name}");
    }
}
