//! Keys: who may call. The secret is shown when it is made and never kept.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use steelyard_core::{KeyId, ProjectId, Timestamp};

use super::check_name;
use crate::db::{BEGIN_WRITE, Db, id_bytes, project_id, taken_or};
use crate::error::StoreError;
use crate::key::{KeyHash, Secret};

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub id: KeyId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// That project's name.
    pub project_name: String,
    /// Its name, unique among the live keys of the project.
    pub name: String,
    /// The last four characters of its newest secret.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// When it last got a new secret.
    pub rotated_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a new key is made from.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The project it belongs to.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// When it stops working; none: never.
    pub expires_at: Option<Timestamp>,
}

/// What to change of a key; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Another name.
    pub name: Option<String>,
    /// Another end, or none at all.
    pub expires_at: Option<Option<Timestamp>>,
}

/// One secret that opens a key, as the snapshot needs it. An expired key is among them, so that its caller can
/// be told so; a revoked one is not.
#[derive(Debug, Clone)]
pub struct ActiveSecret {
    /// Hash of the secret.
    pub hash: KeyHash,
    /// The key it opens. Look at `key.expires_at`.
    pub key: Key,
    /// When this secret stops working because a newer one took its place.
    pub valid_until: Option<Timestamp>,
}

/// The keys in the database.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    db: &'a Db,
}

/// A statement that reads keys; the macro keeps it one literal.
macro_rules! select_keys {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT keys.id, keys.project, projects.name AS project_name, keys.name, keys.hint, keys.created_at, \
             keys.expires_at, keys.rotated_at, keys.revoked_at",
            $columns,
            " FROM keys JOIN projects ON projects.id = keys.project ",
            $rest
        )
    };
}

impl<'a> Keys<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Makes a key and its secret. The secret is in this answer and nowhere else.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when a live key of the project has the name, [`StoreError::NotFound`] when
    /// the project is not there, [`StoreError::Invalid`] for a name that cannot be one.
    pub async fn create(&self, new: &NewKey) -> Result<(Key, Secret), StoreError> {
        check_name("key", &new.name)?;
        let (id, secret, now) = (KeyId::new(), Secret::generate(), self.db.now());
        let mut transaction = self.db.pool().begin_with(BEGIN_WRITE).await?;
        let made = sqlx::query(
            "INSERT INTO keys (id, project, name, hint, created_at, expires_at) \
             SELECT $1, id, $3, $4, $5, $6 FROM projects WHERE id = $2",
        )
        .bind(id.as_bytes().as_slice())
        .bind(new.project.as_bytes().as_slice())
        .bind(&new.name)
        .bind(secret.hint())
        .bind(now.0)
        .bind(new.expires_at.map(|at| at.0))
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken_or(error, "key", &new.name))?;
        if made.rows_affected() == 0 {
            return Err(StoreError::not_found("project", new.project));
        }
        add_secret(&mut transaction, id, &secret).await?;
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok((key, secret))
    }

    /// The keys of a project, or of all of them, oldest first. Revoked keys are among them.
    pub async fn list(&self, project: Option<ProjectId>) -> Result<Vec<Key>, StoreError> {
        let project = project.map(|project| project.as_bytes().to_vec());
        let rows = sqlx::query(select_keys!("", "WHERE $1 IS NULL OR keys.project = $1 ORDER BY keys.id"))
            .bind(project)
            .fetch_all(self.db.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// By id, revoked or not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: KeyId) -> Result<Key, StoreError> {
        let mut connection = self.db.pool().acquire().await?;
        fetch(&mut connection, id).await
    }

    /// By id, or by the name of a live key, within a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn find(&self, project: ProjectId, reference: &str) -> Result<Key, StoreError> {
        let wanted = reference.parse::<KeyId>().ok().map(|id| id.as_bytes().to_vec());
        let row = sqlx::query(select_keys!(
            "",
            "WHERE keys.project = $1 AND (keys.id = $2 OR (keys.name = $3 AND keys.revoked_at IS NULL)) \
             ORDER BY keys.id = $2 DESC LIMIT 1"
        ))
        .bind(project.as_bytes().as_slice())
        .bind(wanted)
        .bind(reference)
        .fetch_optional(self.db.pool())
        .await?;
        row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("key", reference))?
    }

    /// Changes name or end of a live key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also for a revoked key, [`StoreError::AlreadyExists`], [`StoreError::Invalid`].
    pub async fn update(&self, id: KeyId, change: &KeyChange) -> Result<Key, StoreError> {
        if let Some(name) = &change.name {
            check_name("key", name)?;
        }
        let mut transaction = self.db.pool().begin_with(BEGIN_WRITE).await?;
        let mut key = fetch_live(&mut transaction, id).await?;
        if let Some(name) = &change.name {
            key.name.clone_from(name);
        }
        if let Some(expires_at) = change.expires_at {
            key.expires_at = expires_at;
        }
        sqlx::query("UPDATE keys SET name = $2, expires_at = $3 WHERE id = $1")
            .bind(id.as_bytes().as_slice())
            .bind(&key.name)
            .bind(key.expires_at.map(|at| at.0))
            .execute(&mut *transaction)
            .await
            .map_err(|error| taken_or(error, "key", &key.name))?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Gives a live key a new secret. The one before it works for `grace` longer, and older ones work on to the
    /// end that was promised for them. With no grace all of them stop now: that is how a leaked secret is ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also for a revoked key.
    pub async fn rotate(&self, id: KeyId, grace: Duration) -> Result<(Key, Secret), StoreError> {
        let (secret, now) = (Secret::generate(), self.db.now());
        let mut transaction = self.db.pool().begin_with(BEGIN_WRITE).await?;
        fetch_live(&mut transaction, id).await?;
        let key = id.as_bytes().as_slice();
        sqlx::query("DELETE FROM key_secrets WHERE key = $1 AND ($2 OR valid_until <= $3)")
            .bind(key)
            .bind(grace.is_zero())
            .bind(now.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE key_secrets SET valid_until = $2 WHERE key = $1 AND valid_until IS NULL")
            .bind(key)
            .bind(now.plus(grace).0)
            .execute(&mut *transaction)
            .await?;
        add_secret(&mut transaction, id, &secret).await?;
        sqlx::query("UPDATE keys SET hint = $2, rotated_at = $3 WHERE id = $1")
            .bind(key)
            .bind(secret.hint())
            .bind(now.0)
            .execute(&mut *transaction)
            .await?;
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok((key, secret))
    }

    /// Ends a key for good: its secrets are deleted, its name is free, its row stays for the ledger's readers.
    /// Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke(&self, id: KeyId) -> Result<Key, StoreError> {
        let mut transaction = self.db.pool().begin_with(BEGIN_WRITE).await?;
        sqlx::query("DELETE FROM key_secrets WHERE key = $1")
            .bind(id.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
            .bind(id.as_bytes().as_slice())
            .bind(self.db.now().0)
            .execute(&mut *transaction)
            .await?;
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Every secret that opens a key now or, after a rotation, for a while longer: what the snapshot is made of.
    pub async fn load_all(&self) -> Result<Vec<ActiveSecret>, StoreError> {
        let rows = sqlx::query(select_keys!(
            ", key_secrets.hash, key_secrets.valid_until",
            "JOIN key_secrets ON key_secrets.key = keys.id \
             WHERE keys.revoked_at IS NULL AND (key_secrets.valid_until IS NULL OR key_secrets.valid_until > $1) \
             ORDER BY keys.id"
        ))
        .bind(self.db.now().0)
        .fetch_all(self.db.pool())
        .await?;
        let active = rows.iter().map(|row| {
            let hash: &[u8] = row.try_get("hash")?;
            let hash = hash.try_into().map_err(|error: std::array::TryFromSliceError| {
                StoreError::corrupt("the hash of a key's secret", error)
            })?;
            Ok(ActiveSecret {
                hash: KeyHash::from_bytes(hash),
                key: read(row)?,
                valid_until: row.try_get::<Option<i64>, _>("valid_until")?.map(Timestamp),
            })
        });
        active.collect()
    }
}

async fn add_secret(connection: &mut SqliteConnection, id: KeyId, secret: &Secret) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO key_secrets (hash, key) VALUES ($1, $2)")
        .bind(secret.hash().as_bytes().as_slice())
        .bind(id.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

async fn fetch(connection: &mut SqliteConnection, id: KeyId) -> Result<Key, StoreError> {
    let row = sqlx::query(select_keys!("", "WHERE keys.id = $1"))
        .bind(id.as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("key", id))?
}

async fn fetch_live(connection: &mut SqliteConnection, id: KeyId) -> Result<Key, StoreError> {
    let key = fetch(connection, id).await?;
    if key.revoked_at.is_some() { Err(StoreError::not_found("key", id)) } else { Ok(key) }
}

fn read(row: &SqliteRow) -> Result<Key, StoreError> {
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp));
    Ok(Key {
        id: KeyId::from_bytes(id_bytes("a key's id", row.try_get("id")?)?),
        project: project_id(row.try_get("project")?)?,
        project_name: row.try_get("project_name")?,
        name: row.try_get("name")?,
        hint: row.try_get("hint")?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: time("expires_at")?,
        rotated_at: time("rotated_at")?,
        revoked_at: time("revoked_at")?,
    })
}
