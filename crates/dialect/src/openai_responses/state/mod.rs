//! What this wire keeps between calls, as functions of bytes: where it is kept is not known here.
//!
//! A request that goes on from an earlier answer becomes one that brings all of its conversation, so that every target can
//! serve it and no vendor is asked to keep anything. Its answer tells the state as the client sees it. What reaches a target
//! is then no other than what a client without state would have sent.
//!
//! | file | work |
//! |---|---|
//! | `turn` | what a request wants kept and goes on from; the request with all of its conversation |
//! | `kept` | what was put into it, so that faults and losses are named as the caller wrote them |
//! | `items` | items as they are listed, and as they go to a target again |
//! | `told` | answers, whole and streamed, that tell of the state |
//! | `list` | pages of items |
//! | `conversation` | conversations, as clients begin and change them |

mod conversation;
mod items;
mod kept;
mod list;
mod told;
mod turn;

pub use conversation::{Conversing, conversation, distinct};
pub use items::{id_of, output};
pub use kept::Kept;
pub use list::List;
pub use told::{Piece, Told};
pub use turn::Turn;
