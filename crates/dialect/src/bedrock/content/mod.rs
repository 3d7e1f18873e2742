//! Blocks of content, both ways, of requests and of answers.

mod citations;
mod decode;
mod documents;
mod encode;

pub(crate) use citations::{decode as decode_citation, encode as encode_citation};
pub(crate) use decode::{Found, cache_point as read_cache_point, exactly, one_of, part, text_of};
pub(crate) use documents::picture_format;
pub(crate) use encode::{Block, Blocks, Purpose, arguments, cache_point};
