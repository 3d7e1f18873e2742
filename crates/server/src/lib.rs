//! The HTTP surface.
//!
//! Owns: the listener, authentication, the dialects' routes, the management API under `/api/v1`, health and metrics,
//! and the order of shutdown. The only crate that knows axum.
//! Must never: decide what a call costs, where it goes or whether it is recorded; hold SQL.
//! Start reading at [`app`] for the table of routes, and at [`dialect::openai`] for the life of a request.

mod api;
pub mod app;
mod auth;
mod body;
pub mod control;
mod dialect;
pub mod drain;
mod head;
mod health;
mod linger;
pub mod listen;
mod scrape;
pub mod tls;

pub use app::{App, Busy, Limits};
pub use auth::SigningKeys;
pub use control::Control;
pub use drain::Drain;
pub use scrape::install_recorder;
