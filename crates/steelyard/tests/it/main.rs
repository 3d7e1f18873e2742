//! The real binary, from outside: its wire, its files, its exit codes, against vendors that say what they are told to.
//!
//! Modules mirror routes and concerns. Each test has a server and a data directory of its own. Start reading at
//! [`app`]: what every test begins with.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is tests; clippy sees that only in their functions"
)]
#![expect(clippy::disallowed_methods, reason = "a test has no shutdown that could wait for a task")]

mod app;

mod chat;
mod delivered;
mod embeddings;
mod entra;
mod gemini;
mod invoke;
mod models;
mod responses;
mod sandbox;
mod secrets;
mod stream;

mod auth;
mod aws_chain;
mod azure;
mod headers;
mod keys;
mod naming;

mod circuit;
mod failover;
mod faults;
mod timeouts;
mod translate;

mod client_gone;
mod ledger;
mod prices;
mod unsent;
mod usage;

mod bad_input;
mod bodies;

mod api;
mod cli;
mod lifecycle;
mod refuted;
mod reload;
mod store;
#[cfg(feature = "postgres")]
mod store_tls;
mod tls;
mod tracing;
