//! The dialects' routes: what an unmodified client of a vendor calls.

pub(crate) mod openai;
