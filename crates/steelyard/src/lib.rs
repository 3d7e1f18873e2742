//! The `steelyard` binary, as a library that its tests can reach.
//!
//! Owns: the command line, the configuration and its layers, logging, and the start of a server.
//! Must never: hold SQL, speak a provider's wire, decide what a call costs, or do in the command line what the
//! management API cannot do.
//! Start reading at [`cli`] for the verbs, at [`config`] for what an operator declares.

pub mod cli;
pub mod client;
pub mod config;
pub mod serve;
pub mod telemetry;
