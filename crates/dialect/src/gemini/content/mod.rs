//! Parts of content, both ways.
//!
//! A part is one thing, and what else stands beside it: above all the `thoughtSignature`, Gemini's proof of what it
//! thought, which must come back on the very same part. Beside a text it is carried in the text's own `extra`; beside
//! anything else in a [`Part::Foreign`](crate::chat::Part) that follows the part and goes back onto it.

mod decode;
mod encode;

pub(crate) use decode::{Ids, Speaker, parts, picture, placed};
pub(crate) use encode::{Block, Blocks, Purpose};

/// The member that proves what was thought.
pub(crate) const SIGNATURE: &str = "thoughtSignature";
/// The kinds of foreign parts that stand beside another part: only the proof, which every other wire can do without, or
/// more than it.
pub(crate) const BESIDE: &str = "beside";

/// Texts that stand for a proof where there is none ("Thought signatures": calls that the model did not make).
pub(crate) const NO_SIGNATURE: [&str; 2] =
    ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];
