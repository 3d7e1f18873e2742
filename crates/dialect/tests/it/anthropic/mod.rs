//! Anthropic Messages.

mod errors;
pub(crate) mod properties;
mod replies;
mod requests;
mod streams;

use steelyard_dialect::{Dialect, Outside};

const DIALECT: Dialect = Dialect::AnthropicMessages;

/// A request whose path and headers say nothing of it.
const NOWHERE: Outside<'static> = Outside { model: None, stream: false, version: None, headers: None };
