//! What a call costs in the spool, the settler and the ledger: CPU per call, and how long `open` and `settle`
//! take.
//!
//! `cargo run --release -p steelyard-store --example spool_load -- [CALLS] [IN_FLIGHT] [WORK_US] [PAUSE_US]`
//!
//! Every call opens, spins `WORK_US` of CPU (what the rest of a gateway would take), pauses `PAUSE_US` (the
//! upstream) and settles. One runtime thread; bind the process to one core with `taskset` to see the contention
//! that a small machine has.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measuring program"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use steelyard_core::port::Ledger;
use steelyard_core::record::{Attempt, AttemptStatus, Basis, CallFacts, Entry, Hold, Intent, Outcome};
use steelyard_core::{Clock, KeyId, Money, RequestId, Usage, UsageClass};
use steelyard_store::repo::{Dimension, UsageFilter};
use steelyard_store::{DataDir, Db, Durability, Settler, Spool, SpoolOptions};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn intent(clock: &Clock, key: KeyId) -> Intent {
    let now = clock.now();
    Intent {
        call: CallFacts {
            request_id: RequestId::new(),
            time: now,
            project: "default".into(),
            key: Some(key),
            principal: "load".into(),
            route: "smart".into(),
            dialect: "openai_chat".into(),
            endpoint: "chat".into(),
            stream: false,
            tags: BTreeMap::new(),
        },
        attempts: vec![Attempt {
            number: 1,
            channel: "openai".into(),
            model: "openai/gpt-6-sol".into(),
            upstream_model: "gpt-6-sol".into(),
            price_version: Some("2026-11-01".into()),
            tier: "standard".into(),
            geo: "global".into(),
            started: now,
            ended: None,
            status: AttemptStatus::Open,
            http_status: None,
            vendor_request_id: None,
            hold: Some(Hold::Known(Money::from_pico(1_234_000_000))),
            usage: Usage::ZERO,
            basis: None,
            amount: None,
            flags: Vec::new(),
        }],
    }
}

fn entry(intent: Intent, clock: &Clock) -> Entry {
    let mut attempts = intent.attempts;
    let last = attempts.last_mut().unwrap();
    last.ended = Some(clock.now());
    last.status = AttemptStatus::Ok;
    last.http_status = Some(200);
    last.vendor_request_id = Some("req_0123456789abcdef0123456789abcdef".to_owned());
    last.usage = [(UsageClass::Input, 812), (UsageClass::Output, 204)].into_iter().collect();
    last.basis = Some(Basis::Reported);
    last.amount = Some(Money::from_pico(365_000_000));
    Entry::new(intent.call, Outcome::Ok, attempts, Vec::new())
}

/// Seconds of CPU so far.
fn cpu() -> f64 {
    threads().values().sum()
}

/// Seconds of CPU by thread name.
fn threads() -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let (Ok(name), Ok(stat)) =
            (std::fs::read_to_string(path.join("comm")), std::fs::read_to_string(path.join("schedstat")))
        else {
            continue;
        };
        let nanos: f64 = stat.split_whitespace().next().unwrap().parse().unwrap();
        *used.entry(name.trim().to_owned()).or_default() += nanos / 1e9;
    }
    used
}

/// Small, so that measuring takes little of the memory that is measured.
fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

fn percentile(sorted: &[u32], part: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((sorted.len() - 1) as f64 * part) as usize;
    Duration::from_nanos(sorted[index].into())
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let number = |index: usize, default: u64| numbers.get(index).copied().unwrap_or(default);
    let (calls, in_flight) = (number(0, 200_000), number(1, 32));
    let (work, pause) = (Duration::from_micros(number(2, 0)), Duration::from_micros(number(3, 0)));

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let temporary =
        tempfile::tempdir_in(std::env::var("SPOOL_LOAD_DIR").unwrap_or_else(|_| ".".into())).unwrap();
    let clock = Clock::System;
    let dir = DataDir::open(temporary.path()).unwrap();
    let (durability, key) = (Durability::Process, KeyId::new());
    let db = runtime.block_on(Db::open(&dir, durability, clock.clone())).unwrap();
    let (spool, _) = Spool::open(&dir, SpoolOptions::default(), clock.clone()).unwrap();
    let settler = Settler::start(&db, &spool).unwrap();
    println!("idle: {}", memory());

    // What making the records costs without a spool.
    let started = cpu();
    for _ in 0..20_000 {
        std::hint::black_box(entry(intent(&clock, key), &clock));
    }
    let making = (cpu() - started) / 20_000.0 * 1e6;

    let left = Arc::new(AtomicU64::new(calls));
    let (before, started) = (threads(), Instant::now());
    let mut opens = Vec::new();
    let mut settles = Vec::new();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..in_flight)
            .map(|_| {
                let (spool, left, clock) = (spool.clone(), Arc::clone(&left), clock.clone());
                #[expect(clippy::disallowed_methods, reason = "each is awaited below")]
                tokio::spawn(async move {
                    let (mut opens, mut settles) = (Vec::new(), Vec::new());
                    while left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                    {
                        let intent = intent(&clock, key);
                        let at = Instant::now();
                        let slot = spool.open(&intent).await.unwrap();
                        opens.push(nanos(at.elapsed()));
                        let until = Instant::now() + work;
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                        if pause.is_zero() {
                            tokio::task::yield_now().await;
                        } else {
                            tokio::time::sleep(pause).await;
                        }
                        let entry = entry(intent, &clock);
                        let at = Instant::now();
                        slot.settle(entry).await.unwrap();
                        settles.push(nanos(at.elapsed()));
                    }
                    (opens, settles)
                })
            })
            .collect();
        for task in tasks {
            let (some_opens, some_settles) = task.await.unwrap();
            opens.extend(some_opens);
            settles.extend(some_settles);
        }
    });
    let took = started.elapsed();
    println!("waiting for the ledger at the end of the load: {}", spool.health().waiting);
    while spool.health().waiting > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let moved = started.elapsed();
    let after = threads();
    let overhead = work.as_secs_f64() * 1e6 + making;
    let mut total = -overhead;
    for (name, seconds) in &after {
        let micros = (seconds - before.get(name).copied().unwrap_or_default()) / calls as f64 * 1e6;
        if micros > 0.005 {
            println!("  {name:<20} {micros:7.2} µs CPU per call");
        }
        total += micros;
    }
    println!("CPU per call, without work and making records ({making:.1} µs): {total:.1} µs");
    println!(
        "{:.0} calls/s; all in the ledger {:.0} ms after the last call",
        calls as f64 / took.as_secs_f64(),
        moved.saturating_sub(took).as_secs_f64() * 1e3
    );
    for (name, mut times) in [("open", opens), ("settle", settles)] {
        times.sort_unstable();
        let at = |part| percentile(&times, part);
        println!("{name:<7} p50 {:?}  p99 {:?}  p99.9 {:?}  max {:?}", at(0.5), at(0.99), at(0.999), at(1.0));
    }
    println!("loaded: {}", memory());
    let at = Instant::now();
    let by = [Dimension::Day, Dimension::Model];
    let rows = runtime.block_on(db.ledger().usage(&UsageFilter::default(), &by)).unwrap();
    println!("usage by day and model of {} entries: {:?}", rows[0].calls, at.elapsed());
    let left = runtime.block_on(settler.close(Duration::from_secs(10)));
    assert_eq!(left.calls, 0);
    runtime.block_on(db.close());
    for file in ["spool.db", "spool.db-wal", "steelyard.db", "steelyard.db-wal"] {
        let size = std::fs::metadata(temporary.path().join(file)).map_or(0, |metadata| metadata.len());
        println!("{file}: {} KiB", size >> 10);
    }
}
