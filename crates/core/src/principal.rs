//! Who is calling.

use std::sync::Arc;

use crate::{KeyId, ProjectId};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key that was presented; none for the admin key, which is not a row of any table.
    pub key: Option<KeyId>,
    /// What the ledger writes: the key's name, or `admin`.
    pub name: Arc<str>,
    /// The project whose routes it may use and whose bill it is on.
    pub project: ProjectId,
    /// The project's name, as the ledger writes it.
    pub project_name: Arc<str>,
    /// Whether it may do everything.
    pub admin: bool,
}
