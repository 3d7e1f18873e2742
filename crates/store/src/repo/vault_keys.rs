//! The vault's data keys: at least one for each project that has something sealed.

use std::collections::HashMap;

use steelyard_core::ProjectId;

use crate::DataDir;
use crate::db::{Db, Pool, Row, Transaction, id_bytes, project_id, sql};
use crate::error::StoreError;
use crate::vault::{Context, DataKey, MasterKey, VaultError, random};

/// The key under which everything is sealed, from the data directory; made there if nothing is sealed yet.
///
/// # Errors
/// [`StoreError::Invalid`] when it is missing or another one although something is sealed.
pub(crate) async fn unlock(pool: &Pool, dir: &DataDir) -> Result<MasterKey, StoreError> {
    let rows = pool.fetch(sql("SELECT id, project, sealed FROM vault_keys")).await?;
    let path = dir.vault_key_file();
    let Some(master) = dir.vault_key()? else {
        if rows.is_empty() {
            return dir.make_vault_key();
        }
        return Err(StoreError::Invalid(format!(
            "{} is missing, and secrets in the database are sealed under it: put it back from a backup",
            path.display()
        )));
    };
    for row in &rows {
        if matches!(read(&master, row)?, Err(VaultError::OtherKey)) {
            return Err(StoreError::Invalid(format!(
                "{} is not the key under which secrets in the database are sealed: put that one back from a backup",
                path.display()
            )));
        }
    }
    Ok(master)
}

/// Every data key that opens, by id. One that does not is logged: what it sealed cannot be had.
pub(super) async fn all(
    db: &Db,
    transaction: &mut Transaction<'_>,
) -> Result<HashMap<[u8; 16], DataKey>, StoreError> {
    opened(db, &transaction.fetch(sql("SELECT id, project, sealed FROM vault_keys")).await?)
}

/// The data keys of one project that open, by id; as [`all`].
pub(super) async fn of_project(
    db: &Db,
    transaction: &mut Transaction<'_>,
    project: ProjectId,
) -> Result<HashMap<[u8; 16], DataKey>, StoreError> {
    let select =
        sql("SELECT id, project, sealed FROM vault_keys WHERE project = $1").bind(project.as_bytes());
    opened(db, &transaction.fetch(select).await?)
}

fn opened(db: &Db, rows: &[Row]) -> Result<HashMap<[u8; 16], DataKey>, StoreError> {
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        match read(db.master(), row)? {
            Ok(key) => {
                keys.insert(id(row)?, key);
            }
            Err(error) => tracing::error!(%error, "a data key of the vault does not open"),
        }
    }
    Ok(keys)
}

/// The data key that seals for a project, made if there is none yet.
pub(super) async fn current(
    db: &Db,
    transaction: &mut Transaction<'_>,
    project: ProjectId,
) -> Result<DataKey, StoreError> {
    let newest =
        sql("SELECT id, project, sealed FROM vault_keys WHERE project = $1 ORDER BY created_at DESC LIMIT 1")
            .bind(project.as_bytes());
    if let Some(row) = transaction.fetch_optional(newest).await? {
        return read(db.master(), &row)?
            .map_err(|error| StoreError::corrupt("a data key of the vault", error));
    }
    let id = random::<16>();
    let (key, sealed) = db.master().make(id, &context(&id, project));
    let insert = sql("INSERT INTO vault_keys (id, project, sealed, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&id)
        .bind(project.as_bytes())
        .bind(sealed)
        .bind(db.now().0);
    transaction.execute(insert).await?;
    Ok(key)
}

fn context(id: &[u8; 16], project: ProjectId) -> Context<'_> {
    Context { table: "vault_keys", column: "sealed", row: id, project }
}

fn id(row: &Row) -> Result<[u8; 16], StoreError> {
    id_bytes("the id of a data key", row.try_get("id")?)
}

fn read(master: &MasterKey, row: &Row) -> Result<Result<DataKey, VaultError>, StoreError> {
    let (id, project) = (id(row)?, project_id(row.try_get("project")?)?);
    Ok(master.open(id, &context(&id, project), row.try_get("sealed")?))
}
