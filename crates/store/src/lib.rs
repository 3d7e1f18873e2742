//! What Steelyard keeps: the data directory, the database, and the spool that no crash can lose a call from.
//!
//! Owns: the data directory and its lock, every SQL statement, the projects, keys and ledger in
//! `steelyard.db` or on PostgreSQL, the [`vault`] that seals secrets there, the spool in `spool.db` (which implements
//! [`steelyard_core::port::Ledger`]) and the settler that moves entries from the one to the other.
//! Must never: speak HTTP, know a wire dialect, a provider or a price, or touch the disk on a thread of the
//! async runtime.
//! Start reading at [`spool`]: how a record becomes durable. Then [`settle`]: how it reaches the ledger exactly
//! once. [`repo`] holds the plain resources.
//!
//! ```no_run
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use steelyard_core::Clock;
//! use steelyard_store::{DataDir, Db, Durability, Settler, Spool, SpoolOptions};
//!
//! let dir = DataDir::open("data".as_ref())?; // fails if another process has it
//! let db = Db::open(&dir, Durability::Process, Clock::System).await?;
//! let (spool, recovered) = Spool::open(&dir, SpoolOptions::default(), Clock::System)?;
//! let settler = Settler::start(&db, &spool)?;
//! // … serve calls with `spool` as the ledger port …
//! settler.close(Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```
#![warn(missing_docs)]

pub mod data_dir;
pub mod db;
pub mod error;
pub mod key;
mod record;
pub mod repo;
pub mod settle;
pub mod spool;
#[cfg(test)]
mod testing;
pub mod vault;

pub use data_dir::DataDir;
pub use db::{Db, Durability};
pub use error::StoreError;
pub use key::{AwsPair, KeyHash, Secret};
pub use settle::Settler;
pub use spool::{Spool, SpoolOptions};
