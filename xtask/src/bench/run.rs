//! `cargo xtask bench`: starts everything, goes through the rounds, prints the table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use steelyard_core::Clock;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::build::{self, Profile, Target};
use super::case::{Case, Metric, Subject};
use super::child::{self, Process};
use super::host::{self, Cores};
use super::measure::{Bench, Proxy};
use super::report::{Report, Round, Setting};
use super::steelyard::{self, Setup};
use super::wrk::Wrk;
use super::{callgrind, growth, nginx, soak, wire};

/// Measures Steelyard against nginx.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One round with short cases, in under 90 seconds.
    #[arg(long)]
    quick: bool,
    /// How often every case runs; medians are made over the rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these cases.
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<Case>,
    /// Also write the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also put the table into docs/performance.md.
    #[arg(long)]
    write_docs: bool,
    /// Measure this binary instead of building one; given twice, the second is the one with the null ledger.
    #[arg(long = "binary", value_name = "PATH")]
    binaries: Vec<PathBuf>,
    /// Make this many calls to the shipped binary instead, and check that its memory stays flat.
    #[arg(long, value_name = "CALLS", conflicts_with_all = ["quick", "rounds", "cases", "json", "write_docs", "profile"])]
    soak: Option<u64>,
    /// Count the instructions of a call under a profiler instead.
    #[arg(long, value_name = "PROFILER", conflicts_with_all = ["quick", "rounds", "json", "write_docs"])]
    profile: Option<Profiler>,
}

/// What can profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profiler {
    /// Valgrind's callgrind: instructions, repeatable to a fraction of a percent.
    Callgrind,
}

impl Options {
    /// Runs it; Ctrl-C ends it and everything it started.
    pub(crate) fn run(self) -> Result<()> {
        if cfg!(debug_assertions) {
            // `cargo xtask` builds for a quick start; upstream and load must not be the slow part of a measurement.
            let optimised = build::build(Target::Bench, Profile::Release)?;
            let arguments: Vec<_> = std::env::args_os().skip(1).collect();
            return host::become_program(optimised.as_os_str(), &arguments);
        }
        super::until_interrupted(self.measure())
    }

    #[expect(clippy::print_stdout, reason = "the table is what the command is for")]
    async fn measure(self) -> Result<()> {
        let cores = host::cores()?;
        let stage = Stage::set(cores).await?;
        if let Some(calls) = self.soak {
            let durable = self.binary(Subject::Durable)?.context("there is no binary to soak")?;
            return soak::run(&stage, durable, calls).await;
        }
        if self.profile == Some(Profiler::Callgrind) {
            let durable = self.binary(Subject::Durable)?.context("there is no binary to profile")?;
            return callgrind::run(&stage, durable).await;
        }

        let subjects: Vec<_> = [Subject::Durable, Subject::NullLedger]
            .into_iter()
            .filter_map(|subject| self.binary(subject).transpose().map(|binary| Ok((subject, binary?))))
            .collect::<Result<_>>()?;
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 4 });
        ensure!(rounds > 0, "at least one round is needed: give --rounds 1 or more");
        let setting = setting(rounds, self.quick)?;
        let bench = Bench {
            wrk: Wrk::prepare(stage.folder.path(), cores.load)?,
            upstream: stage.upstream_address,
            cores,
            quick: self.quick,
        };
        let mut figures = Vec::new();
        for number in 1..=rounds {
            figures.push(self.round(number, &stage, &bench, &subjects).await?);
        }

        let report = Report::new(setting, &figures);
        println!("\n{}", report.markdown());
        println!("{} target(s) missed", report.missed());
        if let Some(path) = &self.json {
            std::fs::write(path, report.json()?)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        if self.write_docs {
            report.write_into(&repository().join("docs/performance.md"))?;
        }
        Ok(())
    }

    /// One round, on fresh processes: every case on every subject in turn.
    #[expect(clippy::print_stderr, reason = "progress")]
    async fn round(
        &self,
        number: usize,
        stage: &Stage,
        bench: &Bench,
        subjects: &[(Subject, PathBuf)],
    ) -> Result<Round> {
        let mut proxies =
            vec![nginx::start(&stage.path("nginx"), bench.cores.proxy, stage.upstream_address).await?];
        for (subject, binary) in subjects {
            proxies.push(stage.serve(&format!("round-{number}-{subject:?}"), *subject, binary).await?);
        }
        // Memory at rest is read after the start has calmed down.
        tokio::time::sleep(Duration::from_secs(1)).await;

        let mut round = Round::new();
        for case in Case::ALL.into_iter().filter(|case| self.cases.is_empty() || self.cases.contains(case)) {
            eprintln!("round {number}: {case:?}");
            if case == Case::Growth {
                let dearest = dearest_growth(bench.cores).await?;
                round.insert((case, Metric::Growth, Subject::InProcess), dearest);
                continue;
            }
            for proxy in &proxies {
                let figures = bench.measure(case, proxy).await?;
                round.extend(
                    figures.into_iter().map(|(metric, value)| ((case, metric, proxy.subject), value)),
                );
            }
        }
        for proxy in &proxies {
            if proxy.subject == Subject::Durable {
                check_ledger(proxy).await?;
            }
        }
        Ok(round)
    }

    /// The binary of a subject: given, or built. None: binaries were given, but not this one.
    fn binary(&self, subject: Subject) -> Result<Option<PathBuf>> {
        let (index, target) = match subject {
            Subject::Nginx | Subject::InProcess => return Ok(None),
            Subject::Durable => (0, Target::Binary),
            Subject::NullLedger => (1, Target::NullLedger),
        };
        ensure!(
            self.binaries.len() <= 2,
            "--binary may be given twice: the shipped one, and the null ledger's"
        );
        if self.binaries.is_empty() {
            return build::build(target, Profile::Release).map(Some);
        }
        let given = self.binaries.get(index).map(|path| {
            path.canonicalize().with_context(|| format!("there is no binary {}", path.display()))
        });
        given.transpose()
    }
}

/// A folder of its own and the upstream; both are gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    // Before the folder, so that nothing runs in it any more when it goes.
    _upstream: Process,
    /// Where the upstream listens.
    pub(crate) upstream_address: SocketAddr,
    /// The cores.
    pub(crate) cores: Cores,
    /// The folder.
    pub(crate) folder: TempDir,
}

impl Stage {
    async fn set(cores: Cores) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("steelyard-bench-").tempdir()?;
        let mut command = child::part("upstream", Some(cores.load))?;
        command.stdout(Stdio::piped());
        let mut upstream = Process::spawn(command)?;
        let mut line = String::new();
        let output = upstream.output().context("the upstream has no output")?;
        BufReader::new(output).read_line(&mut line).await?;
        let upstream_address =
            line.trim().parse().with_context(|| format!("the upstream printed `{line}`"))?;
        Ok(Self { _upstream: upstream, upstream_address, cores, folder })
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How a binary is to be started on the proxy core, with key auth, a route and a price.
    pub(crate) fn setup(&self, name: &str, binary: &Path) -> Setup {
        let (upstream, route, model) = (self.upstream_address, wire::ROUTE, wire::MODEL);
        let configuration = format!(
            r#"[[channels]]
name = "upstream"
provider = "compatible"
base_url = "http://{upstream}/v1"

[[routes]]
name = "{route}"
targets = [{{ channel = "upstream", model = "{model}" }}]

[[prices]]
channel = "upstream"
model = "{model}"
from = 2026-01-01
input = "0.40"
cache_read = "0.04"
output = "1.20"
reasoning = "1.20"
context_window = 128000
max_output = 16000
"#
        );
        Setup {
            program: binary.to_owned(),
            under: Vec::new(),
            folder: self.path(name),
            configuration,
            core: Some(self.cores.proxy),
        }
    }

    /// Starts a binary and makes a key.
    pub(crate) async fn serve(&self, name: &str, subject: Subject, binary: &Path) -> Result<Proxy> {
        let setup = self.setup(name, binary);
        let server = setup.start().await?;
        let (_, key) = server.make_key("bench").await?;
        let pair = Some(server.make_pair("signer").await?);
        let admin_key = server.admin_key;
        Ok(Proxy {
            subject,
            process: server.process,
            address: server.address,
            key,
            pair,
            admin_key,
            log: setup.log(),
        })
    }
}

/// The greatest growth of all pairs of wires, in a process of its own on the core of the proxies.
#[expect(clippy::print_stderr, reason = "the pairs are told as they are measured")]
async fn dearest_growth(cores: Cores) -> Result<f64> {
    let command = child::part("growth", Some(cores.proxy))?;
    let output = child::output_of(command, "the growth of translations", Duration::from_mins(2)).await?;
    let pairs: Vec<growth::Pair> =
        serde_json::from_str(&output).with_context(|| format!("the part `growth` printed: {output}"))?;
    for pair in &pairs {
        let growth::Pair { from, to, few_ns, many_ns } = pair;
        eprintln!("  {from} to {to}: {few_ns:.0} ns per message of 100, {many_ns:.0} of 10,000");
    }
    pairs.iter().map(growth::Pair::growth).max_by(f64::total_cmp).context("no pair was measured")
}

/// Figures of a server that keeps no books would be worth nothing, so the first entries are looked at.
async fn check_ledger(proxy: &Proxy) -> Result<()> {
    let entries = steelyard::entries(proxy.address, &proxy.admin_key, 0, 200).await?;
    ensure!(!entries.is_empty(), "the ledger of the shipped binary is empty after a round");
    for entry in entries.values() {
        let settled = entry["outcome"] == "ok" || entry["outcome"] == "client_gone";
        ensure!(settled && entry["amount_pusd"].is_string(), "this entry is not settled and priced: {entry}");
    }
    Ok(())
}

/// The folder of the project.
fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn setting(rounds: usize, quick: bool) -> Result<Setting> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read"));
    let cpus = read("/proc/cpuinfo")?;
    let processor =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let program = super::find_program("nginx", "install it, on Debian by `apt-get install nginx-light`")?;
    let version =
        std::process::Command::new(program).arg("-v").output().context("nginx cannot be started")?;
    let version = String::from_utf8_lossy(&version.stderr);
    Ok(Setting {
        began: Clock::System.now().to_string().chars().take(10).collect(),
        processor: processor.trim_start_matches([' ', '\t', ':']).to_owned(),
        cores: std::thread::available_parallelism()?.get(),
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        nginx: version.trim().trim_start_matches("nginx version: ").to_owned(),
        load_before: read("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned(),
        rounds,
        quick,
    })
}
