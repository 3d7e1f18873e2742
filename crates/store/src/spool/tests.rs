//! The spool by itself: what it takes, refuses, keeps and recovers. Moving is tested with the settler.

use std::collections::BTreeMap;

use rusqlite::Connection;
use steelyard_core::RequestId;
use steelyard_core::port::{Ledger, LedgerError};
use steelyard_core::record::{AttemptStatus, Basis, Entry, Outcome};

use super::*;
use crate::record::decode_entry;
use crate::testing::{HOLD, House, Place, call_once, entry, eventually, further, intent};

/// The entries in the file.
fn entries(spool: &Spool) -> Vec<Entry> {
    spool.flush();
    let waiting = spool.reader().unwrap().entries(0, usize::MAX).unwrap();
    waiting.iter().map(|entry| decode_entry(&entry.body).unwrap()).collect()
}

fn rows(house: &House) -> i64 {
    let sql = "SELECT (SELECT COUNT(*) FROM segment_0) + (SELECT COUNT(*) FROM segment_1)";
    Connection::open(house.dir.spool()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_settled_call_has_one_entry_also_after_a_restart() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    let id = call_once(&spool).await.unwrap();
    assert_eq!(spool.health().open, 0);
    spool.close();

    let (spool, recovered) = house.open_spool(10);
    assert_eq!(recovered, Recovered { orphans: 0, waiting: 1, quarantined: 0 });
    assert_eq!(spool.health().waiting, 1);
    let entries = entries(&spool);
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].call.request_id, entries[0].outcome), (id, Outcome::Ok));
}

#[tokio::test]
async fn a_dropped_slot_is_charged_at_its_hold() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    drop(spool.open(&intent()).await.unwrap());
    let entries = entries(&spool);
    assert_eq!((entries.len(), entries[0].outcome), (1, Outcome::Unsettled));
    assert_eq!(entries[0].amount().unwrap().pico(), HOLD);
    assert_eq!(entries[0].basis(), Some(Basis::Hold));
}

#[tokio::test]
async fn a_call_that_was_never_sent_costs_nothing() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    // The caller went away while the intent was being committed.
    drop(spool.open(&intent()));
    // Before the first attempt's successor was committed.
    let first = intent();
    let mut slot = spool.open(&first).await.unwrap();
    drop(slot.extend(&further(&first)));
    drop(slot);

    let entries = entries(&spool);
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!((entry.outcome, entry.amount().unwrap().pico()), (Outcome::ClientGone, 0));
        assert_eq!(entry.attempts.last().unwrap().status, AttemptStatus::ClientGone);
    }
    assert_eq!(entries[1].attempts[0].status, AttemptStatus::ConnectError);
    assert_eq!((spool.health().open, spool.health().waiting), (0, 2));
}

#[tokio::test]
async fn only_the_last_intent_of_an_orphan_counts() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    let first = intent();
    let mut slot = spool.open(&first).await.unwrap();
    slot.extend(&further(&first)).await.unwrap();
    // The writer is gone before the slot is: as if the process had died.
    spool.close();
    let late = slot.settle(entry(&first, 1)).await;
    assert!(matches!(late, Err(LedgerError::Closed)), "{late:?}");
    drop(spool);

    let (spool, recovered) = house.open_spool(10);
    assert_eq!(recovered, Recovered { orphans: 1, waiting: 1, quarantined: 0 });
    let entries = entries(&spool);
    assert_eq!((entries.len(), entries[0].attempts.len()), (1, 2));
    assert_eq!(entries[0].amount().unwrap().pico(), HOLD);
    spool.close();
    drop(spool);
    // Settled once, it is no orphan any more.
    assert_eq!(house.open_spool(10).1, Recovered { orphans: 0, waiting: 1, quarantined: 0 });
}

#[tokio::test]
async fn a_full_spool_refuses_before_it_writes() {
    let house = House::new(Place::Sqlite).await;
    let (spool, _) = house.open_spool(2);
    let held = spool.open(&intent()).await.unwrap();
    call_once(&spool).await.unwrap();
    let refused = spool.open(&intent()).await.err().unwrap();
    assert!(matches!(refused, LedgerError::Full { waiting: 2, limit: 2 }), "{refused}");
    assert_eq!(rows(&house), 3);
    // There is always room to settle.
    drop(held);
    assert_eq!(entries(&spool).len(), 2);
    // What is in the ledger makes room.
    spool.moved(3, 1);
    spool.open(&intent()).await.unwrap();
}

#[tokio::test]
async fn a_call_settles_when_the_runtime_shuts_down() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (opened, wait) = tokio::sync::oneshot::channel();
    let task_spool = spool.clone();
    runtime.spawn(async move {
        let slot = task_spool.open(&intent()).await.unwrap();
        opened.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(slot);
    });
    wait.await.unwrap();
    runtime.shutdown_background();
    eventually("the task's slot is gone", || spool.health().open == 0).await;
    assert_eq!(entries(&spool).len(), 1);

    // A slot that outlives every runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let open_intent = intent();
    let (open_spool, opening) = (spool.clone(), open_intent.clone());
    let slot =
        std::thread::spawn(move || runtime.block_on(async { open_spool.open(&opening).await.unwrap() }))
            .join()
            .unwrap();
    drop(slot.settle(entry(&open_intent, 7)));
    let entries = entries(&spool);
    assert_eq!((entries.len(), entries[1].amount().unwrap().pico()), (2, 7));
}

#[tokio::test]
async fn a_full_disk_refuses_calls_keeps_entries_and_heals() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    let before = intent();
    let slot = spool.open(&before).await.unwrap();
    spool.execute("PRAGMA max_page_count = 1");

    // Large enough that it needs a page, which there is none of.
    let mut large = intent();
    large.call.tags = [("note".to_owned(), "x".repeat(40_000))].into();
    let refused = spool.open(&large).await.err().unwrap();
    assert!(matches!(refused, LedgerError::Failed(_)), "{refused}");
    assert!(spool.health().failing.unwrap().contains("full"));
    let waiting = spool.health().waiting;
    let fast = spool.open(&intent()).await.err().unwrap();
    assert!(matches!(fast, LedgerError::Failed(_)), "{fast}");
    assert_eq!(spool.health().waiting, waiting);

    let mut settlement = entry(&before, 7);
    settlement.call.tags = large.call.tags.clone();
    let told = slot.settle(settlement).await;
    assert!(matches!(told, Err(LedgerError::Failed(_))), "{told:?}");
    assert!(entries(&spool).is_empty());

    spool.execute("PRAGMA max_page_count = 100000");
    eventually("the spool has healed", || spool.health().failing.is_none()).await;
    let after = call_once(&spool).await.unwrap();
    let ids: Vec<RequestId> = entries(&spool).iter().map(|entry| entry.call.request_id).collect();
    assert_eq!(ids, [before.call.request_id, after]);
    spool.close();
    drop(spool);
    // The call that was refused is no orphan.
    assert_eq!(house.open_spool(10).1, Recovered { orphans: 0, waiting: 2, quarantined: 0 });
}

/// Room for a little is not taken for room: whoever asks would see the spool well, and the next call refused.
#[tokio::test]
async fn a_disk_that_has_room_for_less_stays_full() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    spool.execute("PRAGMA max_page_count = 1");
    let mut large = intent();
    large.call.tags = [("note".to_owned(), "x".repeat(40_000))].into();
    assert!(spool.open(&large).await.is_err());
    for _ in 0..30 {
        assert!(spool.health().failing.is_some(), "there is no more room than before");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    spool.execute("PRAGMA max_page_count = 100000");
    eventually("the spool has healed", || spool.health().failing.is_none()).await;
    drop(spool.open(&large).await.unwrap());
    assert_eq!(entries(&spool).len(), 1);
}

#[tokio::test]
async fn a_long_call_does_not_keep_the_file_from_shrinking() {
    let house = House::new(Place::Sqlite).await;
    let (spool, _) = house.open_spool(100_000);
    let long = intent();
    let slot = spool.open(&long).await.unwrap();
    for _ in 0..4 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..600 {
            let spool = spool.clone();
            calls.spawn(async move { call_once(&spool).await.unwrap() });
        }
        while calls.join_next().await.is_some() {}
        let newest = spool.shared().settled.load(Ordering::SeqCst);
        spool.moved(newest, 600);
        spool.flush();
    }
    spool.moved(0, 0);
    spool.flush();
    assert!(rows(&house) < 1_300, "{} rows are left", rows(&house));
    assert_eq!(spool.health().waiting, 1);
    spool.close();
    drop(slot);
    drop(spool);
    // It is still known to be open, wherever its intent has been copied to.
    let (spool, recovered) = house.open_spool(10);
    assert_eq!(recovered.orphans, 1);
    assert!(entries(&spool).iter().any(|entry| entry.call.request_id == long.call.request_id));
}

#[tokio::test]
async fn an_idle_spool_is_empty() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    call_once(&spool).await.unwrap();
    assert_eq!(rows(&house), 2);
    spool.moved(2, 1);
    spool.flush();
    eventually("nothing is left", || rows(&house) == 0).await;
}

#[tokio::test]
async fn an_intent_that_cannot_be_read_is_put_aside() {
    let house = House::new(Place::Sqlite).await;
    let spool = house.spool();
    call_once(&spool).await.unwrap();
    spool.close();
    drop(spool);
    Connection::open(house.dir.spool())
        .unwrap()
        .execute("INSERT INTO segment_0 VALUES (9000, 0, ?1, X'7B7D')", [[7_u8; 16].as_slice()])
        .unwrap();
    let expected = Recovered { orphans: 0, waiting: 1, quarantined: 1 };
    assert_eq!(house.open_spool(10).1, expected);
    assert_eq!(house.open_spool(10).1, expected);
}

#[tokio::test]
async fn readers_see_entries_in_commit_order_while_tables_take_turns() {
    let house = House::new(Place::Sqlite).await;
    let (spool, _) = house.open_spool(100_000);
    let mut reader = spool.reader().unwrap();
    let (mut position, mut seen) = (0, BTreeMap::new());
    for round in 0..6 {
        for _ in 0..(400 + round) {
            drop(spool.open(&intent()));
        }
        spool.flush();
        loop {
            let batch = reader.entries(position, 100).unwrap();
            let Some(last) = batch.last() else { break };
            assert!(batch.is_sorted_by(|first, second| first.seq < second.seq) && batch[0].seq > position);
            position = last.seq;
            for entry in &batch {
                let entry = decode_entry(&entry.body).unwrap();
                assert!(seen.insert(entry.call.request_id, entry.id).is_none(), "read twice");
            }
            spool.moved(position, batch.len() as u64);
        }
    }
    assert_eq!(seen.len(), 6 * 400 + 15);
    assert_eq!(spool.health().waiting, 0);
}
