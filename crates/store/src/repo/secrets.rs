//! Credentials at vendors, sealed in the vault: what `vault:NAME` in a channel's declaration means.

use std::collections::HashMap;

use steelyard_core::{ProjectId, Timestamp};

use super::{check_name, vault_keys};
use crate::db::{DEFAULT_PROJECT, Db, Row, sql};
use crate::error::StoreError;
use crate::key::Secret;
use crate::vault::{Context, DataKey, VaultError};

/// A secret of the vault, without what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its name, unique.
    pub name: String,
    /// When one of this name was first put in.
    pub created_at: Timestamp,
    /// When this value was.
    pub updated_at: Timestamp,
}

/// The secrets in the vault.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    db: &'a Db,
}

/// Channels belong to the server as a whole, so their secrets are sealed by the key of its first project.
fn context(name: &str, project: ProjectId) -> Context<'_> {
    Context { table: "secrets", column: "sealed", row: name.as_bytes(), project }
}

impl<'a> Secrets<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Seals a value under a name, in the place of the one that was there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that cannot be one, or an empty value.
    pub async fn set(&self, name: &str, value: &Secret) -> Result<StoredSecret, StoreError> {
        check_name("secret", name)?;
        if value.expose().trim().is_empty() {
            return Err(StoreError::Invalid(format!("the secret `{name}` is empty")));
        }
        let project = self.db.projects().find(DEFAULT_PROJECT).await?.id;
        let mut transaction = self.db.pool().begin().await?;
        let data_key = vault_keys::current(self.db, &mut transaction, project).await?;
        let sealed = data_key.seal(&context(name, project), value.expose().trim().as_bytes());
        let upsert =
            sql("INSERT INTO secrets (name, sealed, created_at, updated_at) VALUES ($1, $2, $3, $3) \
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at \
             RETURNING name, created_at, updated_at")
            .bind(name)
            .bind(sealed)
            .bind(self.db.now().0);
        let row = transaction.fetch_optional(upsert).await?;
        transaction.commit().await?;
        row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("secret", name))?
    }

    /// All of them, by name.
    pub async fn list(&self) -> Result<Vec<StoredSecret>, StoreError> {
        let select = sql("SELECT name, created_at, updated_at FROM secrets ORDER BY name");
        self.db.pool().fetch(select).await?.iter().map(read).collect()
    }

    /// Takes one out.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let delete = sql("DELETE FROM secrets WHERE name = $1").bind(name);
        match self.db.pool().execute(delete).await? {
            0 => Err(StoreError::not_found("secret", name)),
            _ => Ok(()),
        }
    }

    /// Every one in clear, by name. One that does not open is logged and left out: a damaged row must not keep all
    /// other channels from being called.
    pub async fn open_all(&self) -> Result<HashMap<String, Secret>, StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let rows = transaction.fetch(sql("SELECT name, sealed FROM secrets")).await?;
        let mut opened = HashMap::with_capacity(rows.len());
        if !rows.is_empty() {
            let data_keys = vault_keys::all(self.db, &mut transaction).await?;
            let project = self.db.projects().find(DEFAULT_PROJECT).await?.id;
            for row in rows {
                let name: String = row.try_get("name")?;
                match open(&data_keys, &name, project, row.try_get("sealed")?) {
                    Ok(secret) => {
                        opened.insert(name, secret);
                    }
                    Err(error) => {
                        tracing::error!(secret.name = %name, %error, "a secret of the vault does not open; it is left out");
                    }
                }
            }
        }
        transaction.commit().await?;
        Ok(opened)
    }
}

fn open(
    data_keys: &HashMap<[u8; 16], DataKey>,
    name: &str,
    project: ProjectId,
    sealed: &[u8],
) -> Result<Secret, VaultError> {
    let data_key = DataKey::id_in(sealed).and_then(|id| data_keys.get(&id)).ok_or(VaultError::OtherKey)?;
    let clear = data_key.open(&context(name, project), sealed)?;
    let text = std::str::from_utf8(&clear).map_err(|_| VaultError::Broken)?;
    Ok(Secret::from(text.to_owned()))
}

fn read(row: &Row) -> Result<StoredSecret, StoreError> {
    Ok(StoredSecret {
        name: row.try_get("name")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
