//! A process that is killed at any moment: what it was told is committed is in the ledger, once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use steelyard_core::port::Ledger;
use steelyard_core::record::Outcome;
use steelyard_core::{Clock, RequestId};
use steelyard_store::{DataDir, Settler, Spool, SpoolOptions};

use crate::child::{self, MARK};

const ROUNDS: u64 = 5;

/// What children were told.
#[derive(Default)]
struct Told {
    opened: BTreeSet<RequestId>,
    settled: BTreeMap<RequestId, i128>,
}

impl Told {
    fn read(&mut self, line: &str) {
        let Some(line) = line.strip_prefix(MARK) else { return };
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["opened", id] => assert!(self.opened.insert(id.parse().unwrap())),
            ["settled", id, pico] => {
                assert!(self.settled.insert(id.parse().unwrap(), pico.parse().unwrap()).is_none());
            }
            // The last line can be cut off by the kill.
            _ => {}
        }
    }
}

#[test]
fn a_killed_process_loses_and_doubles_nothing() {
    kill_again_and_again(None);
}

#[cfg(feature = "postgres")]
#[test]
fn a_killed_process_loses_and_doubles_nothing_on_a_server() {
    if let Some(database) = steelyard_testkit::postgres::Database::new() {
        kill_again_and_again(Some(database.url()));
    }
}

fn kill_again_and_again(url: Option<&str>) {
    let temporary = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    for round in 1..=ROUNDS {
        let before = told.settled.len();
        run_and_kill(temporary.path(), url, &mut told, round);
        let new = told.settled.len() - before;
        assert!(new > 50, "round {round} settled only {new} calls: too few to show anything");
        check(temporary.path(), url, &told);
    }
}

fn run_and_kill(dir: &Path, url: Option<&str>, told: &mut Told, round: u64) {
    let mut child = child::start(child::command("kill::load", dir, url));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (started, wait) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut read = Vec::new();
        for line in lines.map_while(Result::ok) {
            if line.starts_with(MARK) {
                let _ = started.send(());
            }
            read.push(line);
        }
        read
    });
    wait.recv_timeout(Duration::from_secs(30)).unwrap();
    // Different moments of the settler's period.
    std::thread::sleep(Duration::from_millis(300 + 137 * round));
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reading.join().unwrap() {
        told.read(&line);
    }
}

/// Starts again as the next process would, moves everything, and compares.
fn check(dir: &Path, url: Option<&str>, told: &Told) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = DataDir::open(dir).unwrap();
        let db = child::open(&dir, url).await;
        let (spool, _) = Spool::open(&dir, SpoolOptions::default(), Clock::System).unwrap();
        let left = Settler::start(&db, &spool).unwrap().close(Duration::from_secs(30)).await;
        assert_eq!(left.calls, 0);

        let mut ledger = BTreeMap::new();
        for (_, entry) in db.ledger().entries(0, u32::MAX, None).await.unwrap() {
            let id = entry.call.request_id;
            assert!(ledger.insert(id, entry).is_none(), "two entries for {id}");
        }
        for (id, pico) in &told.settled {
            let entry = ledger.get(id).unwrap_or_else(|| panic!("no entry for the settled call {id}"));
            assert_eq!((entry.outcome, entry.amount().unwrap().pico()), (Outcome::Ok, *pico), "{id}");
        }
        for id in &told.opened {
            assert!(ledger.contains_key(id), "no entry for the open call {id}");
        }
        db.close().await;
    });
}

#[test]
#[ignore = "the child of a_killed_process_loses_and_doubles_nothing and its like"]
fn load() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = DataDir::open(&child::dir()).unwrap();
        let db = child::open(&dir, child::url().as_deref()).await;
        let (spool, _) = Spool::open(&dir, SpoolOptions::default(), Clock::System).unwrap();
        let _settler = Settler::start(&db, &spool).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16_u32 {
            let spool = spool.clone();
            tasks.spawn(async move {
                for turn in 0_u32.. {
                    call(&spool, i128::from(turn) + 1, task, turn).await;
                }
            });
        }
        tasks.join_next().await;
    });
}

/// Some calls fail over, some are dropped, some stay open for a while.
async fn call(spool: &Spool, pico: i128, task: u32, turn: u32) {
    let mut intent = child::intent();
    let id = intent.call.request_id;
    let mut slot = spool.open(&intent).await.unwrap();
    child::tell(&format!("opened {id}"));
    if (task + turn).is_multiple_of(5) {
        intent = child::further(&intent);
        slot.extend(&intent).await.unwrap();
    }
    if (task + turn).is_multiple_of(11) {
        tokio::time::sleep(Duration::from_millis(u64::from(turn % 300))).await;
    }
    if (task + turn).is_multiple_of(7) {
        return;
    }
    slot.settle(child::entry(&intent, pico)).await.unwrap();
    child::tell(&format!("settled {id} {pico}"));
}
