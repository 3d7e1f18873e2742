//! Files that may not grow: a real limit of the operating system, lifted while the process runs.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

use steelyard_core::Clock;
use steelyard_core::port::{Ledger, LedgerError};
use steelyard_store::{DataDir, Db, Durability, Settler, Spool, SpoolOptions};

use crate::child::{self, MARK};

#[test]
fn a_full_disk_refuses_calls_and_heals_when_there_is_room() {
    let temporary = tempfile::tempdir().unwrap();
    let inner = child::command("disk::fill", temporary.path(), None);
    // The signal that the limit raises is ignored, so that writing fails instead. The limit is 1 or 2 MiB, as
    // shells differ in their unit.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"", "sh"]).arg(inner.get_program());
    limited.args(inner.get_args());
    for (name, value) in inner.get_envs() {
        limited.env(name, value.unwrap());
    }
    let mut child = child::start(limited);
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some(line) = line.strip_prefix(MARK) else { continue };
        said.push(line.to_owned());
        if line == "full" {
            let lifted = Command::new("prlimit")
                .args(["--pid", &child.id().to_string(), "--fsize=unlimited"])
                .status()
                .expect("prlimit (of util-linux) is installed");
            assert!(lifted.success());
        }
    }
    assert!(child.wait().unwrap().success());
    let settled: usize = said.last().unwrap().strip_prefix("settled ").unwrap().parse().unwrap();
    assert!(said.contains(&"full".to_owned()) && settled > 100, "{said:?}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = DataDir::open(temporary.path()).unwrap();
        let db = Db::open(&dir, Durability::Process, Clock::System).await.unwrap();
        let (spool, recovered) = Spool::open(&dir, SpoolOptions::default(), Clock::System).unwrap();
        assert_eq!(recovered.orphans, 0);
        Settler::start(&db, &spool).unwrap().close(Duration::from_secs(30)).await;
        let entries = db.ledger().entries(0, u32::MAX, None).await.unwrap();
        assert_eq!(entries.len(), settled);
    });
}

#[test]
#[ignore = "the child of a_full_disk_refuses_calls_and_heals_when_there_is_room"]
fn fill() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = DataDir::open(&child::dir()).unwrap();
        let (spool, _) = Spool::open(&dir, SpoolOptions::default(), Clock::System).unwrap();
        let held = child::intent();
        let slot = spool.open(&held).await.unwrap();
        // A checkpoint frees the log a few times; then the database itself may not grow either.
        let (mut settled, mut failing_since) = (0_usize, None::<Instant>);
        while failing_since.is_none_or(|since| since.elapsed() < Duration::from_secs(2)) {
            let intent = child::intent();
            match spool.open(&intent).await {
                Ok(slot) => {
                    failing_since = None;
                    // Not written, but kept: it is in the ledger in the end.
                    let _ = slot.settle(child::entry(&intent, 5)).await;
                    settled += 1;
                }
                Err(LedgerError::Failed(_)) => {
                    failing_since.get_or_insert_with(Instant::now);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        let told = slot.settle(child::entry(&held, 7)).await;
        assert!(matches!(told, Err(LedgerError::Failed(_))), "{told:?}");
        child::tell("full");
        let started = Instant::now();
        while !child::call_once(&spool).await {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the spool does not heal: {:?}",
                spool.health()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        spool.close();
        child::tell(&format!("settled {}", settled + 2));
    });
}
