//! The load generators that measure what `wrk` cannot: one call at a time, a fixed rate, streams.
//!
//! Each runs as a process of its own on the load core. An answer that fails, breaks off or differs from what the
//! upstream gave ends the run with an error; there is no rate of failure that is fine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::call::Login;
use super::wire::translated::{self, MessagesCheck};
use super::wire::{self, Reply, StreamCheck};

const PATIENCE: Duration = Duration::from_secs(20);
const PIECE: usize = 64 * 1024;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Whole calls on one connection, one after the other: latency.
    One,
    /// Whole calls at a fixed rate over 32 connections: latency.
    Rate,
    /// Streams on one connection, one after the other: the time to the first chunk.
    First,
    /// Streams on many connections at once: chunks.
    Streams,
    /// The same, by clients that do not ask for usage.
    PlainStreams,
    /// Streams of clients that speak Anthropic's wire.
    TranslatedStreams,
    /// The same through a proxy that does not translate, so that the upstream's own streams come back.
    PassedStreams,
}

/// One run of a generator.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// What to do.
    #[arg(long)]
    kind: Kind,
    /// Where.
    #[arg(long)]
    target: SocketAddr,
    /// The key to send.
    #[arg(long)]
    key: String,
    /// Seconds to measure.
    #[arg(long)]
    seconds: f64,
    /// Seconds before that, which do not count.
    #[arg(long, default_value_t = 0.0)]
    warm: f64,
    /// Connections, where the kind leaves them open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Calls in a second, for `rate`.
    #[arg(long, default_value_t = 500)]
    rate: u32,
}

/// What a run measured.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Answers, complete and right.
    pub(crate) answers: u64,
    /// Content chunks in them.
    pub(crate) chunks: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Median latency in microseconds, where it was taken.
    pub(crate) p50_us: f64,
    /// 99th percentile of latency in microseconds, where it was taken.
    pub(crate) p99_us: f64,
}

impl Load {
    /// Runs it.
    pub(crate) fn run(&self) -> Result<Measured> {
        match self.kind {
            Kind::One => self.one(),
            Kind::Rate => self.at_rate(),
            Kind::First => self.first_chunks(),
            Kind::Streams => {
                let body = wire::stream_call(true, false);
                self.streams(&self.request(&body), Check::Upstreams(StreamCheck::new(true)))
            }
            Kind::PlainStreams => {
                let body = wire::stream_call(false, false);
                self.streams(&self.request(&body), Check::Upstreams(StreamCheck::new(false)))
            }
            Kind::TranslatedStreams => {
                self.streams(&self.messages_stream(), Check::Translated(MessagesCheck::default()))
            }
            Kind::PassedStreams => {
                self.streams(&self.messages_stream(), Check::Upstreams(StreamCheck::new(false)))
            }
        }
    }

    fn request(&self, body: &str) -> Vec<u8> {
        wire::request(&self.target.to_string(), &self.key, body)
    }

    fn messages_stream(&self) -> Vec<u8> {
        let (path, body) = (translated::MESSAGES_PATH, translated::messages_stream());
        let headers = Login::Key(&self.key).headers(self.target, path, &body);
        wire::post(&self.target.to_string(), path, &headers, &body)
    }

    fn span(&self) -> Span {
        let start = Instant::now() + Duration::from_secs_f64(self.warm);
        Span { start, end: start + Duration::from_secs_f64(self.seconds) }
    }

    fn one(&self) -> Result<Measured> {
        let request = self.request(&wire::small_call());
        let mut line = Line::open(self.target)?;
        let expected = wire::whole_answer();
        let (span, mut latencies) = (self.span(), Latencies::default());
        while let Some(sent) = span.now() {
            line.send(&request)?;
            line.finish_whole(&expected)?;
            latencies.add(&span, sent, sent.elapsed());
        }
        latencies.measured(self.seconds)
    }

    /// Call number `n` is due at `n / rate`; connection `n mod 32` sends it. A call that is sent late because the
    /// one before it was still on its way counts from when it was due, so that a stall cannot hide itself.
    fn at_rate(&self) -> Result<Measured> {
        const LINES: u32 = 32;
        let (request, expected) = (self.request(&wire::small_call()), wire::whole_answer());
        let span = self.span();
        let begin = Instant::now();
        let between = Duration::from_secs(1) / self.rate;
        let run_line = |first: u32| -> Result<Latencies> {
            let mut line = Line::open(self.target)?;
            let mut latencies = Latencies::default();
            let mut due = begin + between * first;
            while due < span.end {
                let wait = due.saturating_duration_since(Instant::now());
                std::thread::sleep(wait);
                let sent = if wait.is_zero() { due } else { Instant::now() };
                line.send(&request)?;
                line.finish_whole(&expected)?;
                latencies.add(&span, due, sent.elapsed());
                due += between * LINES;
            }
            Ok(latencies)
        };
        let mut all = Latencies::default();
        std::thread::scope(|scope| {
            let run_line = &run_line;
            let lines: Vec<_> = (0..LINES).map(|first| scope.spawn(move || run_line(first))).collect();
            for line in lines {
                let latencies = line.join().map_err(|_| anyhow::anyhow!("a generator thread panicked"))??;
                all.0.extend(latencies.0);
            }
            anyhow::Ok(())
        })?;
        all.measured(self.seconds)
    }

    fn first_chunks(&self) -> Result<Measured> {
        let request = self.request(&wire::stream_call(true, true));
        let check = StreamCheck::new(true);
        let mut line = Line::open(self.target)?;
        let (span, mut latencies) = (self.span(), Latencies::default());
        while let Some(sent) = span.now() {
            line.send(&request)?;
            while !line.has_content() && !line.reply.is_done() {
                line.read()?;
            }
            latencies.add(&span, sent, sent.elapsed());
            line.finish()?;
            check.check(&line.reply.body)?;
        }
        latencies.measured(self.seconds)
    }

    fn streams(&self, request: &[u8], check: Check) -> Result<Measured> {
        let request: Arc<[u8]> = request.into();
        let check = Arc::new(check);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (start, end) = (Instant::now(), self.span().end);
        let answers = runtime.block_on(async {
            let mut lines = JoinSet::new();
            for _ in 0..self.connections {
                lines.spawn(stream_line(self.target, Arc::clone(&request), Arc::clone(&check), end));
            }
            let mut answers = 0;
            while let Some(line) = lines.join_next().await {
                answers += line.context("a generator task failed")??;
            }
            anyhow::Ok(answers)
        })?;
        let chunks = answers * u64::try_from(wire::CHUNKS)?;
        Ok(Measured { answers, chunks, seconds: start.elapsed().as_secs_f64(), ..Measured::default() })
    }
}

/// Whose form a stream must have.
#[derive(Debug)]
enum Check {
    Upstreams(StreamCheck),
    Translated(MessagesCheck),
}

impl Check {
    fn check(&self, payload: &[u8]) -> Result<()> {
        match self {
            Self::Upstreams(check) => check.check(payload),
            Self::Translated(check) => check.check(payload),
        }
    }
}

/// One connection of many: stream after stream until `end`; the last one is read to its end.
async fn stream_line(target: SocketAddr, request: Arc<[u8]>, check: Arc<Check>, end: Instant) -> Result<u64> {
    let mut socket = tokio::net::TcpStream::connect(target).await.context("the proxy takes no connection")?;
    socket.set_nodelay(true)?;
    let (mut reply, mut piece) = (Reply::default(), vec![0; PIECE]);
    let mut answers = 0;
    while Instant::now() < end {
        reply.reset();
        socket.write_all(&request).await.context("a request cannot be sent")?;
        while !reply.is_done() {
            let read = tokio::time::timeout(PATIENCE, socket.read(&mut piece)).await;
            let length = read.with_context(|| format!("an answer stands still for {PATIENCE:?}"))??;
            ensure!(length > 0, "a stream broke off after {} bytes", reply.body.len());
            reply.push(&piece[..length])?;
        }
        ensure_ok(&reply)?;
        check.check(&reply.body)?;
        answers += 1;
    }
    Ok(answers)
}

/// The measured part of a run.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: Instant,
    end: Instant,
}

impl Span {
    /// Now, while the run goes on.
    fn now(&self) -> Option<Instant> {
        let now = Instant::now();
        (now < self.end).then_some(now)
    }
}

/// One connection, used for one call at a time without any runtime in between.
pub(crate) struct Line {
    socket: TcpStream,
    reply: Reply,
    piece: Vec<u8>,
}

impl Line {
    /// Connects.
    pub(crate) fn open(target: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(target).context("the proxy takes no connection")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, reply: Reply::default(), piece: vec![0; PIECE] })
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.reply.reset();
        self.socket.write_all(request).context("a request cannot be sent")
    }

    fn read(&mut self) -> Result<()> {
        let length = self.socket.read(&mut self.piece).context("an answer cannot be read")?;
        ensure!(length > 0, "an answer broke off after {} bytes", self.reply.body.len());
        self.reply.push(&self.piece[..length])
    }

    fn has_content(&self) -> bool {
        memmem::find(&self.reply.body, b"\"content\"").is_some()
    }

    /// Reads the answer to its end; only a 200 is right.
    pub(crate) fn finish(&mut self) -> Result<()> {
        while !self.reply.is_done() {
            self.read()?;
        }
        ensure_ok(&self.reply)
    }

    fn finish_whole(&mut self, expected: &str) -> Result<()> {
        self.finish()?;
        let body = &self.reply.body;
        ensure!(body == expected.as_bytes(), "an answer differs: {}", String::from_utf8_lossy(body));
        Ok(())
    }
}

fn ensure_ok(reply: &Reply) -> Result<()> {
    ensure!(
        reply.status == 200,
        "an answer failed with {}: {}",
        reply.status,
        String::from_utf8_lossy(&reply.body)
    );
    Ok(())
}

/// Latencies within the measured span.
#[derive(Debug, Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    fn add(&mut self, span: &Span, due: Instant, latency: Duration) {
        if due >= span.start {
            self.0.push(latency);
        }
    }

    fn measured(mut self, seconds: f64) -> Result<Measured> {
        self.0.sort_unstable();
        let (p50_us, p99_us) = (self.percentile(50)?, self.percentile(99)?);
        Ok(Measured { answers: u64::try_from(self.0.len())?, seconds, p50_us, p99_us, ..Measured::default() })
    }

    /// The least latency that `percent` of all do not exceed. They are sorted.
    fn percentile(&self, percent: usize) -> Result<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        let latency = self.0.get(rank).context("no call ended in time")?;
        Ok(latency.as_secs_f64() * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let latencies = Latencies((1..=200).map(Duration::from_micros).collect());
        let measured = latencies.measured(1.0).unwrap();
        assert!(
            (measured.p50_us - 100.0).abs() < 1e-6 && (measured.p99_us - 198.0).abs() < 1e-6,
            "{measured:?}"
        );
        assert!(Latencies::default().measured(1.0).is_err());
    }
}
