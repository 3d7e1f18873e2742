//! The test kit: scripted upstreams, and a running Steelyard to point at them.
//!
//! Owns: [`Upstream`], a vendor that says what a test tells it to, faults included; [`Steelyard`], the real
//! binary on a temporary data directory; [`postgres`], databases for one test each; the clients that call it, well-formed and ill-formed.
//! Must never: know how Steelyard works inside. It sees the binary, its files and its wire, as a user does.
//! Start reading at [`chat`] for what a vendor can be told to say, then at [`Steelyard::start`].
#![expect(
    clippy::missing_panics_doc,
    reason = "a test kit reports by panicking: that is what fails the test"
)]
#![expect(clippy::panic, reason = "a test kit reports by panicking: that is what fails the test")]

mod patience;
pub mod postgres;
pub mod steelyard;
pub mod upstream;

pub use patience::{eventually, until};
pub use steelyard::cli::{Cli, Run};
pub use steelyard::client::{Answer, Client, Stream};
pub use steelyard::config::Config;
pub use steelyard::ledger::{Attempt, Entry};
pub use steelyard::metrics::Metrics;
pub use steelyard::raw::Raw;
pub use steelyard::{Key, Steelyard, Store};
pub use upstream::chat::{Chat, chat};
pub use upstream::embeddings::{Embeddings, embeddings};
pub use upstream::frames::{BadFrame, Frame, frame, unframe};
pub use upstream::reply::{Gate, Reply, Status, Step, status};
pub use upstream::request::Request;
pub use upstream::sse::{End, Sse, frames, sse};
pub use upstream::wire::Wire;
pub use upstream::{Upstream, fault};
