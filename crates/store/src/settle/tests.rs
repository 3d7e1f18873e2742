//! From the spool into the ledger: exactly once, whatever the database does meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use steelyard_core::port::{Ledger, LedgerError, Slot};
use steelyard_core::record::{Entry, Intent, Outcome};
use steelyard_core::{EntryId, KeyId, Money, RequestId, Timestamp, Usage, UsageClass};

use super::*;
use crate::db::sql;
use crate::repo::{Dimension, UsageFilter};
use crate::testing::{
    HOLD, House, Lock, Place, call_once, entry, eventually, further, intent, on_each_engine,
};

#[cfg(feature = "postgres")]
mod server;

const LONG: Duration = Duration::from_secs(10);

on_each_engine!(
    entries_arrive_within_a_second_in_commit_order,
    moving_again_after_a_crash_changes_nothing,
    a_locked_database_is_waited_for,
    closing_keeps_to_its_deadline_and_leaves_the_rest_in_the_spool,
    closing_waits_for_open_calls,
    an_entry_that_no_row_can_hold_is_put_aside,
    sums_are_exact_beyond_64_bits,
    absurd_figures_do_not_end_the_sums,
    texts_that_a_database_has_no_place_for_are_settled,
);

async fn entries_arrive_within_a_second_in_commit_order(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(call_once(&spool).await.unwrap());
    }
    let started = Instant::now();
    eventually("the spool is empty", || spool.health().waiting == 0).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let ledger = house.ledger().await;
    assert_eq!(ledger.iter().map(|entry| entry.call.request_id).collect::<Vec<_>>(), ids);

    let feed = house.db.ledger().entries(0, 5, None).await.unwrap();
    let next = house.db.ledger().entries(feed[4].0, 100, None).await.unwrap();
    assert_eq!((feed.len(), next.len()), (5, 15));
    let (seq, found) = house.db.ledger().get(ids[7]).await.unwrap().unwrap();
    assert_eq!(found, ledger[7]);
    assert_eq!(house.db.ledger().entries(0, 9, Some(ids[7])).await.unwrap(), [(seq, found)]);
    assert_eq!(house.db.ledger().get(RequestId::new()).await.unwrap(), None);
    assert_eq!(settler.close(LONG).await, Left { calls: 0 });
}

async fn moving_again_after_a_crash_changes_nothing(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    for _ in 0..5 {
        call_once(&spool).await.unwrap();
    }
    spool.close();
    let copy = house.dir.path().join("copy.db");
    Connection::open(house.dir.spool()).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    drop(spool);

    for _ in 0..2 {
        let spool = house.spool();
        let settler = Settler::start(&house.db, &spool).unwrap();
        assert_eq!(settler.close(LONG).await.calls, 0);
        drop(spool);
        assert_eq!(house.ledger().await.len(), 5);
        // As if the process had died between the ledger's commit and the deletion.
        std::fs::copy(&copy, house.dir.spool()).unwrap();
    }
}

async fn a_locked_database_is_waited_for(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let locked = house.lock().await;
    call_once(&spool).await.unwrap();
    eventually("the settler says so", || settler.health().failing.is_some()).await;
    assert!(settler.health().failing.unwrap().contains("lock"));
    assert_eq!(settler.watch().health(), settler.health());
    call_once(&spool).await.unwrap();
    assert_eq!(spool.health().waiting, 2);

    drop(locked);
    eventually("everything is moved", || spool.health().waiting == 0).await;
    // It is said after the spool has let the entries go.
    eventually("the settler is well again", || settler.health() == SettlerHealth::default()).await;
    assert_eq!(house.ledger().await.len(), 2);
}

#[tokio::test]
async fn a_database_that_is_gone_loses_nothing() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    call_once(&spool).await.unwrap();
    eventually("the first is moved", || spool.health().waiting == 0).await;

    let (here, away) = (house.dir.database(), house.dir.path().join("away.db"));
    let copy = format!("VACUUM INTO '{}'", away.display());
    Connection::open(&here).unwrap().execute_batch(&copy).unwrap();
    std::fs::remove_file(&here).unwrap();
    call_once(&spool).await.unwrap();
    eventually("the settler says so", || settler.health().failing.is_some()).await;
    assert!(!here.exists(), "a missing ledger is not made anew");
    assert_eq!(spool.health().waiting, 1);

    let _ = std::fs::remove_file(here.with_extension("db-wal"));
    let _ = std::fs::remove_file(here.with_extension("db-shm"));
    std::fs::rename(&away, &here).unwrap();
    eventually("the second is moved", || spool.health().waiting == 0).await;
    settler.close(LONG).await;
    let count =
        Connection::open(&here).unwrap().query_row("SELECT COUNT(*) FROM entries", [], |row| row.get(0));
    assert_eq!(count, Ok(2));
}

/// What a vendor or a client made up must not hold up all that comes after it.
async fn texts_that_a_database_has_no_place_for_are_settled(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let mut strange = intent();
    strange.call.route = "a\0b".into();
    strange.call.tags = [("te\0am".to_owned(), "\0 \\u0000 \u{1f980}".to_owned())].into();
    spool.open(&strange).await.unwrap().settle(entry(&strange, 5)).await.unwrap();
    assert_eq!(settler.close(LONG).await, Left { calls: 0 });
    assert_eq!(&*house.ledger().await[0].call.route, "a\0b", "the record is as it was");
    let by = [Dimension::Route, Dimension::Tag("te\0am".to_owned())];
    let filter = UsageFilter { route: Some("a\0b".to_owned()), ..UsageFilter::default() };
    let rows = house.db.ledger().usage(&filter, &by).await.unwrap();
    let group = ["a\u{fffd}b", "\u{fffd} \\u0000 \u{1f980}"].map(|text| Some(text.to_owned()));
    assert_eq!((rows.len(), rows[0].group.as_slice()), (1, group.as_slice()));
    assert!(matches!(house.db.projects().find("a\0b").await, Err(StoreError::NotFound { .. })));
}

async fn closing_keeps_to_its_deadline_and_leaves_the_rest_in_the_spool(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let locked = house.lock().await;
    call_once(&spool).await.unwrap();
    let slot = spool.open(&intent()).await.unwrap();
    let started = Instant::now();
    assert_eq!(settler.close(Duration::from_millis(300)).await, Left { calls: 2 });
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(matches!(spool.open(&intent()).await.err(), Some(LedgerError::Closed)));
    drop((slot, spool, locked));

    let (spool, recovered) = house.open_spool(10);
    assert_eq!((recovered.orphans, recovered.waiting), (1, 2));
    assert_eq!(Settler::start(&house.db, &spool).unwrap().close(LONG).await, Left { calls: 0 });
    assert_eq!(house.ledger().await.len(), 2);
}

#[expect(clippy::disallowed_methods, reason = "a test has no shutdown that could wait for a task")]
async fn closing_waits_for_open_calls(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let open = intent();
    let slot = spool.open(&open).await.unwrap();
    let closing = tokio::spawn(settler.close(LONG));
    eventually("new calls are refused", || spool.shared().refusing.load(Ordering::Relaxed)).await;
    slot.settle(entry(&open, 3)).await.unwrap();
    assert_eq!(closing.await.unwrap(), Left { calls: 0 });
    assert_eq!(house.ledger().await[0].amount().unwrap().pico(), 3);
}

async fn an_entry_that_no_row_can_hold_is_put_aside(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let huge = intent();
    let slot = spool.open(&huge).await.unwrap();
    slot.settle(entry(&huge, i128::MAX)).await.unwrap();
    call_once(&spool).await.unwrap();
    assert_eq!(settler.close(LONG).await, Left { calls: 0 });
    assert_eq!(house.ledger().await.len(), 1);
    drop(spool);
    assert_eq!(house.open_spool(10).1.quarantined, 1);
}

async fn sums_are_exact_beyond_64_bits(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    // 30 times 9.2 million dollars and one pico: far beyond what 64 bits of pico-USD hold.
    let amount = 9_223_372_036_854_775_807 + 1;
    for turn in 0..30 {
        let mut open = intent();
        open.call.tags = [("team".to_owned(), if turn < 10 { "red" } else { "blue" }.to_owned())].into();
        open.call.key = (turn < 3).then(KeyId::new);
        open.call.time = Timestamp(turn * 3_600_000_000);
        let slot = spool.open(&open).await.unwrap();
        let mut settled = entry(&open, amount);
        settled.attempts[0].usage[UsageClass::WebSearch] = 2;
        slot.settle(settled).await.unwrap();
    }
    let unpriced = intent();
    let mut settled = entry(&unpriced, 0);
    settled.attempts[0].amount = None;
    spool.open(&unpriced).await.unwrap().settle(settled).await.unwrap();
    assert_eq!(settler.close(LONG).await.calls, 0);

    let ledger = house.db.ledger();
    let all = ledger.usage(&UsageFilter::default(), &[]).await.unwrap();
    assert_eq!((all.len(), all[0].calls, all[0].unpriced), (1, 31, 1));
    assert_eq!(all[0].amount, Some(Money::from_pico(30 * amount)));
    let usage = |calls: u64, searches: u64| -> Usage {
        [
            (UsageClass::Input, 10 * calls),
            (UsageClass::Output, 2 * calls),
            (UsageClass::WebSearch, 2 * searches),
        ]
        .into_iter()
        .collect()
    };
    assert_eq!(all[0].usage, usage(31, 30));

    let teams = ledger.usage(&UsageFilter::default(), &[Dimension::Tag("team".to_owned())]).await.unwrap();
    let teams: Vec<_> =
        teams.iter().map(|row| (row.group[0].as_deref(), row.amount.map(Money::pico), row.usage)).collect();
    assert_eq!(
        teams,
        [
            // Not one call of the group has a price, which is not the same as free.
            (None, None, usage(1, 0)),
            (Some("blue"), Some(20 * amount), usage(20, 20)),
            (Some("red"), Some(10 * amount), usage(10, 10)),
        ]
    );

    let filter = UsageFilter { to: Some(Timestamp(86_400_000_000 * 9)), ..UsageFilter::default() };
    let days = ledger.usage(&filter, &[Dimension::Day, Dimension::Outcome]).await.unwrap();
    let days: Vec<_> = days.iter().map(|row| (row.group.clone(), row.calls)).collect();
    let group = |day: &str| vec![Some(day.to_owned()), Some("ok".to_owned())];
    assert_eq!(days, [(group("1970-01-01"), 24), (group("1970-01-02"), 6)]);
    let hour = ledger.usage(&filter, &[Dimension::Hour]).await.unwrap().pop().unwrap();
    assert_eq!(hour.group, [Some("1970-01-02T05:00:00Z".to_owned())]);

    let keys = ledger.usage(&UsageFilter::default(), &[Dimension::Key]).await.unwrap();
    let key: KeyId = keys[1].group[0].as_deref().unwrap().parse().unwrap();
    let one = UsageFilter { key: Some(key), ..UsageFilter::default() };
    assert_eq!(ledger.usage(&one, &[]).await.unwrap()[0].calls, 1);
    let red = UsageFilter {
        tag: Some(("team".to_owned(), "red".to_owned())),
        project: Some("default".to_owned()),
        model: Some("openai/gpt-6-sol".to_owned()),
        outcome: Some(Outcome::Ok),
        from: Some(Timestamp(3_600_000_000)),
        ..UsageFilter::default()
    };
    assert_eq!(ledger.usage(&red, &[]).await.unwrap()[0].calls, 9);
    let nobody = UsageFilter { principal: Some("nobody".to_owned()), ..UsageFilter::default() };
    let none = ledger.usage(&nobody, &[]).await.unwrap().remove(0);
    assert_eq!((none.calls, none.amount), (0, Some(Money::ZERO)));
    assert!(ledger.usage(&nobody, &[Dimension::Route]).await.unwrap().is_empty());
}

async fn absurd_figures_do_not_end_the_sums(place: Place) {
    let house = House::new(place).await;
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    let signed = i64::MAX.unsigned_abs();
    // The most that an amount's columns hold.
    let dear = Money::from_columns(i64::MAX, 999_999_999);
    for count in [signed, signed, u64::MAX, 1_000_000_001] {
        let open = intent();
        let mut settled = entry(&open, dear.pico());
        settled.attempts[0].usage =
            [(UsageClass::Input, count), (UsageClass::AudioIn, count)].into_iter().collect();
        spool.open(&open).await.unwrap().settle(settled).await.unwrap();
    }
    assert_eq!(settler.close(LONG).await, Left { calls: 0 });
    assert_eq!(house.ledger().await[2].usage()[UsageClass::Input], u64::MAX);

    let ledger = house.db.ledger();
    let all = ledger.usage(&UsageFilter::default(), &[]).await.unwrap().remove(0);
    assert_eq!((all.calls, all.amount), (4, Some(Money::from_pico(4 * dear.pico()))));
    assert_eq!((all.usage[UsageClass::Input], all.usage[UsageClass::AudioIn]), (u64::MAX, u64::MAX));

    // Beyond what one column sums, within what a count holds.
    house.db.pool().execute(sql("DELETE FROM entries WHERE seq > 2")).await.unwrap();
    // As an older version may have written it: more than 63 bits in the JSON.
    let json = r#"{"audio_in": 18446744073709551615, "calls": 7}"#;
    let update = sql("UPDATE entries SET other_usage = $1 WHERE seq = 1").bind(json);
    house.db.pool().execute(update).await.unwrap();
    let all = ledger.usage(&UsageFilter::default(), &[Dimension::Route]).await.unwrap().remove(0);
    let expected =
        [(UsageClass::Input, 2 * signed), (UsageClass::AudioIn, 2 * signed), (UsageClass::Calls, 7)];
    assert_eq!(all.usage, expected.into_iter().collect());
}

/// What can happen.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Extend(usize),
    Settle(usize),
    Drop(usize),
    BreakDisk,
    MendDisk,
    LockDatabase,
    UnlockDatabase,
    StopSettler,
    /// The process ends as if killed: slots that are open never settle.
    Restart,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Open),
        3 => any::<usize>().prop_map(Step::Extend),
        6 => any::<usize>().prop_map(Step::Settle),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::BreakDisk),
        2 => Just(Step::MendDisk),
        1 => Just(Step::LockDatabase),
        2 => Just(Step::UnlockDatabase),
        1 => Just(Step::StopSettler),
        1 => Just(Step::Restart),
        1 => Just(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the ledger must say about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// This very entry.
    Entry(EntryId),
    /// This entry, or the hold if the process ended before it could be written.
    EntryOrHold(EntryId),
    /// Charged at the hold.
    Hold,
    /// One entry, of either amount: whether the last attempt was sent was not known.
    Any,
    /// Nothing: it was refused.
    Nothing,
}

type Open = (Intent, Box<dyn Slot>);

struct World {
    house: House,
    spool: Spool,
    settler: Option<Settler>,
    locked: Option<Lock>,
    open: Vec<Open>,
    expected: BTreeMap<RequestId, Expected>,
}

impl World {
    async fn take(&mut self, step: Step) {
        match step {
            Step::Open => {
                let intent = intent();
                let id = intent.call.request_id;
                match self.spool.open(&intent).await {
                    Ok(slot) => {
                        self.expected.insert(id, Expected::Hold);
                        self.open.push((intent, slot));
                    }
                    Err(_) => {
                        self.expected.insert(id, Expected::Nothing);
                    }
                }
            }
            Step::Extend(which) => {
                if let Some((intent, mut slot)) = self.pick(which) {
                    let next = further(&intent);
                    if slot.extend(&next).await.is_err() {
                        self.expected.insert(intent.call.request_id, Expected::Any);
                    }
                    self.open.push((next, slot));
                }
            }
            Step::Settle(which) => {
                if let Some((intent, slot)) = self.pick(which) {
                    let entry = entry(&intent, 5);
                    let (request, id) = (intent.call.request_id, entry.id);
                    let expected = match slot.settle(entry).await {
                        Ok(()) => Expected::Entry(id),
                        Err(_) => Expected::EntryOrHold(id),
                    };
                    self.expected.insert(request, expected);
                }
            }
            Step::Drop(which) => drop(self.pick(which)),
            Step::BreakDisk => self.spool.execute("PRAGMA query_only = ON"),
            Step::MendDisk => self.spool.execute("PRAGMA query_only = OFF"),
            Step::LockDatabase => {
                if self.locked.is_none() {
                    self.locked = Some(self.house.lock().await);
                }
            }
            Step::UnlockDatabase => self.locked = None,
            Step::StopSettler => self.settler = None,
            Step::Restart => {
                self.settler = None;
                self.spool.close();
                self.open.clear();
                self.spool = self.house.spool();
                self.settler = Some(Settler::start(&self.house.db, &self.spool).unwrap());
            }
            Step::Wait => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }

    fn pick(&mut self, which: usize) -> Option<Open> {
        let count = self.open.len();
        (count > 0).then(|| self.open.swap_remove(which % count))
    }

    fn check(&self, ledger: &[Entry]) {
        let mut found: BTreeMap<RequestId, &Entry> = BTreeMap::new();
        for entry in ledger {
            assert!(
                found.insert(entry.call.request_id, entry).is_none(),
                "two entries for {}",
                entry.call.request_id
            );
        }
        for (request, expected) in &self.expected {
            let entry = found.remove(request);
            let amount = entry.and_then(Entry::amount).map(Money::pico);
            let right = match expected {
                Expected::Entry(id) => entry.is_some_and(|entry| entry.id == *id),
                Expected::EntryOrHold(id) => {
                    entry.is_some_and(|entry| entry.id == *id) || amount == Some(HOLD)
                }
                Expected::Hold => amount == Some(HOLD),
                Expected::Any => entry.is_some(),
                Expected::Nothing => entry.is_none(),
            };
            assert!(right, "{request}: expected {expected:?}, found {entry:?}");
        }
        assert!(found.is_empty(), "entries of nobody's: {found:?}");
    }
}

/// Takes the steps, mends everything, and compares.
fn take_all(place: Place, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let house = House::new(place).await;
        let spool = house.spool();
        let settler = Some(Settler::start(&house.db, &spool).unwrap());
        let mut world =
            World { house, spool, settler, locked: None, open: Vec::new(), expected: BTreeMap::new() };
        for step in steps {
            world.take(step).await;
        }
        for step in [Step::MendDisk, Step::UnlockDatabase, Step::Restart] {
            world.take(step).await;
        }
        let left = world.settler.take().unwrap().close(LONG).await;
        assert_eq!(left, Left { calls: 0 });
        world.check(&world.house.ledger().await);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn every_call_is_in_the_ledger_exactly_once(steps in steps()) {
        take_all(Place::Sqlite, steps);
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn every_call_is_in_the_ledger_of_a_server_exactly_once(steps in steps()) {
        if let Some(database) = steelyard_testkit::postgres::Database::new() {
            take_all(Place::Postgres(database), steps);
        }
    }
}
