//! One case on one subject: warm it up, load it, read its figures from outside.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Metric, Subject};
use super::child::{self, Process};
use super::host::Cores;
use super::http;
use super::load::Measured;
use super::upstream;
use super::wrk::{Calls, Care, Size, Wrk};

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
    /// The key to look into its books with; empty for nginx.
    pub(crate) admin_key: String,
    /// What the subject wrote to its log.
    pub(crate) log: PathBuf,
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
            Case::Call32 => self.calls(proxy, (Size::Small, 32)).await,
            Case::Call256 => self.calls(proxy, (Size::Small, 256)).await,
            Case::Large => self.calls(proxy, (Size::Large, 32)).await,
            Case::One => self.latency(proxy, "one", 2.0).await,
            Case::Rate => self.latency(proxy, "rate", 3.0).await,
            Case::First => self.latency(proxy, "first", 2.0).await,
            Case::Streams => self.streams(proxy, "streams").await,
            Case::PlainStreams => self.streams(proxy, "plain-streams").await,
        };
        figures.with_context(|| {
            let (subject, log) = (proxy.subject.title(), child::log_tail(&proxy.log));
            format!("case {case:?} on {subject} failed; its log ends with:\n{log}")
        })
    }

    async fn calls(&self, proxy: &Proxy, load: (Size, u32)) -> Result<Figures> {
        let warm = self.wrk.command(proxy.address, &proxy.key, load, Care::EveryByte, 1)?;
        self.wrk.run(warm, 1).await.context("in the warm-up")?;
        settle_down(proxy).await?;

        let seconds = if self.quick { 1 } else { 2 };
        let (answered, spent) = (self.answered().await?, proxy.process.processor_time()?);
        let run = self.wrk.command(proxy.address, &proxy.key, load, Care::Counts, seconds)?;
        let Calls { answers, time } = self.wrk.run(run, seconds).await?;
        settle_down(proxy).await?;
        let spent = proxy.process.processor_time()?.saturating_sub(spent);
        let answered = self.answered().await? - answered;

        // wrk hangs up in the middle of the last call of each connection.
        let most = answers + u64::from(load.1);
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
        let run = self.wrk.command(proxy.address, &proxy.key, (Size::Small, 256), Care::Counts, seconds)?;
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
        Subject::Nginx | Subject::NullLedger => Duration::from_millis(200),
        Subject::Durable => Duration::from_millis(1100),
    };
    proxy.process.settle_down(calm).await
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
