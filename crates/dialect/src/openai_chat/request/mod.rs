//! Requests, both ways. `decode` reads the top level, `messages` one message, `order` checks the conversation.

pub(crate) mod decode;
pub(crate) mod encode;
mod messages;
mod order;
