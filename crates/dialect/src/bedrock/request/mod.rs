//! Requests, both ways. `decode` reads the top level, `messages` the conversation, `order` checks it, `additional` reads
//! the fields that are a model's own; `encode` writes, `turns`, `tools` and `thinking` prepare it, and `losses` names
//! what it cannot write.

mod additional;
pub(crate) mod decode;
pub(crate) mod encode;
mod losses;
mod messages;
mod order;
mod thinking;
mod tools;
mod turns;
