//! The clients of the kill test: one call after the other, each writing down what it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use steelyard_core::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dialect::Dialect;
use super::history::{Call, End};
use super::upstream::{Fault, Order, Script};
use crate::bench::wire::Reply;

/// No answer of this test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a call leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// To the scripted upstream, on OpenAI's wire.
    Upstream,
    /// To the scripted upstream, on Anthropic's wire.
    Anthropic,
    /// To the scripted upstream, on OpenAI's wire, by an offer of its own whose failures stay with it.
    Faulty,
    /// To the model inside Steelyard.
    Sandbox,
}

impl Lane {
    /// The route of a client on this lane. No other client calls it.
    pub(crate) fn route(self, client: usize) -> String {
        let lane = match self {
            Self::Upstream => "up",
            Self::Anthropic => "claude",
            Self::Faulty => "faulty",
            Self::Sandbox => "box",
        };
        format!("{lane}-{client}")
    }
}

/// One call to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// What the client speaks.
    pub(crate) dialect: Dialect,
    /// Where it leads.
    pub(crate) lane: Lane,
    /// Whether the answer is to be streamed.
    pub(crate) stream: bool,
    /// Whether a stream is to tell its usage.
    pub(crate) usage: bool,
    /// How the upstream is to answer.
    pub(crate) script: Script,
    /// When the client hangs up before the end.
    pub(crate) hang_up: Option<Duration>,
}

impl Plan {
    /// A call by chance.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let stream = chance.below(100) < 60;
        let script = Script {
            wait_ms: chance.below(40),
            chunks: u32::try_from(5 + chance.below(25)).unwrap_or(5),
            pause_ms: 1 + chance.below(14),
            fault: Fault::None,
        };
        let plan = Self {
            dialect: Dialect::draw(chance),
            lane: if chance.below(3) == 0 { Lane::Anthropic } else { Lane::Upstream },
            stream,
            usage: chance.below(2) == 0,
            script,
            hang_up: None,
        };
        match chance.below(100) {
            0..20 => Self { lane: Lane::Sandbox, ..plan },
            20..35 => Self { hang_up: Some(Duration::from_millis(chance.below(150))), ..plan },
            35..39 => Self { lane: Lane::Faulty, script: Script { fault: Fault::Refuse, ..script }, ..plan },
            39..43 => Self { lane: Lane::Faulty, script: Script { fault: Fault::Cut, ..script }, ..plan },
            _ => plan,
        }
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number, which its routes bear.
    pub(crate) number: usize,
    /// Its key.
    pub(crate) key: String,
    /// Where the server listens.
    pub(crate) server: SocketAddr,
    /// The round, which its markers bear.
    pub(crate) round: String,
    /// Whether the server is killed in this round.
    pub(crate) killed: bool,
    /// The connection it keeps.
    connection: Option<TcpStream>,
    made: usize,
}

impl Client {
    /// A client that has made no call yet.
    pub(crate) fn new(number: usize, key: &str, server: SocketAddr, round: &str, killed: bool) -> Self {
        let (key, round) = (key.to_owned(), round.to_owned());
        Self { number, key, server, round, killed, connection: None, made: 0 }
    }

    /// Makes calls by chance until it is told to stop, or the server takes no more connections.
    pub(crate) async fn call_until(mut self, stop: Arc<AtomicBool>, mut chance: Chance) -> Result<Vec<Call>> {
        let mut calls = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(call) = self.call(&Plan::draw(&mut chance)).await? else { break };
            // A server that was killed takes a moment to be gone for everyone.
            if call.end == End::Broken {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            calls.push(call);
        }
        Ok(calls)
    }

    /// The marker of its next call.
    pub(crate) fn next_marker(&self) -> String {
        format!("{}-c{}-n{}", self.round, self.number, self.made)
    }

    /// Makes one call. `None`: the server takes no connection.
    pub(crate) async fn call(&mut self, plan: &Plan) -> Result<Option<Call>> {
        if self.connection.is_none() {
            let Ok(connection) = TcpStream::connect(self.server).await else { return Ok(None) };
            connection.set_nodelay(true)?;
            self.connection = Some(connection);
        }
        let marker = self.next_marker();
        self.made += 1;
        let route = plan.lane.route(self.number);
        let order = serde_json::to_string(&Order { marker: marker.clone(), script: plan.script })?;
        let request = plan.dialect.request(self.server, &self.key, &route, plan, &order);

        let began = Clock::System.now();
        let mut reply = Reply::default();
        let end = match plan.hang_up {
            None => tokio::time::timeout(PATIENCE, self.exchange(&request, &mut reply, plan))
                .await
                .with_context(|| format!("the answer to {marker} stands still for {PATIENCE:?}"))??,
            Some(after) => tokio::time::timeout(after, self.exchange(&request, &mut reply, plan))
                .await
                .unwrap_or(Ok(End::HungUp))?,
        };
        if end != End::Complete || !reply.is_done() || reply.header("connection") == Some("close") {
            self.connection = None;
        }
        let answered = end == End::Complete && reply.status == 200;
        Ok(Some(Call {
            dialect: plan.dialect,
            stream: plan.stream,
            told: if answered { plan.dialect.told(&reply.body, plan)? } else { None },
            status: (reply.status != 0).then_some(reply.status),
            request_id: reply.header("x-steelyard-request-id").map(str::to_owned),
            may_fail: plan.lane == Lane::Faulty,
            killed: self.killed,
            marker,
            route,
            began,
            end,
        }))
    }

    /// Sends and reads until the last byte that matters. A broken connection is an end like another; an answer
    /// that is not HTTP is an error.
    async fn exchange(&mut self, request: &[u8], reply: &mut Reply, plan: &Plan) -> Result<End> {
        let marked = |reply: &Reply| {
            Ok::<_, anyhow::Error>(plan.stream && reply.status == 200 && plan.dialect.has_ended(&reply.body)?)
        };
        let connection = self.connection.as_mut().context("the client has no connection")?;
        if connection.write_all(request).await.is_err() {
            return Ok(End::Broken);
        }
        let mut piece = vec![0; 16 * 1024];
        while !reply.is_done() {
            let length = connection.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                // The end mark is the last byte of a stream; the frame's own end may be lost.
                return Ok(if marked(reply)? { End::Complete } else { End::Broken });
            }
            reply.push(&piece[..length])?;
        }
        let ended = !plan.stream || reply.status != 200 || marked(reply)?;
        Ok(if ended { End::Complete } else { End::Broken })
    }
}

/// Chance that can be repeated: `SplitMix64` by Steele, Lea and Flood.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The same seed and the same stream number give the same chances.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
