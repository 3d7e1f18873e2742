//! Requests, both ways. `decode` reads the top level, `messages` the turns, `blocks` what they hold, `tools` what the
//! model may call, `order` checks the conversation; `encode` writes the top level, `turns` gathers messages into
//! turns, `parts` writes what they hold, `thinking` settles how the model thinks, `definitions` writes tools.

pub(crate) mod blocks;
mod calls;
pub(crate) mod decode;
mod definitions;
pub(crate) mod encode;
pub(crate) mod headers;
mod messages;
mod order;
pub(crate) mod parts;
mod thinking;
mod tools;
mod turns;
