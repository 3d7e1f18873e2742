//! Requests, both ways.

mod config;
pub(crate) mod decode;
mod definitions;
pub(crate) mod encode;
mod losses;
mod order;
mod thinking;
mod tools;
mod turns;
