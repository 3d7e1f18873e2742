//! Requests, both ways.

pub(crate) mod decode;
pub(crate) mod encode;
mod items;
mod order;
mod tools;
