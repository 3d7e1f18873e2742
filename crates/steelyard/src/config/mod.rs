//! What an operator configures: defaults, then `steelyard.toml`, then the environment, then flags, each layer over
//! the one before; every value remembers where it came from.
//!
//! Constraints: a configuration is taken whole or not at all; every problem has its file, line and column where
//! there is one; a secret is never in a message, an excerpt or an explanation.
//! Start reading at [`load`].

mod check;
mod document;
mod environment;
pub mod load;
pub mod model;
pub mod origin;
pub mod problem;
pub mod reference;
pub mod watch;

pub use load::{Flags, Loaded, Sources};
pub use model::{
    Config, Durability, LedgerConfig, LogFormat, ResponsesConfig, ServerConfig, StoreConfig, TelemetryConfig,
    TlsConfig,
};
pub use problem::{ConfigError, Problem, Severity};
pub use watch::Watch;
