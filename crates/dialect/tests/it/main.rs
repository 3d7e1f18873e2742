//! Golden files and properties of the wire, through the public API only.

mod errors;
mod fixtures;
mod properties;
mod replies;
mod requests;
mod streams;
