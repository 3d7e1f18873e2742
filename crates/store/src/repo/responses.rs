//! Answers of the Responses API: kept sealed for a while, for callers of the project that got them.
//!
//! An answer and what its call brought are sealed by the key of the project. What is in clear is which one it is, which one
//! it went on from, how large it is, and until when it is kept. A call that goes on from an answer keeps all that came before
//! as long as itself, so a chain that is in use has no holes.

use std::collections::HashMap;

use secrecy::zeroize::Zeroizing;
use steelyard_core::{ProjectId, ResponseId, Timestamp};

use super::vault_keys;
use crate::db::{Db, Row, Statement, Transaction, id_bytes, sql};
use crate::error::StoreError;
use crate::vault::{Context, DataKey, VaultError};

/// A chain is followed so far.
const LONGEST_CHAIN: i64 = 10_000;
/// So many are forgotten in one transaction, so that nobody waits for long.
const SWEPT_AT_ONCE: i64 = 200;

/// An answer that is to be kept.
#[derive(Debug, Clone)]
pub struct NewResponse {
    /// Which one.
    pub id: ResponseId,
    /// The chain that it went on from, oldest first; empty if it began one.
    pub chain: Vec<ResponseId>,
    /// The answer as the caller gets it, JSON.
    pub answer: Vec<u8>,
    /// The items that the call brought, a JSON array.
    pub input: Vec<u8>,
    /// The ids of its items.
    pub items: Vec<String>,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// An answer that was kept.
#[derive(Clone)]
pub struct StoredResponse {
    /// Which one.
    pub id: ResponseId,
    /// The answer as the caller got it, JSON.
    pub answer: Zeroizing<Vec<u8>>,
    /// The items that the call brought, a JSON array.
    pub input: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredResponse").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An answer with all that came before it.
#[derive(Debug, Clone)]
pub enum Chain {
    /// Oldest first; the last is the one that was asked for.
    Whole(Vec<StoredResponse>),
    /// There is none of that id, or something before it was deleted: the one that is missing.
    Missing(ResponseId),
    /// It has more bytes than were asked for.
    TooLarge(u64),
}

/// The answers that are kept.
#[derive(Debug, Clone, Copy)]
pub struct Responses<'a> {
    db: &'a Db,
}

fn context<'a>(column: &'a str, id: &'a ResponseId, project: ProjectId) -> Context<'a> {
    Context { table: "response_contents", column, row: id.as_bytes(), project }
}

impl<'a> Responses<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Keeps an answer, and all that came before it as long.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put(&self, project: ProjectId, new: &NewResponse) -> Result<(), StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let key = vault_keys::current(self.db, &mut transaction, project).await?;
        self.put_in(&mut transaction, &key, project, new).await?;
        Ok(transaction.commit().await?)
    }

    async fn put_in(
        &self,
        transaction: &mut Transaction<'_>,
        key: &DataKey,
        project: ProjectId,
        new: &NewResponse,
    ) -> Result<(), StoreError> {
        let size = i64::try_from(new.answer.len() + new.input.len()).unwrap_or(i64::MAX);
        let previous = new.chain.last().map(ResponseId::as_bytes);
        let insert = sql("INSERT INTO responses (id, project, previous, size, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(new.id.as_bytes())
        .bind(project.as_bytes())
        .bind(previous)
        .bind(size)
        .bind(self.db.now().0)
        .bind(new.expires_at.0);
        transaction.execute(insert).await?;
        let insert = sql("INSERT INTO response_contents (response, answer, input) VALUES ($1, $2, $3)")
            .bind(new.id.as_bytes())
            .bind(key.seal(&context("answer", &new.id, project), &new.answer))
            .bind(key.seal(&context("input", &new.id, project), &new.input));
        transaction.execute(insert).await?;
        for item in &new.items {
            // Servers that number their items anew in each answer use an id twice: the latest is meant.
            let insert = sql("INSERT INTO response_items (project, item, response) VALUES ($1, $2, $3) \
                 ON CONFLICT (project, item) DO UPDATE SET response = excluded.response")
            .bind(project.as_bytes())
            .bind(item)
            .bind(new.id.as_bytes());
            transaction.execute(insert).await?;
        }
        if !new.chain.is_empty() {
            let mut renew =
                sql("UPDATE responses SET expires_at = $1 WHERE expires_at < $1 AND project = $2 AND id IN ")
                    .bind(new.expires_at.0)
                    .bind(project.as_bytes());
            list(&mut renew, new.chain.iter().map(ResponseId::as_bytes));
            transaction.execute(renew).await?;
        }
        Ok(())
    }

    /// One answer.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id, or no longer.
    pub async fn get(&self, project: ProjectId, id: ResponseId) -> Result<StoredResponse, StoreError> {
        let select = sql("SELECT id, answer, input FROM responses \
             JOIN response_contents ON response = id WHERE project = $1 AND id = $2 AND expires_at > $3")
        .bind(project.as_bytes())
        .bind(id.as_bytes())
        .bind(self.db.now().0);
        let mut found = self.open(project, select).await?;
        found.pop().ok_or_else(|| StoreError::not_found("response", id))
    }

    /// An answer with all that came before it, of at most `most` bytes.
    ///
    /// # Errors
    /// [`StoreError`]; that there is none is no error.
    pub async fn chain(&self, project: ProjectId, id: ResponseId, most: u64) -> Result<Chain, StoreError> {
        let walk = "WITH RECURSIVE chain (id, previous, size, depth) AS ( \
             SELECT id, previous, size, CAST(0 AS BIGINT) FROM responses \
             WHERE project = $1 AND id = $2 AND expires_at > $3 \
             UNION ALL \
             SELECT r.id, r.previous, r.size, depth + 1 FROM responses r JOIN chain ON r.id = chain.previous \
             WHERE r.project = $1 AND depth < $4) ";
        let walking = |rest: &str| {
            let mut statement = Statement::new(walk.to_owned(), Vec::new())
                .bind(project.as_bytes())
                .bind(id.as_bytes())
                .bind(self.db.now().0)
                .bind(LONGEST_CHAIN);
            statement.push(rest);
            statement
        };
        // What is known of them first: it tells how much there is.
        let links =
            self.db.pool().fetch(walking("SELECT id, previous, size FROM chain ORDER BY depth DESC")).await?;
        let Some(oldest) = links.first() else { return Ok(Chain::Missing(id)) };
        if let Some(missing) = oldest.try_get::<Option<&[u8]>>("previous")? {
            return Ok(Chain::Missing(response_id(missing)?));
        }
        let mut size = 0_u64;
        for link in &links {
            let more: i64 = link.try_get("size")?;
            size = size.saturating_add(u64::try_from(more).unwrap_or_default());
        }
        if size > most {
            return Ok(Chain::TooLarge(size));
        }
        let select = walking(
            "SELECT id, answer, input FROM chain JOIN response_contents ON response = id ORDER BY depth DESC",
        );
        let chain = self.open(project, select).await?;
        // One that was deleted in between.
        if chain.len() < links.len() {
            return Ok(Chain::Missing(id));
        }
        Ok(Chain::Whole(chain))
    }

    /// The answers that have these items, each once.
    ///
    /// # Errors
    /// [`StoreError`]; that there is none is no error.
    pub async fn with_items(
        &self,
        project: ProjectId,
        items: &[String],
    ) -> Result<Vec<StoredResponse>, StoreError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut select =
            sql("SELECT id, answer, input FROM responses JOIN response_contents ON response = id \
             WHERE project = $1 AND expires_at > $2 AND id IN \
             (SELECT response FROM response_items WHERE project = $1 AND item IN ")
            .bind(project.as_bytes())
            .bind(self.db.now().0);
        list(&mut select, items.iter());
        select.push(")");
        self.open(project, select).await
    }

    /// Forgets an answer. Nothing can go on from it or from what came after it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id, or no longer.
    pub async fn delete(&self, project: ProjectId, id: ResponseId) -> Result<(), StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let delete = sql("DELETE FROM responses WHERE project = $1 AND id = $2 AND expires_at > $3")
            .bind(project.as_bytes())
            .bind(id.as_bytes())
            .bind(self.db.now().0);
        if transaction.execute(delete).await? == 0 {
            return Err(StoreError::not_found("response", id));
        }
        forget_contents(&mut transaction, &[*id.as_bytes()]).await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets what is kept no longer, a number of answers at a time. Returns how many there were; zero: none is left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.db.now().0;
        let select = sql("SELECT id FROM responses WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2")
            .bind(now)
            .bind(SWEPT_AT_ONCE);
        let rows = self.db.pool().fetch(select).await?;
        let ids = rows.iter().map(|row| Ok(*response_id(row.try_get("id")?)?.as_bytes()));
        let ids = ids.collect::<Result<Vec<[u8; 16]>, StoreError>>()?;
        if ids.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.db.pool().begin().await?;
        // One that a call went on from in between stays.
        let mut delete = sql("DELETE FROM responses WHERE expires_at <= $1 AND id IN ").bind(now);
        list(&mut delete, ids.iter());
        delete.push(" RETURNING id");
        let rows = transaction.fetch(delete).await?;
        let gone = rows.iter().map(|row| Ok(*response_id(row.try_get("id")?)?.as_bytes()));
        let gone = gone.collect::<Result<Vec<[u8; 16]>, StoreError>>()?;
        if !gone.is_empty() {
            forget_contents(&mut transaction, &gone).await?;
        }
        transaction.commit().await?;
        Ok(gone.len() as u64)
    }

    async fn open(&self, project: ProjectId, select: Statement) -> Result<Vec<StoredResponse>, StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let rows = transaction.fetch(select).await?;
        let keys = if rows.is_empty() {
            HashMap::new()
        } else {
            vault_keys::of_project(self.db, &mut transaction, project).await?
        };
        transaction.commit().await?;
        rows.iter().map(|row| opened(&keys, project, row)).collect()
    }
}

fn opened(
    keys: &HashMap<[u8; 16], DataKey>,
    project: ProjectId,
    row: &Row,
) -> Result<StoredResponse, StoreError> {
    let id = response_id(row.try_get("id")?)?;
    let clear = |column: &'static str| -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealed: &[u8] = row.try_get(column)?;
        let key = DataKey::id_in(sealed).and_then(|id| keys.get(&id)).ok_or(VaultError::OtherKey);
        key.and_then(|key| key.open(&context(column, &id, project), sealed))
            .map_err(|error| StoreError::corrupt(format!("the stored answer {id}"), error))
    };
    Ok(StoredResponse { id, answer: clear("answer")?, input: clear("input")? })
}

async fn forget_contents(transaction: &mut Transaction<'_>, ids: &[[u8; 16]]) -> Result<(), StoreError> {
    for text in
        ["DELETE FROM response_contents WHERE response IN ", "DELETE FROM response_items WHERE response IN "]
    {
        let mut delete = sql(text);
        list(&mut delete, ids.iter());
        transaction.execute(delete).await?;
    }
    Ok(())
}

/// Adds a list of parameters, which is not empty.
fn list<T: Into<crate::db::Value>>(statement: &mut Statement, values: impl Iterator<Item = T>) {
    statement.push("(");
    for (number, value) in values.enumerate() {
        if number > 0 {
            statement.push(",");
        }
        statement.push_bind(value);
    }
    statement.push(")");
}

fn response_id(bytes: &[u8]) -> Result<ResponseId, StoreError> {
    Ok(ResponseId::from_bytes(id_bytes("the id of an answer", bytes)?))
}
