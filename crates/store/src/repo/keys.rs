//! Keys: who may call. The secret is shown when it is made and never kept.

use std::time::Duration;

use steelyard_core::{KeyId, ProjectId, Timestamp};

use super::aws::{self, ActivePair};
use super::check_name;
use crate::db::{Db, Row, Statement, Transaction, id_bytes, project_id, sql, taken_or};
use crate::error::StoreError;
use crate::key::{AwsPair, KeyHash, Secret};

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
    /// The access key id of its newest pair, if it is one with which AWS's SDKs sign.
    pub aws_access_key_id: Option<String>,
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
    /// Whether it gets a pair with which AWS's SDKs sign.
    pub aws: bool,
}

/// What opens a key, shown once.
#[derive(Debug, Clone)]
pub struct NewSecrets {
    /// What is sent along with a call.
    pub bearer: Secret,
    /// What a call is signed with.
    pub aws: Option<AwsPair>,
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

/// Everything that opens a key, of one moment.
#[derive(Debug, Clone, Default)]
pub struct Active {
    /// Secrets that are sent along.
    pub secrets: Vec<ActiveSecret>,
    /// Pairs that sign.
    pub pairs: Vec<ActivePair>,
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
            "SELECT keys.id, keys.project, projects.name AS project_name, keys.name, keys.hint, \
             keys.aws_access_key_id, keys.created_at, keys.expires_at, keys.rotated_at, keys.revoked_at",
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

    /// Makes a key and its secrets. They are in this answer; after it, what is sent along is nowhere, and what signs is
    /// sealed in the vault.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when a live key of the project has the name, [`StoreError::NotFound`] when
    /// the project is not there, [`StoreError::Invalid`] for a name that cannot be one.
    pub async fn create(&self, new: &NewKey) -> Result<(Key, NewSecrets), StoreError> {
        check_name("key", &new.name)?;
        let (id, secret, now) = (KeyId::new(), Secret::generate(), self.db.now());
        let mut transaction = self.db.pool().begin().await?;
        let insert = sql("INSERT INTO keys (id, project, name, hint, created_at, expires_at) \
             SELECT $1, id, $3, $4, $5, $6 FROM projects WHERE id = $2")
        .bind(id.as_bytes())
        .bind(new.project.as_bytes())
        .bind(&new.name)
        .bind(secret.hint())
        .bind(now.0)
        .bind(new.expires_at.map(|at| at.0));
        let made = transaction.execute(insert).await.map_err(|error| taken_or(error, "key", &new.name))?;
        if made == 0 {
            return Err(StoreError::not_found("project", new.project));
        }
        add_secret(&mut transaction, id, &secret).await?;
        let aws =
            if new.aws { Some(aws::add(self.db, &mut transaction, id, new.project).await?) } else { None };
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok((key, NewSecrets { bearer: secret, aws }))
    }

    /// The keys of a project, or of all of them, oldest first. Revoked keys are among them.
    pub async fn list(&self, project: Option<ProjectId>) -> Result<Vec<Key>, StoreError> {
        let select = sql(select_keys!("", "WHERE $1 IS NULL OR keys.project = $1 ORDER BY keys.id"));
        let project = project.as_ref().map(ProjectId::as_bytes);
        let rows = self.db.pool().fetch(select.bind(project)).await?;
        rows.iter().map(read).collect()
    }

    /// By id, revoked or not.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get(&self, id: KeyId) -> Result<Key, StoreError> {
        let row = self.db.pool().fetch_optional(select_key(id)).await?;
        row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("key", id))?
    }

    /// By id, or by the name of a live key, within a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn find(&self, project: ProjectId, reference: &str) -> Result<Key, StoreError> {
        let wanted = reference.parse::<KeyId>().ok();
        let select = sql(select_keys!(
            "",
            "WHERE keys.project = $1 AND (keys.id = $2 OR (keys.name = $3 AND keys.revoked_at IS NULL)) \
             ORDER BY keys.id = $2 DESC LIMIT 1"
        ))
        .bind(project.as_bytes())
        .bind(wanted.as_ref().map(KeyId::as_bytes))
        .bind(reference);
        let row = self.db.pool().fetch_optional(select).await?;
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
        let mut transaction = self.db.pool().begin().await?;
        let update = sql(
            "UPDATE keys SET name = COALESCE($2, name), expires_at = CASE WHEN $3 THEN $4 ELSE expires_at END \
             WHERE id = $1 AND revoked_at IS NULL",
        )
        .bind(id.as_bytes())
        .bind(change.name.clone())
        .bind(change.expires_at.is_some())
        .bind(change.expires_at.flatten().map(|at| at.0));
        let name = change.name.as_deref().unwrap_or_default();
        let live = transaction.execute(update).await.map_err(|error| taken_or(error, "key", name))?;
        if live == 0 {
            return Err(StoreError::not_found("key", id));
        }
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Gives a live key a new secret, and a new pair if it has one. The one before it works for `grace` longer, and older ones work on to the
    /// end that was promised for them. With no grace all of them stop now: that is how a leaked secret is ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] also for a revoked key.
    pub async fn rotate(&self, id: KeyId, grace: Duration) -> Result<(Key, NewSecrets), StoreError> {
        let (secret, now) = (Secret::generate(), self.db.now());
        let mut transaction = self.db.pool().begin().await?;
        // First what keeps everybody else away from this key until the end.
        let update = sql("UPDATE keys SET hint = $2, rotated_at = $3 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id.as_bytes())
            .bind(secret.hint())
            .bind(now.0);
        if transaction.execute(update).await? == 0 {
            return Err(StoreError::not_found("key", id));
        }
        for delete in [
            "DELETE FROM key_secrets WHERE key = $1 AND ($2 OR valid_until <= $3)",
            "DELETE FROM aws_secrets WHERE key = $1 AND ($2 OR valid_until <= $3)",
        ] {
            let delete = sql(delete).bind(id.as_bytes()).bind(grace.is_zero()).bind(now.0);
            transaction.execute(delete).await?;
        }
        for end in [
            "UPDATE key_secrets SET valid_until = $2 WHERE key = $1 AND valid_until IS NULL",
            "UPDATE aws_secrets SET valid_until = $2 WHERE key = $1 AND valid_until IS NULL",
        ] {
            transaction.execute(sql(end).bind(id.as_bytes()).bind(now.plus(grace).0)).await?;
        }
        add_secret(&mut transaction, id, &secret).await?;
        let mut key = fetch(&mut transaction, id).await?;
        let mut aws = None;
        if key.aws_access_key_id.is_some() {
            let pair = aws::add(self.db, &mut transaction, id, key.project).await?;
            key.aws_access_key_id = Some(pair.access_key_id.clone());
            aws = Some(pair);
        }
        transaction.commit().await?;
        Ok((key, NewSecrets { bearer: secret, aws }))
    }

    /// Ends a key for good: its secrets are deleted, its name is free, its row stays for the ledger's readers.
    /// Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke(&self, id: KeyId) -> Result<Key, StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let update = sql("UPDATE keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
            .bind(id.as_bytes())
            .bind(self.db.now().0);
        transaction.execute(update).await?;
        for delete in ["DELETE FROM key_secrets WHERE key = $1", "DELETE FROM aws_secrets WHERE key = $1"] {
            transaction.execute(sql(delete).bind(id.as_bytes())).await?;
        }
        let key = fetch(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Everything that opens a key now or, after a rotation, for a while longer: what the snapshot is made of.
    pub async fn load_all(&self) -> Result<Active, StoreError> {
        let now = self.db.now().0;
        let mut transaction = self.db.pool().begin_read().await?;
        let secrets = sql(select_keys!(
            ", key_secrets.hash, key_secrets.valid_until",
            "JOIN key_secrets ON key_secrets.key = keys.id \
             WHERE keys.revoked_at IS NULL AND (key_secrets.valid_until IS NULL OR key_secrets.valid_until > $1) \
             ORDER BY keys.id"
        ));
        let secrets = transaction.fetch(secrets.bind(now)).await?;
        let pairs = sql(select_keys!(
            ", aws_secrets.access_key_id, aws_secrets.sealed, aws_secrets.valid_until",
            "JOIN aws_secrets ON aws_secrets.key = keys.id \
             WHERE keys.revoked_at IS NULL AND (aws_secrets.valid_until IS NULL OR aws_secrets.valid_until > $1) \
             ORDER BY keys.id"
        ));
        let pairs = transaction.fetch(pairs.bind(now)).await?;
        let pairs = pairs.into_iter().map(|row| Ok((read(&row)?, row))).collect::<Result<_, StoreError>>()?;
        let pairs = aws::open_all(self.db, &mut transaction, pairs).await?;
        transaction.commit().await?;
        let secrets = secrets.iter().map(|row| {
            let hash: &[u8] = row.try_get("hash")?;
            let hash = hash.try_into().map_err(|error: std::array::TryFromSliceError| {
                StoreError::corrupt("the hash of a key's secret", error)
            })?;
            Ok(ActiveSecret {
                hash: KeyHash::from_bytes(hash),
                key: read(row)?,
                valid_until: row.try_get::<Option<i64>>("valid_until")?.map(Timestamp),
            })
        });
        Ok(Active { secrets: secrets.collect::<Result<_, StoreError>>()?, pairs })
    }
}

async fn add_secret(transaction: &mut Transaction<'_>, id: KeyId, secret: &Secret) -> Result<(), StoreError> {
    let insert = sql("INSERT INTO key_secrets (hash, key) VALUES ($1, $2)")
        .bind(secret.hash().as_bytes())
        .bind(id.as_bytes());
    transaction.execute(insert).await?;
    Ok(())
}

fn select_key(id: KeyId) -> Statement {
    sql(select_keys!("", "WHERE keys.id = $1")).bind(id.as_bytes())
}

async fn fetch(transaction: &mut Transaction<'_>, id: KeyId) -> Result<Key, StoreError> {
    let row = transaction.fetch_optional(select_key(id)).await?;
    row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("key", id))?
}

fn read(row: &Row) -> Result<Key, StoreError> {
    let time = |column: &str| row.try_get::<Option<i64>>(column).map(|at| at.map(Timestamp));
    Ok(Key {
        id: KeyId::from_bytes(id_bytes("a key's id", row.try_get("id")?)?),
        project: project_id(row.try_get("project")?)?,
        project_name: row.try_get("project_name")?,
        name: row.try_get("name")?,
        hint: row.try_get("hint")?,
        aws_access_key_id: row.try_get("aws_access_key_id")?,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: time("expires_at")?,
        rotated_at: time("rotated_at")?,
        revoked_at: time("revoked_at")?,
    })
}
