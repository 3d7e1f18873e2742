//! Pairs with which AWS's SDKs sign: a second credential of a key, beside the one that is sent along.

use steelyard_core::{KeyId, ProjectId, Timestamp};

use super::{Key, vault_keys};
use crate::db::{Db, Row, Transaction, sql};
use crate::error::StoreError;
use crate::key::{AwsPair, Secret};
use crate::vault::{Context, DataKey, VaultError};

/// One pair that signs for a key, as the snapshot needs it.
#[derive(Debug, Clone)]
pub struct ActivePair {
    /// What a signature names.
    pub access_key_id: String,
    /// What it is made with, in clear.
    pub secret_access_key: Secret,
    /// The key it signs for. Look at `key.expires_at`.
    pub key: Key,
    /// When this pair stops working because a newer one took its place.
    pub valid_until: Option<Timestamp>,
}

fn context(access_key_id: &str, project: ProjectId) -> Context<'_> {
    Context { table: "aws_secrets", column: "sealed", row: access_key_id.as_bytes(), project }
}

/// Makes a pair for a key, its newest one.
pub(super) async fn add(
    db: &Db,
    transaction: &mut Transaction<'_>,
    key: KeyId,
    project: ProjectId,
) -> Result<AwsPair, StoreError> {
    let pair = AwsPair::generate();
    let data_key = vault_keys::current(db, transaction, project).await?;
    let clear = pair.secret_access_key.expose().as_bytes();
    let sealed = data_key.seal(&context(&pair.access_key_id, project), clear);
    let insert = sql("INSERT INTO aws_secrets (access_key_id, key, sealed) VALUES ($1, $2, $3)")
        .bind(&pair.access_key_id)
        .bind(key.as_bytes())
        .bind(sealed);
    transaction.execute(insert).await?;
    let name = sql("UPDATE keys SET aws_access_key_id = $2 WHERE id = $1")
        .bind(key.as_bytes())
        .bind(&pair.access_key_id);
    transaction.execute(name).await?;
    Ok(pair)
}

/// Reads rows of `aws_secrets` joined with their keys. A pair whose secret does not open is logged and left out: one
/// damaged row must not keep all other keys from calling.
pub(super) async fn open_all(
    db: &Db,
    transaction: &mut Transaction<'_>,
    rows: Vec<(Key, Row)>,
) -> Result<Vec<ActivePair>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let data_keys = vault_keys::all(db, transaction).await?;
    let mut pairs = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let access_key_id: String = row.try_get("access_key_id")?;
        let sealed: &[u8] = row.try_get("sealed")?;
        let data_key = DataKey::id_in(sealed).and_then(|id| data_keys.get(&id)).ok_or(VaultError::OtherKey);
        let opened = data_key.and_then(|data_key| {
            let clear = data_key.open(&context(&access_key_id, key.project), sealed)?;
            std::str::from_utf8(&clear)
                .map(|text| Secret::from(text.to_owned()))
                .map_err(|_| VaultError::Broken)
        });
        match opened {
            Ok(secret_access_key) => {
                let valid_until = row.try_get::<Option<i64>>("valid_until")?.map(Timestamp);
                pairs.push(ActivePair { access_key_id, secret_access_key, key, valid_until });
            }
            Err(error) => {
                tracing::error!(key.id = %key.id, %error, "the secret of an AWS-style key does not open; it is left out");
            }
        }
    }
    Ok(pairs)
}
