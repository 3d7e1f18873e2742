//! Gemini's `generateContent`.

mod errors;
pub(crate) mod properties;
mod replies;
mod requests;
mod streams;

use steelyard_dialect::{Dialect, Outside};

const DIALECT: Dialect = Dialect::GeminiGenerate;
/// The same without `alt=sse`.
const ARRAY: Dialect = Dialect::GeminiArray;
/// A model that thinks in levels and wants its proofs back.
const GEMINI: &str = "gemini-3.8-flash";
/// One that thinks in tokens.
const GEMINI_2_5: &str = "gemini-2.5-pro";

/// A path that names a model.
const PATH: Outside<'static> = Outside { model: Some(GEMINI), stream: false, version: None, headers: None };
