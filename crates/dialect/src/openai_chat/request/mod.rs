//! Requests, both ways. `decode` reads the top level, `messages` one message, `order` checks the conversation;
//! `encode` writes, and `losses` names what it cannot write.

pub(crate) mod decode;
pub(crate) mod encode;
mod losses;
mod messages;
mod order;
