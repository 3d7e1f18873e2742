//! OpenAI Responses.

mod errors;
pub(crate) mod properties;
mod replies;
mod requests;
mod streams;

use steelyard_dialect::Dialect;

const DIALECT: Dialect = Dialect::OpenAiResponses;
