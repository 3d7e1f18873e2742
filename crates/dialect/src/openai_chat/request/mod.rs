//! Requests, both ways. `decode` reads the top level, `messages` one message, `order` checks the conversation.

pub(crate) mod decode;
mod messages;
mod order;
pub(crate) mod encode;
