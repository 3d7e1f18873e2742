//! Steelyard's words, and nothing that does IO.
//!
//! Owns: ids, [`Money`], [`Usage`], errors and their codes, the [`Clock`], principals, the records that
//! make up the ledger, and the ports that `gateway` calls and `store` implements.
//! Must never: open a file or a socket, read the system time outside [`Clock`], know a wire dialect,
//! a price or a SQL statement.
//! Start reading at [`record`]: what is written down about a call is what the rest of the house is for.
#![warn(missing_docs)]

pub mod clock;
pub mod error;
pub mod id;
pub mod money;
pub mod port;
pub mod principal;
pub mod record;
pub mod usage;

pub use clock::{Clock, Timestamp};
pub use error::{ApiError, ErrorCode, ErrorKind};
pub use id::{ConversationId, EntryId, KeyId, ProjectId, RequestId, ResponseId};
pub use money::{Money, UnitPrice};
pub use principal::Principal;
pub use usage::{Usage, UsageClass};
