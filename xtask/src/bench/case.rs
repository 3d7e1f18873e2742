//! The cases, what is measured in each, and the figures to reach.

use serde::Serialize;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// A fresh process at rest, then under 256 connections and 64 streams together.
    Memory,
    /// 1 KB calls on 32 connections, as many as it takes on.
    Call32,
    /// 1 KB calls on 256 connections.
    Call256,
    /// 32 KB calls on 32 connections.
    Large,
    /// 1 KB calls on one connection.
    One,
    /// 1 KB calls, 500 in a second.
    Rate,
    /// 64 streams of 100 chunks, whose clients ask for usage.
    Streams,
    /// The same by clients that do not ask for usage, which Steelyard then asks for and takes out again.
    PlainStreams,
    /// One stream at a time.
    First,
    /// 1 KB calls on 32 connections, by clients of Anthropic's wire.
    Translated,
    /// 64 streams of 100 chunks, by clients of Anthropic's wire.
    TranslatedStreams,
    /// 1 KB calls in Bedrock's wire on 32 connections, signed and with a key.
    Signed,
    /// 1 MB calls with 20 images and 1 KB calls, both on 8 connections, by clients of Anthropic's wire.
    Images,
    /// Requests with few and with many messages, from every wire to every other.
    Growth,
}

impl Case {
    /// Every case, in the order of a round. Memory comes first, on fresh processes.
    pub(crate) const ALL: [Self; 14] = [
        Self::Memory,
        Self::Call32,
        Self::Call256,
        Self::Large,
        Self::One,
        Self::Rate,
        Self::Streams,
        Self::PlainStreams,
        Self::First,
        Self::Translated,
        Self::TranslatedStreams,
        Self::Signed,
        Self::Images,
        Self::Growth,
    ];
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// The floor.
    Nginx,
    /// The release binary as it ships.
    Durable,
    /// The same server with a ledger that writes nothing.
    NullLedger,
    /// The wires alone, as plain functions in the bench's own process.
    InProcess,
}

impl Subject {
    /// In tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Durable => "durable",
            Self::NullLedger => "null ledger",
            Self::InProcess => "in process",
        }
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// At most the target.
    Lower,
    /// At least the target.
    Higher,
}

/// What a target is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The ratio to nginx in the same round.
    Ratio,
    /// The value itself.
    Value,
}

/// A figure that a case yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Processor time of the whole process per answered call, in microseconds.
    CpuPerCall,
    /// Answered calls in a second.
    CallsPerSecond,
    /// Median latency, in microseconds.
    P50,
    /// 99th percentile of latency, in microseconds.
    P99,
    /// Processor time of the whole process per content chunk, in microseconds.
    CpuPerChunk,
    /// Content chunks in a second.
    ChunksPerSecond,
    /// Resident memory at its peak, in MiB.
    PeakMemory,
    /// Resident memory at rest after the start, in MiB.
    IdleMemory,
    /// What one kind of call takes more than another in processor time, in microseconds per call.
    AddedPerCall,
    /// The cost of a message among 10,000 over that among 100, of the pair of wires where it is greatest.
    Growth,
}

/// One line of the table: a figure of a case, with its targets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// The case.
    pub(crate) case: Case,
    /// The figure.
    pub(crate) metric: Metric,
    /// In tables.
    pub(crate) title: &'static str,
    /// In tables, behind the value.
    pub(crate) unit: &'static str,
    /// What the targets are compared with.
    pub(crate) scale: Scale,
    /// Which way is better.
    pub(crate) better: Better,
    /// The target of the binary as it ships.
    durable: Option<f64>,
    /// The target with a ledger that writes nothing.
    null_ledger: Option<f64>,
    /// The target of the wires alone.
    in_process: Option<f64>,
}

impl Line {
    /// The target of a subject.
    pub(crate) fn target(&self, subject: Subject) -> Option<f64> {
        match subject {
            Subject::Nginx => None,
            Subject::Durable => self.durable,
            Subject::NullLedger => self.null_ledger,
            Subject::InProcess => self.in_process,
        }
    }

    const fn ratio(case: Case, metric: Metric, title: &'static str, unit: &'static str) -> Self {
        Self {
            case,
            metric,
            title,
            unit,
            scale: Scale::Ratio,
            better: Better::Lower,
            durable: None,
            null_ledger: None,
            in_process: None,
        }
    }

    const fn higher(self) -> Self {
        Self { better: Better::Higher, ..self }
    }

    const fn targets(self, durable: f64, null_ledger: f64) -> Self {
        Self { durable: Some(durable), null_ledger: Some(null_ledger), ..self }
    }

    const fn absolute(self, durable: f64) -> Self {
        Self { durable: Some(durable), ..self }.by_value()
    }

    const fn in_process(self, most: f64) -> Self {
        Self { in_process: Some(most), ..self }.by_value()
    }

    const fn by_value(self) -> Self {
        Self { scale: Scale::Value, ..self }
    }
}

/// The table.
pub(crate) const LINES: [Line; 20] = [
    Line::ratio(Case::Call32, Metric::CpuPerCall, "1 KB call, 32 connections: CPU per call", "µs")
        .targets(5.0, 4.0),
    Line::ratio(Case::Call32, Metric::CallsPerSecond, "1 KB call, 32 connections: calls/s", "").higher(),
    Line::ratio(Case::Call256, Metric::CpuPerCall, "1 KB call, 256 connections: CPU per call", "µs")
        .targets(5.5, 4.5),
    Line::ratio(Case::Large, Metric::CpuPerCall, "32 KB call, 32 connections: CPU per call", "µs")
        .targets(6.0, 5.0),
    Line::ratio(Case::One, Metric::P50, "one connection: p50", "µs").targets(2.0, 1.3),
    Line::ratio(Case::Rate, Metric::P50, "500 calls/s: p50", "µs"),
    Line::ratio(Case::Rate, Metric::P99, "500 calls/s: p99", "µs").targets(3.0, 1.5),
    Line::ratio(Case::Streams, Metric::CpuPerChunk, "64 streams × 100 chunks: CPU per chunk", "µs")
        .targets(1.8, 1.8),
    Line::ratio(Case::Streams, Metric::ChunksPerSecond, "64 streams × 100 chunks: chunks/s", "")
        .higher()
        .targets(0.6, 0.6),
    Line::ratio(
        Case::PlainStreams,
        Metric::CpuPerChunk,
        "the same, usage not asked for: CPU per chunk",
        "µs",
    ),
    Line::ratio(Case::PlainStreams, Metric::ChunksPerSecond, "the same, usage not asked for: chunks/s", "")
        .higher(),
    Line::ratio(Case::First, Metric::P50, "first chunk of a stream: p50", "µs").targets(1.4, 1.15),
    Line::ratio(Case::Memory, Metric::PeakMemory, "peak memory, 256 connections and 64 streams", "MiB")
        .absolute(38.0),
    Line::ratio(Case::Memory, Metric::IdleMemory, "idle memory", "MiB").absolute(20.0),
    Line::ratio(
        Case::Translated,
        Metric::CpuPerCall,
        "translated 1 KB call, 32 connections: CPU per call",
        "µs",
    )
    .targets(6.5, 5.5),
    Line::ratio(
        Case::TranslatedStreams,
        Metric::CpuPerChunk,
        "64 translated streams × 100 chunks: CPU per chunk",
        "µs",
    )
    .targets(4.0, 4.0),
    Line::ratio(
        Case::TranslatedStreams,
        Metric::ChunksPerSecond,
        "64 translated streams × 100 chunks: chunks/s",
        "",
    )
    .higher(),
    Line::ratio(Case::Signed, Metric::AddedPerCall, "SigV4 instead of a key: added CPU per call", "µs")
        .targets(25.0, 25.0)
        .by_value(),
    Line::ratio(
        Case::Images,
        Metric::AddedPerCall,
        "1 MB with 20 images instead of 1 KB, translated: added CPU per call",
        "µs",
    )
    .targets(3.0, 3.0),
    Line::ratio(
        Case::Growth,
        Metric::Growth,
        "a message among 10,000 against one among 100, dearest pair of wires",
        "×",
    )
    .in_process(1.5),
];
