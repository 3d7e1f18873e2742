//! The kill test: the real server under load, killed at a random moment, again and again; then the books are compared
//! with what clients and upstream saw.
//!
//! Owns: the load, the killing, and the [`check`] of the histories.
//! Must never: forgive. A call that cannot be explained fails the test, and the data directory is kept.
//! Start reading at [`Options::run`], then [`check`] for the rules.

mod check;
mod client;
mod dialect;
mod history;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use steelyard_core::Clock;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::bench::http;
use crate::bench::steelyard::{Server, Setup, entries};
use crate::bench::{self, Profile, Target};
use check::{Rule, Violation, check};
use client::{Chance, Client, Lane, Plan};
use dialect::Dialect;
use history::{Call, End, Entry, History, Price};
use upstream::{Fault, Script, Upstream};

/// The feed may be this far behind the calls, and a little more on a busy machine.
const FEED_BEHIND: Duration = Duration::from_secs(10);

/// Kills the server under load and checks that the ledger lost nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the server is killed.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Clients, each with one call at a time.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// Repeats the chances of an earlier run; the moments at which processes run differ all the same.
    #[arg(long)]
    seed: Option<u64>,
    /// Keeps the ledger in this database, an empty one of PostgreSQL, instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Test this binary instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Options {
    /// Runs it; Ctrl-C ends it and everything it started.
    pub(crate) fn run(self) -> Result<()> {
        bench::until_interrupted(self.test())
    }

    #[expect(clippy::print_stdout, reason = "the totals are what the command is for")]
    async fn test(self) -> Result<()> {
        ensure!(self.clients > 0, "at least one client is needed: give --clients 1 or more");
        let binary = match &self.binary {
            Some(path) => {
                path.canonicalize().with_context(|| format!("there is no binary {}", path.display()))?
            }
            None => bench::build(Target::Binary, Profile::Dev)?,
        };
        let seed = self.seed.unwrap_or_else(|| Clock::System.now().0.unsigned_abs());
        println!("seed {seed}: repeat with --seed {seed}");
        let mut trial = Trial::begin(&binary, seed, self.clients, self.store.as_deref()).await?;
        let result = trial.go(self.rounds).await;
        let violations = trial.violations();
        if result.is_err() || !violations.is_empty() {
            println!("kept for a look: {}", trial.keep()?.display());
        }
        result?;
        report(&violations)?;
        for (dialect, line) in Dialect::ALL.map(|dialect| (dialect, trial.of_dialect(dialect))) {
            println!("{}: {line}", dialect.name());
        }
        println!("{} kills, {}: nothing lost, nothing double", self.rounds, trial.totals());
        Ok(())
    }
}

/// Prints what is wrong; an error if anything is.
#[expect(clippy::print_stdout, reason = "the violations are what the command is for")]
fn report(violations: &[Violation]) -> Result<()> {
    const MOST: usize = 50;
    for violation in violations.iter().take(MOST) {
        println!("  {violation}");
    }
    let mut counts: BTreeMap<Rule, usize> = BTreeMap::new();
    for violation in violations {
        *counts.entry(violation.rule).or_default() += 1;
    }
    if violations.is_empty() { Ok(()) } else { bail!("the ledger is wrong: {counts:?}") }
}

/// Everything that lives for the whole test.
struct Trial {
    server: Server,
    setup: Setup,
    upstream: Upstream,
    key: String,
    seed: u64,
    clients: usize,
    history: History,
    /// The feed as it was read, to see that nothing is ever edited.
    feed: BTreeMap<u64, serde_json::Value>,
    folder: Option<TempDir>,
}

impl Trial {
    async fn begin(binary: &Path, seed: u64, clients: usize, store: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("steelyard-kill-").tempdir()?;
        let upstream = Upstream::start().await?;
        let setup = Setup {
            program: binary.to_owned(),
            under: Vec::new(),
            folder: folder.path().to_owned(),
            configuration: configuration(&upstream, clients, store),
            core: None,
        };
        let server = setup.start().await?;
        let (_, key) = server.make_key("kill").await?;
        let price = Price { input: 400_000, cache_read: 40_000, output: 1_600_000, reasoning: 2_000_000 };
        let prices = ["up", "claude", "faulty", "sandbox"].map(|channel| (channel.to_owned(), price)).into();
        let history = History { prices, ..History::default() };
        Ok(Self {
            server,
            setup,
            upstream,
            key,
            seed,
            clients,
            history,
            feed: BTreeMap::new(),
            folder: Some(folder),
        })
    }

    async fn go(&mut self, rounds: u32) -> Result<()> {
        for round in 1..=rounds {
            self.kill_round(round).await?;
        }
        self.drain_round().await?;
        // Once more from the beginning, after a clean end: nothing of what was read before may have changed.
        let status = self.server.process.terminate(Duration::from_secs(30)).await?;
        ensure!(status.success(), "an idle server ended with {status} after SIGTERM");
        self.server = self.setup.start().await?;
        let whole = entries(self.server.address, &self.server.admin_key, 0, usize::MAX).await?;
        for (seq, entry) in &self.feed {
            ensure!(
                whole.get(seq) == Some(entry),
                "the entry at seq {seq} was changed: {entry} is now {:?}",
                whole.get(seq)
            );
        }
        self.catch_up().await?;
        let status = self.server.process.terminate(Duration::from_secs(30)).await?;
        ensure!(status.success(), "an idle server ended with {status} after SIGTERM");
        Ok(())
    }

    /// Load, a kill at a random moment, a restart on the same data directory, and a look into the books.
    #[expect(clippy::print_stdout, reason = "one line per round")]
    async fn kill_round(&mut self, round: u32) -> Result<()> {
        let mut chance = Chance::new(self.seed, u64::from(round) << 32);
        let after = Duration::from_millis(200 + chance.below(1300));
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let client = Client::new(number, &self.key, self.server.address, &format!("r{round}"), true);
            let chance = Chance::new(self.seed, (u64::from(round) << 32) + 1 + u64::try_from(number)?);
            clients.spawn(client.call_until(Arc::clone(&stop), chance));
        }
        tokio::time::sleep(after).await;
        self.server.process.kill().await?;
        stop.store(true, Ordering::Relaxed);

        let before = self.history.calls.len();
        while let Some(calls) = clients.join_next().await {
            self.history.calls.extend(calls.context("a client failed")??);
        }
        let restart = Instant::now();
        self.server = self.setup.start().await?;
        let restart = restart.elapsed();
        let violations = self.catch_up().await?;
        let calls = ends(&self.history.calls[before..]);
        println!(
            "round {round}: killed after {after:?}, back after {restart:.0?}; {calls}; {} violation(s)",
            violations.len()
        );
        report(&violations)
    }

    /// SIGTERM while answers are under way: all of them end whole, new calls are refused, the server ends with 0.
    #[expect(clippy::print_stdout, reason = "one line per round")]
    async fn drain_round(&mut self) -> Result<()> {
        let mut markers = BTreeSet::new();
        let mut calls = JoinSet::new();
        for number in 0..self.clients {
            let mut client = Client::new(number, &self.key, self.server.address, "drain", false);
            markers.insert(client.next_marker());
            let stream = number % 4 != 0;
            let script = Script {
                wait_ms: if stream { 10 } else { 1500 },
                chunks: 60,
                pause_ms: 25,
                fault: Fault::None,
            };
            let plan = Plan {
                dialect: Dialect::ALL[number % 3],
                lane: if number % 5 < 3 { Lane::Upstream } else { Lane::Anthropic },
                stream,
                usage: number % 2 == 0,
                script,
                hang_up: None,
            };
            calls.spawn(async move { client.call(&plan).await });
        }
        let start = Instant::now();
        while !markers.iter().all(|marker| self.upstream.seen().contains_key(marker)) {
            ensure!(
                start.elapsed() < Duration::from_secs(20),
                "the calls of the drain round do not reach the upstream"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (address, key) = (self.server.address, self.key.clone());
        let late = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let body = format!(
                r#"{{"model":"{}","messages":[{{"role":"user","content":"late"}}]}}"#,
                Lane::Sandbox.route(0)
            );
            http::call(address, "POST", "/v1/chat/completions", &key, &body).await.map(|reply| reply.status)
        };
        let (status, late) = tokio::join!(self.server.process.terminate(Duration::from_mins(1)), late);
        let status = status?;
        ensure!(status.success(), "the server ended with {status} after SIGTERM");
        // A closed port refuses as well as a status does.
        let late = late.unwrap_or(503);
        ensure!(late == 503, "a call after SIGTERM was answered with {late} instead of 503");

        let before = self.history.calls.len();
        while let Some(call) = calls.join_next().await {
            self.history
                .calls
                .push(call.context("a client failed")??.context("the server took no connection")?);
        }
        let drained = &self.history.calls[before..];
        for call in drained {
            ensure!(
                call.end == End::Complete && call.status == Some(200),
                "{} was under way at SIGTERM and did not end whole: {call:?}",
                call.marker
            );
        }
        let calls = ends(drained);
        self.server = self.setup.start().await?;
        let violations = self.catch_up().await?;
        println!("SIGTERM: {calls}; {} violation(s)", violations.len());
        report(&violations)
    }

    /// Reads what is new in the feed until nothing is amiss or it has had its time.
    async fn catch_up(&mut self) -> Result<Vec<Violation>> {
        let start = Instant::now();
        loop {
            let after = self.feed.keys().next_back().copied().unwrap_or(0);
            for (seq, entry) in
                entries(self.server.address, &self.server.admin_key, after, usize::MAX).await?
            {
                let read = serde_json::from_value(entry.clone());
                let read = read.with_context(|| format!("this entry cannot be read: {entry}"))?;
                self.history.entries.insert(seq, read);
                self.feed.insert(seq, entry);
            }
            let violations = self.violations();
            if violations.is_empty() || start.elapsed() > FEED_BEHIND {
                return Ok(violations);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn violations(&mut self) -> Vec<Violation> {
        self.history.upstream = self.upstream.seen();
        check(&self.history)
    }

    fn totals(&self) -> String {
        let entries = self.history.entries.values();
        format!("{}; {}", ends(&self.history.calls), outcomes(entries))
    }

    fn of_dialect(&self, dialect: Dialect) -> String {
        let of = |stream| {
            let calls: Vec<_> = self.history.calls.iter().filter(|call| call.dialect == dialect).collect();
            let calls: Vec<_> = calls.into_iter().filter(|call| call.stream == stream).cloned().collect();
            ends(&calls)
        };
        let entries = self.history.entries.values().filter(|entry| entry.dialect == dialect.name());
        format!("whole: {}; streamed: {}; {}", of(false), of(true), outcomes(entries))
    }

    /// Leaves the folder where it is, with what the clients saw in it.
    fn keep(&mut self) -> Result<PathBuf> {
        let folder = self.folder.take().context("the folder is already kept")?.keep();
        let calls: Vec<_> = self.history.calls.iter().map(|call| format!("{call:?}\n")).collect();
        std::fs::write(folder.join("calls.txt"), calls.concat())?;
        let seen: Vec<_> =
            self.history.upstream.iter().map(|(marker, seen)| format!("{marker} {seen:?}\n")).collect();
        std::fs::write(folder.join("upstream.txt"), seen.concat())?;
        let entries: Vec<_> = self.feed.values().map(|entry| format!("{entry}\n")).collect();
        std::fs::write(folder.join("entries.jsonl"), entries.concat())?;
        Ok(folder)
    }
}

/// How often the ledger tells each outcome.
fn outcomes<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *outcomes.entry(&entry.outcome).or_default() += 1;
    }
    format!("{} entries {outcomes:?}", outcomes.values().sum::<usize>())
}

/// How calls ended, in words.
fn ends(calls: &[Call]) -> String {
    let count = |wanted: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
    let ok = |call: &Call| call.status == Some(200);
    format!(
        "{} calls: {} complete, {} refused, {} cut after the head, {} before it, {} hung up",
        calls.len(),
        count(&|call| call.end == End::Complete && ok(call)),
        count(&|call| call.end == End::Complete && !ok(call)),
        count(&|call| call.end == End::Broken && call.status.is_some()),
        count(&|call| call.end == End::Broken && call.status.is_none()),
        count(&|call| call.end == End::HungUp),
    )
}

/// Every client has a route of its own on each lane, so that an entry tells whose call it was.
fn configuration(upstream: &Upstream, clients: usize, store: Option<&str>) -> String {
    let base = format!("base_url = \"http://{}/v1\"", upstream.address);
    let mut text = store.map_or_else(String::new, |url| format!("[store]\nurl = \"{url}\"\n\n"));
    let _ = write!(
        text,
        "[[channels]]\nname = \"up\"\nprovider = \"compatible\"\n{base}\n\n\
         [[channels]]\nname = \"claude\"\nprovider = \"anthropic\"\nbase_url = \"http://{}\"\n\n\
         [[channels]]\nname = \"faulty\"\nprovider = \"compatible\"\n{base}\n\n\
         [[channels]]\nname = \"sandbox\"\nprovider = \"sandbox\"\n\n",
        upstream.address
    );
    let lanes = [
        (Lane::Upstream, "up", "kill-model"),
        (Lane::Anthropic, "claude", "kill-model"),
        (Lane::Faulty, "faulty", "kill-model"),
        (Lane::Sandbox, "sandbox", "sandbox"),
    ];
    for (lane, channel, model) in lanes {
        let _ = write!(
            text,
            "[[prices]]\nchannel = \"{channel}\"\nmodel = \"{model}\"\nfrom = 2026-01-01\ninput = \"0.40\"\n\
             cache_read = \"0.04\"\noutput = \"1.60\"\nreasoning = \"2.00\"\ncontext_window = 128000\n\
             max_output = 16000\n\n"
        );
        for client in 0..clients {
            let route = lane.route(client);
            let _ = write!(
                text,
                "[[routes]]\nname = \"{route}\"\ntargets = [{{ channel = \"{channel}\", model = \"{model}\" }}]\n\n"
            );
        }
    }
    text
}
