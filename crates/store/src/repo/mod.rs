//! The resources, one file each: plain structs in, plain structs out, SQL inside.

mod aws;
mod conversations;
mod keys;
mod ledger;
mod projects;
mod responses;
mod secrets;
mod usage;
pub(crate) mod vault_keys;

pub use aws::ActivePair;
pub use conversations::{Conversation, ConversationItem, ConversationItems, Conversations};
pub use keys::{Active, ActiveSecret, Key, KeyChange, Keys, NewKey, NewSecrets};
pub use ledger::Ledger;
pub(crate) use ledger::{Row, insert};
pub use projects::{Project, Projects};
pub use responses::{Chain, NewResponse, Responses, StoredResponse};
pub use secrets::{Secrets, StoredSecret};
pub use usage::{Dimension, UnknownDimension, UsageFilter, UsageRow};

use crate::StoreError;

/// A name that people type: 1 to 100 characters, none of them a control character, no space at either end.
fn check_name(what: &str, name: &str) -> Result<(), StoreError> {
    let long = name.chars().count() > 100;
    if name.is_empty() || long || name.trim() != name || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(100).collect();
        return Err(StoreError::Invalid(format!(
            "`{shown}` is not a name for a {what}: use 1 to 100 characters, without spaces at the ends"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
