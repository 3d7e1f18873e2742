//! Answers, whole and streamed: what a client of another wire gets of each thing that a vendor says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use steelyard_dialect::{ChatResponse, Dialect};

use super::meaning::differences;
use super::rows::lay;
use super::{CLIENTS, DIALECTS, pairs, said, streams};
use crate::fixtures;
use crate::wire::{context, decoded, encoded};

/// The answers of one vendor dialect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answers {
    base: Value,
    pub(crate) rows: Vec<Row>,
}

/// One thing that an answer says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) field: String,
    /// What is laid over the least answer.
    body: Value,
    /// It comes in whole answers only.
    #[serde(default)]
    whole: bool,
    /// For each client's wire on which it arrives as something else: as what.
    #[serde(default)]
    mapped: BTreeMap<String, String>,
    /// For each client's wire on which it does not arrive: why.
    #[serde(default)]
    lost: BTreeMap<String, String>,
}

impl Answers {
    pub(crate) fn of(dialect: Dialect) -> Self {
        let text = fixtures::one(&format!("matrix/{}.answers.json", dialect.name()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", dialect.name()))
    }

    pub(crate) fn body(&self, row: &Row) -> Value {
        let mut body = self.base.clone();
        lay(&mut body, &row.body);
        body
    }
}

impl Row {
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Mapped(String),
    Lost(String),
}

/// An answer on its way to a client, and read there again.
struct Passed {
    answer: ChatResponse,
    bytes: Vec<u8>,
    again: ChatResponse,
}

fn whole(vendor: Dialect, client: Dialect, body: &Value) -> Passed {
    let answer = vendor.decode_response(body.to_string().as_bytes()).unwrap();
    let bytes = client.encode_response(&answer, &context()).to_vec();
    let again = client.decode_response(&bytes).unwrap();
    Passed { answer, bytes, again }
}

fn streamed(vendor: Dialect, client: Dialect, body: &Value) -> Passed {
    let (events, end) = decoded(vendor, &[&streams::of(vendor, body)]);
    assert_eq!(end, "complete", "{body}");
    let bytes = encoded(client, &events).to_vec();
    let (again, end) = decoded(client, &[&bytes]);
    assert_eq!(end, "complete", "{body}");
    Passed { answer: said::gathered(&events), bytes, again: said::gathered(&again) }
}

/// The fates of a row at a client, whole and streamed, or what is wrong with it.
pub(crate) fn fates(
    vendor: Dialect,
    client: Dialect,
    all: &Answers,
    row: &Row,
) -> Result<(Fate, Option<Fate>), String> {
    let body = all.body(row);
    let told = |(passed, ground): (Passed, Passed)| fate(&passed, &ground, row, client);
    let of_whole = told((whole(vendor, client, &body), whole(vendor, client, &all.base)))?;
    if row.whole {
        return Ok((of_whole, None));
    }
    let of_stream = told((streamed(vendor, client, &body), streamed(vendor, client, &all.base)))
        .map_err(|error| format!("streamed: {error}"))?;
    Ok((of_whole, Some(of_stream)))
}

fn fate(passed: &Passed, ground: &Passed, row: &Row, client: Dialect) -> Result<Fate, String> {
    let (meant, read) = (said::of(&passed.answer), said::of(&passed.again));
    let differ = differences(&meant, &read);
    let unread = meant == said::of(&ground.answer);
    let name = client.name();
    if differ.is_empty() && !unread {
        return Ok(Fate::Kept);
    }
    // No byte of it reached the client, or it means to the client what the answer without it means.
    let nothing = passed.bytes == ground.bytes || said::of(&passed.again) == said::of(&ground.again);
    let (kind, sentences) = if nothing { ("lost", &row.lost) } else { ("mapped", &row.mapped) };
    let Some(sentence) = sentences.get(name) else {
        let was: Vec<_> = differ.iter().map(|name| meant.get(name)).collect();
        let is: Vec<_> = differ.iter().map(|name| read.get(name)).collect();
        return Err(format!("{kind} in silence: {differ:?}\n    was {was:?}\n    is  {is:?}"));
    };
    Ok(if nothing { Fate::Lost(sentence.clone()) } else { Fate::Mapped(sentence.clone()) })
}

#[test]
fn every_answer_is_kept_or_told_of() {
    let mut faults = String::new();
    for (client, vendor) in pairs() {
        let all = Answers::of(vendor);
        for row in &all.rows {
            let head = format!("{} → {}: {}", vendor.name(), client.name(), row.field);
            match fates(vendor, client, &all, row) {
                Err(error) => writeln!(faults, "{head}: {error}").unwrap(),
                Ok((whole, streamed)) => {
                    let fates = [Some(whole), streamed];
                    let is = |wanted: fn(&Fate) -> bool| fates.iter().flatten().any(wanted);
                    if row.mapped.contains_key(client.name()) && !is(|fate| matches!(fate, Fate::Mapped(_))) {
                        writeln!(faults, "{head}: nothing is mapped: {fates:?}").unwrap();
                    }
                    if row.lost.contains_key(client.name()) && !is(|fate| matches!(fate, Fate::Lost(_))) {
                        writeln!(faults, "{head}: nothing is lost: {fates:?}").unwrap();
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_wires_own_answers_lose_nothing_that_was_read() {
    for dialect in DIALECTS {
        let all = Answers::of(dialect);
        for row in &all.rows {
            let body = all.body(row);
            let passed = whole(dialect, dialect, &body);
            assert_eq!(said::of(&passed.answer), said::of(&passed.again), "{} {}", dialect.name(), row.field);
            if !row.whole {
                let passed = streamed(dialect, dialect, &body);
                assert_eq!(
                    said::of(&passed.answer),
                    said::of(&passed.again),
                    "{} {}",
                    dialect.name(),
                    row.field
                );
            }
        }
    }
}

/// A streamed answer says what the whole one says.
#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for dialect in DIALECTS {
        let all = Answers::of(dialect);
        for row in all.rows.iter().filter(|row| !row.whole) {
            let body = all.body(row);
            let answer = dialect.decode_response(body.to_string().as_bytes()).unwrap();
            let (events, _) = decoded(dialect, &[&streams::of(dialect, &body)]);
            let mut differ = differences(&said::of(&answer), &said::of(&said::gathered(&events)));
            // What the vendor's own tools did is told of whole answers only.
            if row.field.starts_with("toolUse.type") {
                continue;
            }
            // A tier that comes with the end of a stream is lost, as the rows say; of the details, the words are told.
            differ.retain(|name| name != "service_tier" && !name.ends_with("stop_details"));
            assert_eq!(differ, Vec::<String>::new(), "{} {}", dialect.name(), row.field);
        }
    }
}

#[test]
fn what_a_client_reads_is_what_it_was() {
    for (client, vendor) in pairs() {
        let all = Answers::of(vendor);
        let mut report = String::new();
        for row in &all.rows {
            let body = all.body(row);
            let shown = |bytes: &[u8]| match client.name() {
                "bedrock_converse" => crate::bedrock::streams::shown(bytes),
                _ => String::from_utf8(bytes.to_vec()).unwrap(),
            };
            writeln!(
                report,
                "# {}\n{}",
                row.field,
                String::from_utf8(whole(vendor, client, &body).bytes).unwrap()
            )
            .unwrap();
            if !row.whole {
                writeln!(report, "{}", shown(&streamed(vendor, client, &body).bytes)).unwrap();
            }
        }
        insta::assert_snapshot!(format!("answers_{}_to_{}", vendor.name(), client.name()), report);
    }
}

#[test]
fn a_stream_cut_anywhere_reads_the_same_on_every_other_wire() {
    for vendor in DIALECTS {
        let all = Answers::of(vendor);
        for row in all.rows.iter().filter(|row| !row.whole) {
            let stream = streams::of(vendor, &all.body(row));
            let (events, _) = decoded(vendor, &[&stream]);
            let wanted = CLIENTS.map(|client| encoded(client, &events));
            for at in 0..=stream.len() {
                let (head, tail) = stream.split_at(at);
                let (again, end) = decoded(vendor, &[head, tail]);
                assert!(end == "complete" && again == events, "{}: {} cut at {at}", vendor.name(), row.field);
            }
            // The same bytes too, however small the pieces.
            for size in [1, 7, 64] {
                let (again, _) = decoded(vendor, &stream.chunks(size).collect::<Vec<_>>());
                let written = CLIENTS.map(|client| encoded(client, &again));
                assert!(written == wanted, "{}: {} in pieces of {size}", vendor.name(), row.field);
            }
        }
    }
}
