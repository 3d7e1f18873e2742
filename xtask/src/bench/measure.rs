//! One case on one subject: warm it up, load it, read its figures from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::call::{Call, Login};
use super::case::{Case, Metric, Subject};
use super::child::{self, Process};
use super::host::Cores;
use super::http;
use super::load::Measured;
use super::sign::KeyPair;
use super::upstream;
use super::wrk::{Calls, Care, Run, Wrk};

/// A proxy under test.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Who it is.
    pub(crate) subject: Subject,
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The key to call it with; nginx does not look at it.
    pub(crate) key: String,
    /// The key pair to sign with; nginx has none.
    pub(crate) pair: Option<KeyPair>,
    /// The key to look into its books with; empty for nginx.
    pub(crate) admin_key: String,
    /// What the subject wrote to its log.
    pub(crate) log: PathBuf,
}

impl Proxy {
    /// Calls with its key.
    pub(crate) fn load(&self, call: Call, connections: u32) -> Run<'_> {
        Run { call, login: Login::Key(&self.key), connections, translates: self.subject != Subject::Nginx }
    }

    /// Streams in another wire, which nginx passes on as they are.
    fn translated_streams(&self) -> &'static str {
        if self.subject == Subject::Nginx { "passed-streams" } else { "translated-streams" }
    }
}

/// What measures.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Closed-loop load.
    pub(crate) wrk: Wrk,
    /// Where the upstream listens.
    pub(crate) upstream: SocketAddr,
    /// Where the load runs.
    pub(crate) cores: Cores,
    /// Whether to measure for one second instead of two to three.
    pub(crate) quick: bool,
}

/// The figures of one case on one subject.
pub(crate) type Figures = Vec<(Metric, f64)>;

impl Bench {
    /// Measures one case.
    pub(crate) async fn measure(&self, case: Case, proxy: &Proxy) -> Result<Figures> {
        let figures = match case {
            Case::Memory => self.memory(proxy).await,
            Case::Call32 => self.calls(proxy, Call::Small, 32).await,
            Case::Call256 => self.calls(proxy, Call::Small, 256).await,
            Case::Large => self.calls(proxy, Call::Large, 32).await,
            Case::Translated => self.calls(proxy, Call::Messages, 32).await,
            Case::Signed => self.signed(proxy).await,
            Case::Images => self.images(proxy).await,
            Case::One => self.latency(proxy, "one", 2.0).await,
            Case::Rate => self.latency(proxy, "rate", 3.0).await,
            Case::First => self.latency(proxy, "first", 2.0).await,
            Case::Streams => self.streams(proxy, "streams").await,
            Case::PlainStreams => self.streams(proxy, "plain-streams").await,
            Case::TranslatedStreams => self.streams(proxy, proxy.translated_streams()).await,
            // Of the wires, not of a proxy.
            Case::Growth => Ok(Figures::new()),
        };
        figures.with_context(|| {
            let (subject, log) = (proxy.subject.title(), child::log_tail(&proxy.log));
            format!("case {case:?} on {subject} failed; its log ends with:\n{log}")
        })
    }

    async fn calls(&self, proxy: &Proxy, call: Call, connections: u32) -> Result<Figures> {
        self.run(proxy, proxy.load(call, connections)).await
    }

    /// The same calls signed and with a key: the difference is what the signature takes.
    async fn signed(&self, proxy: &Proxy) -> Result<Figures> {
        let Some(pair) = &proxy.pair else { return Ok(Figures::new()) };
        let plain = proxy.load(Call::Converse, 32);
        let signed = Run { login: Login::Pair(pair), ..plain };
        self.added(proxy, plain, signed).await
    }

    /// The same client with a large request and with a small one: the difference is what a megabyte takes.
    async fn images(&self, proxy: &Proxy) -> Result<Figures> {
        self.added(proxy, proxy.load(Call::Messages, 8), proxy.load(Call::Images, 8)).await
    }

    async fn added(&self, proxy: &Proxy, less: Run<'_>, more: Run<'_>) -> Result<Figures> {
        let of = |figures: &Figures| {
            figures.iter().find(|(metric, _)| *metric == Metric::CpuPerCall).map(|(_, value)| *value)
        };
        let (less, more) = (self.run(proxy, less).await?, self.run(proxy, more).await?);
        let added = of(&more).zip(of(&less)).map(|(more, less)| more - less);
        Ok(added.map(|added| (Metric::AddedPerCall, added)).into_iter().collect())
    }

    async fn run(&self, proxy: &Proxy, load: Run<'_>) -> Result<Figures> {
        let warm = self.wrk.command(proxy.address, &load, Care::EveryByte, 1)?;
        self.wrk.run(warm, 1).await.context("in the warm-up")?;
        settle_down(proxy).await?;

        let seconds = if self.quick { 1 } else { 2 };
        let (answered, spent) = (self.answered().await?, proxy.process.processor_time()?);
        let run = self.wrk.command(proxy.address, &load, Care::Counts, seconds)?;
        let Calls { answers, time } = self.wrk.run(run, seconds).await?;
        settle_down(proxy).await?;
        let spent = proxy.process.processor_time()?.saturating_sub(spent);
        let answered = self.answered().await? - answered;

        // wrk hangs up in the middle of the last call of each connection.
        let most = answers + u64::from(load.connections);
        ensure!(
            (answers..=most).contains(&answered),
            "the client got {answers} answers, but the upstream gave {answered}"
        );
        Ok(vec![
            (Metric::CpuPerCall, spent.as_secs_f64() * 1e6 / float(answers)),
            (Metric::CallsPerSecond, float(answers) / time.as_secs_f64()),
        ])
    }

    async fn latency(&self, proxy: &Proxy, kind: &str, seconds: f64) -> Result<Figures> {
        let seconds = if self.quick { 1.0 } else { seconds };
        let measured = self.generate(proxy, kind, 0.4, seconds).await?;
        settle_down(proxy).await?;
        Ok(vec![(Metric::P50, measured.p50_us), (Metric::P99, measured.p99_us)])
    }

    async fn streams(&self, proxy: &Proxy, kind: &str) -> Result<Figures> {
        self.generate(proxy, kind, 0.0, 0.5).await.context("in the warm-up")?;
        settle_down(proxy).await?;
        let spent = proxy.process.processor_time()?;
        let measured = self.generate(proxy, kind, 0.0, if self.quick { 1.0 } else { 2.0 }).await?;
        settle_down(proxy).await?;
        let spent = proxy.process.processor_time()?.saturating_sub(spent);
        Ok(vec![
            (Metric::CpuPerChunk, spent.as_secs_f64() * 1e6 / float(measured.chunks)),
            (Metric::ChunksPerSecond, float(measured.chunks) / measured.seconds),
        ])
    }

    /// On a process that has served nothing yet.
    async fn memory(&self, proxy: &Proxy) -> Result<Figures> {
        let idle = proxy.process.memory()?.resident_kib;
        let seconds = if self.quick { 1 } else { 2 };
        let run = self.wrk.command(proxy.address, &proxy.load(Call::Small, 256), Care::Counts, seconds)?;
        let streams = self.generate(proxy, "streams", 0.0, if self.quick { 1.0 } else { 2.0 });
        tokio::try_join!(self.wrk.run(run, seconds), streams)?;
        settle_down(proxy).await?;
        let peak = proxy.process.memory()?.peak_kib;
        Ok(vec![(Metric::PeakMemory, float(peak) / 1024.0), (Metric::IdleMemory, float(idle) / 1024.0)])
    }

    async fn generate(&self, proxy: &Proxy, kind: &str, warm: f64, seconds: f64) -> Result<Measured> {
        let mut command = child::part("load", Some(self.cores.load))?;
        command.args(["--kind", kind, "--target", &proxy.address.to_string(), "--key", &proxy.key]);
        command.args(["--warm", &warm.to_string(), "--seconds", &seconds.to_string()]);
        let patience = Duration::from_secs_f64(warm + seconds + 30.0);
        let output = child::output_of(command, &format!("the load `{kind}`"), patience).await?;
        serde_json::from_str(&output).with_context(|| format!("a generator printed: {output}"))
    }

    /// How many calls the upstream has answered so far.
    pub(crate) async fn answered(&self) -> Result<u64> {
        let reply = http::call(self.upstream, "GET", upstream::COUNT_PATH, "", "").await?;
        String::from_utf8_lossy(&reply.body).parse().context("the upstream's count is not a number")
    }
}

/// Waits until the subject has done what it put off. The ledger of the shipped binary is filled up to a second
/// behind the calls; that work belongs to them.
async fn settle_down(proxy: &Proxy) -> Result<()> {
    let calm = match proxy.subject {
        Subject::Nginx | Subject::NullLedger | Subject::InProcess => Duration::from_millis(200),
        Subject::Durable => Duration::from_millis(1100),
    };
    proxy.process.settle_down(calm).await
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
