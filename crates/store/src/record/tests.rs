use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}

fn id() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>()
}

fn usage() -> impl Strategy<Value = Usage> {
    proptest::collection::vec((proptest::sample::select(UsageClass::ALL), any::<u64>()), 0..4)
        .prop_map(|counts| counts.into_iter().collect())
}

fn hold() -> impl Strategy<Value = Hold> {
    let amount = any::<i128>().prop_map(Money::from_pico);
    prop_oneof![amount.clone().prop_map(Hold::Known), amount.prop_map(Hold::Assumed)]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (
        (any::<u16>(), text(), text(), text(), of(text()), text(), text()),
        (any::<i64>(), of(any::<i64>()), proptest::sample::select(&STATUSES), of(any::<u16>()), of(text())),
        (of(hold()), usage(), of(proptest::sample::select(&BASES)), of(any::<i128>())),
        proptest::collection::vec(text(), 0..3),
    )
        .prop_map(|(offer, run, charge, flags)| Attempt {
            number: offer.0,
            channel: offer.1.into(),
            model: offer.2.into(),
            upstream_model: offer.3.into(),
            price_version: offer.4.map(Into::into),
            tier: offer.5.into(),
            geo: offer.6.into(),
            started: Timestamp(run.0),
            ended: run.1.map(Timestamp),
            status: run.2,
            http_status: run.3,
            vendor_request_id: run.4,
            hold: charge.0,
            usage: charge.1,
            basis: charge.2,
            amount: charge.3.map(Money::from_pico),
            flags,
        })
}

fn entry() -> impl Strategy<Value = Entry> {
    (
        (id(), id(), any::<i64>(), of(id()), of(id()), any::<bool>(), proptest::sample::select(&OUTCOMES)),
        (text(), text(), text(), text(), text()),
        proptest::collection::btree_map(text(), text(), 0..3),
        proptest::collection::vec(attempt(), 0..4),
        proptest::collection::vec(text(), 0..3),
    )
        .prop_map(|(facts, names, tags, attempts, losses)| Entry {
            id: EntryId::from_bytes(facts.0),
            call: CallFacts {
                request_id: RequestId::from_bytes(facts.1),
                time: Timestamp(facts.2),
                project: names.0.into(),
                key: facts.3.map(KeyId::from_bytes),
                principal: names.1.into(),
                route: names.2.into(),
                dialect: names.3.into(),
                endpoint: names.4.into(),
                stream: facts.5,
                tags,
            },
            outcome: facts.6,
            attempts,
            losses,
            adjusts: facts.4.map(EntryId::from_bytes),
        })
}

proptest! {
    #[test]
    fn records_round_trip(entry in entry()) {
        let intent = Intent { call: entry.call.clone(), attempts: entry.attempts.clone() };
        prop_assert_eq!(decode_intent(&encode_intent(&intent)), Ok(intent));
        prop_assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
    }

    #[test]
    fn anything_can_be_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_entry(&bytes);
        let _ = decode_intent(&bytes);
    }
}

#[test]
fn what_the_first_version_wrote_can_be_read() {
    let mut bytes = vec![FORMAT, tag::REQUEST];
    bytes.extend([7; 16]);
    bytes.extend([tag::TIME, 0x80, 1, tag::PROJECT, 1, b'p', tag::PRINCIPAL, 1, b'q', tag::ROUTE, 1, b'r']);
    bytes.extend([tag::DIALECT, 1, b'd', tag::ENDPOINT, 1, b'e', tag::STREAM, tag::TAG, 1, b'k', 1, b'v']);
    bytes.extend([tag::ENTRY]);
    bytes.extend([9; 16]);
    bytes.extend([12, 1, 20, 1, 21, 1, b'c', 22, 1, b'm', 23, 1, b'u', 25, 1, b't', 26, 1, b'g', 27, 4]);
    bytes.extend([29, 2, 32, 0x90, 0x4e, 33, 1, 5, 33, 6, 3, 34, 1, 35, 10]);
    let entry = decode_entry(&bytes).unwrap();
    assert_eq!(encode_entry(&entry), bytes);
    assert_eq!((entry.call.time, entry.outcome, entry.call.stream), (Timestamp(64), Outcome::Ok, true));
    let attempt = &entry.attempts[0];
    let hold = Hold::Known(Money::from_pico(5_000));
    assert_eq!((attempt.hold, attempt.amount), (Some(hold), Some(Money::from_pico(5))));
    assert_eq!((attempt.usage[UsageClass::Input], attempt.usage[UsageClass::Output]), (5, 3));
    assert_eq!((attempt.status, attempt.started), (AttemptStatus::Ok, Timestamp(2)));
}

#[test]
fn what_a_newer_version_wrote_is_named() {
    assert_eq!(decode_entry(&[2]), Err(DecodeError::Format(2)));
    assert_eq!(decode_entry(&[1, 99]), Err(DecodeError::Tag(99)));
    assert_eq!(decode_entry(&[1, 20, 1, 99]), Err(DecodeError::Tag(99)));
    assert_eq!(decode_entry(&[1, tag::OUTCOME, 9]), Err(DecodeError::Value { tag: tag::OUTCOME }));
    assert_eq!(decode_entry(&[1, tag::REQUEST, 0]), Err(DecodeError::Short));
    assert_eq!(decode_entry(&[]), Err(DecodeError::Short));
    assert_eq!(decode_entry(&[1]), Err(DecodeError::Missing("entry id")));
}

#[test]
fn every_code_is_its_own() {
    let mut codes: Vec<u8> = UsageClass::ALL.iter().map(|class| class_code(*class)).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), UsageClass::ALL.len());
}

/// The lists are what decoding knows; a variant that is only encoded would be lost.
#[test]
fn every_status_outcome_and_basis_can_be_read_back() {
    let codes = |count: usize| (1..=u8::try_from(count).unwrap()).collect::<Vec<_>>();
    assert_eq!(STATUSES.map(status_code).to_vec(), codes(8));
    assert_eq!(OUTCOMES.map(outcome_code).to_vec(), codes(6));
    assert_eq!(BASES.map(basis_code).to_vec(), codes(3));
}
