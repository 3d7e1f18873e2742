//! Requests: what becomes of each field on each wire.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use steelyard_core::ErrorCode;
use steelyard_dialect::{ChatRequest, Dialect, Loss, LossKind, accept};

use super::meaning::{self, differences};
use super::rows::{Requests, Row, outside};
use super::{CLIENTS, DIALECTS, WIRES, Wire, pairs};

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It means the same.
    Kept,
    /// It arrives as something else, which the row tells.
    Mapped(String),
    /// It is named as lost, by its worst loss.
    Lost(LossKind, String),
}

/// One cell of the matrix.
pub(crate) struct Cell {
    pub(crate) fate: Fate,
    /// The members of the wire's body that the field made.
    pub(crate) places: Vec<String>,
    /// The body that is sent.
    sent: String,
    losses: Vec<Loss>,
}

/// The fate of a row on a wire, or what is wrong with it.
pub(crate) fn cell(client: Dialect, all: &Requests, row: &Row, wire: &Wire) -> Result<Cell, String> {
    let ground = write(client, &all.ground(row), row, wire)?;
    let full = write(client, &all.body(row), row, wire)?;
    let losses: Vec<Loss> =
        full.losses.iter().filter(|loss| !ground.losses.contains(loss)).cloned().collect();
    let differ: Vec<&String> = full.differ.iter().filter(|name| !ground.differ.contains(name)).collect();
    let mapped = row.mapped.get(wire.dialect.name());
    let fate = match (losses.iter().max_by_key(|loss| rank(loss.kind)), differ.as_slice(), mapped) {
        // What is refused is not sent, so that nothing can arrive.
        (Some(worst), differ, _) if worst.kind == LossKind::Refused || !differ.is_empty() => {
            Fate::Lost(worst.kind, whys(&losses))
        }
        (Some(loss), ..) => return Err(format!("`{}` is named as lost, and arrives", loss.field)),
        (None, [], _) => Fate::Kept,
        (None, _, Some(how)) => Fate::Mapped(how.clone()),
        (None, differ, None) => {
            return Err(format!(
                "lost in silence: {differ:?}\n    was {:?}\n    is  {:?}",
                pick(&full.meant, differ),
                pick(&full.read, differ)
            ));
        }
    };
    Ok(Cell { fate, places: places(&ground.body, &full.body), sent: full.body.to_string(), losses })
}

fn rank(kind: LossKind) -> u8 {
    match kind {
        LossKind::Emulated => 0,
        LossKind::Dropped => 1,
        LossKind::Refused => 2,
    }
}

fn whys(losses: &[Loss]) -> String {
    let mut whys: Vec<&str> = losses.iter().map(|loss| loss.why).collect();
    whys.dedup();
    whys.join("; ")
}

fn pick<'a>(meaning: &'a meaning::Meaning, names: &[&String]) -> Vec<&'a str> {
    names.iter().map(|name| meaning.get(*name).map_or("nothing", String::as_str)).collect()
}

/// A request on its way to a wire, and read there again.
struct Written {
    body: Value,
    losses: Vec<Loss>,
    meant: meaning::Meaning,
    read: meaning::Meaning,
    differ: Vec<String>,
}

fn write(client: Dialect, body: &Value, row: &Row, wire: &Wire) -> Result<Written, String> {
    let request = client
        .decode_request(body.to_string().as_bytes(), &row.outside(client))
        .map_err(|error| format!("cannot be read: {error}"))?;
    let (sent, losses) = wire.dialect.encode_request(&request, &wire.target);
    let again = wire
        .dialect
        .decode_request(&sent, &outside(wire.dialect, request.stream))
        .map_err(|error| format!("what is sent cannot be read: {error}: {}", String::from_utf8_lossy(&sent)));
    let again = match again {
        Ok(again) => again,
        // What is refused is not sent.
        Err(_) if losses.iter().any(|loss| loss.kind == LossKind::Refused) => ChatRequest::default(),
        Err(error) => return Err(error),
    };
    let (meant, mut read) = (meaning::of(&request), meaning::of(&again));
    // What the vendor is asked for beyond the request takes nothing from it.
    read.retain(|name, _| !name.starts_with("extra.") || meant.contains_key(name));
    let differ = differences(&meant, &read);
    let body = serde_json::from_slice(&sent).map_err(|error| error.to_string())?;
    Ok(Written { body, losses, meant, read, differ })
}

/// The members that one body has and the other has not, or has with other values, without numbers of places.
fn places(ground: &Value, body: &Value) -> Vec<String> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(ground, String::new(), &mut before);
    leaves(body, String::new(), &mut after);
    let new: Vec<String> = after.keys().filter(|path| !before.contains_key(*path)).cloned().collect();
    let changed = after.iter().filter(|(path, values)| before.get(*path) != Some(values));
    let mut found: Vec<String> =
        if new.is_empty() { changed.map(|(path, _)| path.clone()).collect() } else { new };
    // The kind of a thing says less than the thing.
    if found.len() > 1 {
        let last = |path: &String| path.rsplit('.').next().unwrap_or_default().to_owned();
        found.retain(|path| !matches!(last(path).as_str(), "type" | "role"));
    }
    found
}

fn leaves(value: &Value, path: String, out: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(member, path, out);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for one in list {
                leaves(one, format!("{path}[]"), out);
            }
        }
        leaf => out.entry(path).or_default().push(leaf.to_string()),
    }
}

#[test]
fn every_field_is_kept_or_told_of() {
    let mut faults = String::new();
    for client in CLIENTS {
        let all = Requests::of(client);
        for wire in &WIRES {
            for row in &all.rows {
                if let Err(error) = cell(client, &all, row, wire) {
                    writeln!(
                        faults,
                        "{} → {} ({}): {}: {error}",
                        client.name(),
                        wire.dialect.name(),
                        wire.title,
                        row.field
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// What is refused, and when, is what the page says: strict calls over everything that is lost, the others over what must
/// not be done without.
#[test]
fn strict_calls_are_refused_for_what_is_lost_and_for_nothing_else() {
    for (client, vendor) in pairs() {
        let all = Requests::of(client);
        for wire in WIRES.iter().filter(|wire| wire.dialect == vendor) {
            for row in &all.rows {
                let cell =
                    cell(client, &all, row, wire).unwrap_or_else(|error| panic!("{}: {error}", row.field));
                let head = format!("{} → {} ({}): {}", client.name(), vendor.name(), wire.title, row.field);
                let (strict, lenient) = (accept(&cell.losses, true), accept(&cell.losses, false));
                match cell.fate {
                    Fate::Kept | Fate::Mapped(_) => {
                        assert_eq!((strict.unwrap(), lenient.unwrap()), (vec![], vec![]), "{head}");
                    }
                    Fate::Lost(kind, _) => {
                        let refusal = strict.expect_err(&head);
                        assert_eq!(refusal.code, ErrorCode::Loss, "{head}");
                        for Loss { field, .. } in &cell.losses {
                            assert!(refusal.to_string().contains(&format!("`{field}`")), "{head}: {refusal}");
                        }
                        match lenient {
                            Err(_) => assert_eq!(kind, LossKind::Refused, "{head}"),
                            Ok(names) => {
                                assert_ne!(kind, LossKind::Refused, "{head}");
                                let named = |loss: &Loss| names.contains(&loss.field);
                                assert!(cell.losses.iter().all(named), "{head}: {names:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_sentence_stands_only_where_something_is_mapped() {
    for client in CLIENTS {
        let all = Requests::of(client);
        for row in &all.rows {
            for name in row.mapped.keys() {
                let wires: Vec<&Wire> = WIRES.iter().filter(|wire| wire.dialect.name() == name).collect();
                assert!(!wires.is_empty(), "{}: {}: there is no wire `{name}`", client.name(), row.field);
                let used = wires.iter().any(|wire| {
                    cell(client, &all, row, wire).is_ok_and(|cell| matches!(cell.fate, Fate::Mapped(_)))
                });
                assert!(used, "{} → {name}: {}: nothing is mapped here", client.name(), row.field);
            }
        }
    }
}

/// Calls between one wire and itself are relayed. Where one is written anew all the same, only what the model does not
/// take is lost.
#[test]
fn a_wires_own_requests_lose_what_their_model_does_not_take() {
    let mut report = String::new();
    for wire in &WIRES {
        let all = Requests::of(wire.dialect);
        for row in &all.rows {
            let head = format!("{} ({}): {}", wire.dialect.name(), wire.title, row.field);
            match cell(wire.dialect, &all, row, wire).unwrap_or_else(|error| panic!("{head}: {error}")).fate {
                Fate::Kept => {}
                fate => writeln!(report, "{head}: {fate:?}").unwrap(),
            }
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn what_is_sent_is_what_it_was() {
    for client in CLIENTS {
        let all = Requests::of(client);
        for vendor in DIALECTS.into_iter().filter(|vendor| *vendor != client) {
            let mut report = String::new();
            for row in &all.rows {
                writeln!(report, "# {}", row.field).unwrap();
                for wire in WIRES.iter().filter(|wire| wire.dialect == vendor) {
                    let Ok(cell) = cell(client, &all, row, wire) else { continue };
                    writeln!(report, "{}: {:?}\n{}", wire.title, cell.fate, cell.sent).unwrap();
                    for Loss { field, kind, .. } in &cell.losses {
                        writeln!(report, "  {kind:?} {field}").unwrap();
                    }
                }
                report.push('\n');
            }
            insta::assert_snapshot!(format!("requests_{}_to_{}", client.name(), vendor.name()), report);
        }
    }
}
