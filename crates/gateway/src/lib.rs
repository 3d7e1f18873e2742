//! The data plane: what happens to a call between authentication and its last byte.
//!
//! Owns: the [`snapshot::Snapshot`] that a call reads, name resolution, the plan, dispatch with failover, the
//! relay, and the account that guarantees one ledger entry per call.
//! Must never: see SQL, axum or a file; parse a body that it only relays; let a byte out of the last frame
//! before the settlement is durable.
//! Start reading at [`call`]: the life of a call from top to bottom.

mod account;
mod answer;
mod attempt;
pub mod call;
mod client;
mod dispatch;
mod feed;
mod mask;
mod miss;
pub mod offer;
mod plan;
pub mod provider;
mod relay;
pub mod resolve;
pub mod snapshot;
pub mod spec;
mod tasks;
mod trace;
mod translate;

pub use call::{Address, Endpoint, Gateway, Inbound, Refusal, Reply};
pub use client::install_tls_provider;
pub use relay::ReplyBody;
pub use tasks::Tasks;
pub use trace::{TraceContext, Tracing};
