//! The data plane: what happens to a call between authentication and its last byte.
//!
//! Owns: the [`snapshot::Snapshot`] that a call reads, name resolution, the plan, dispatch with failover, the
//! relay, and the account that guarantees one ledger entry per call.
//! Must never: see SQL, axum or a file; parse a body that it only relays; let a byte out of the last frame
//! before the settlement is durable.
//! Start reading at [`call`]: the life of a call from top to bottom.

pub mod spec;
pub mod snapshot;
pub mod resolve;
pub mod offer;
pub mod call;
mod plan;
mod account;
mod dispatch;
mod relay;
mod feed;
pub mod provider;
mod client;
mod tasks;

pub use client::install_tls_provider;
pub use call::{Endpoint, Gateway, Inbound, Refusal, Reply};
pub use relay::ReplyBody;
pub use tasks::Tasks;
