//! Conversations of OpenAI's API: kept sealed until their caller deletes them, for callers of the project that began them.

use std::collections::HashMap;

use secrecy::zeroize::Zeroizing;
use steelyard_core::{ConversationId, ProjectId, Timestamp};

use super::vault_keys;
use crate::db::{Db, Row, Transaction, sql};
use crate::error::StoreError;
use crate::vault::{Context, DataKey, VaultError};

/// A conversation without its items.
#[derive(Clone)]
pub struct Conversation {
    /// Which one.
    pub id: ConversationId,
    /// What its caller noted of it, a JSON object.
    pub metadata: Zeroizing<Vec<u8>>,
    /// When it was begun.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An item of one.
#[derive(Clone)]
pub struct ConversationItem {
    /// Its id, unique in the conversation.
    pub id: String,
    /// The item, a JSON object.
    pub item: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for ConversationItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConversationItem").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The items of a conversation.
#[derive(Debug, Clone)]
pub enum ConversationItems {
    /// All of them, oldest first.
    All(Vec<ConversationItem>),
    /// They have more bytes than were asked for.
    TooLarge(u64),
}

/// The conversations that are kept.
#[derive(Debug, Clone, Copy)]
pub struct Conversations<'a> {
    db: &'a Db,
}

const WHAT: &str = "conversation";

fn of_metadata(id: &ConversationId, project: ProjectId) -> Context<'_> {
    Context { table: "conversations", column: "metadata", row: id.as_bytes(), project }
}

/// What an item is found by.
fn row_of(id: ConversationId, item: &str) -> Vec<u8> {
    [id.as_bytes(), item.as_bytes()].concat()
}

fn of_item(row: &[u8], project: ProjectId) -> Context<'_> {
    Context { table: "conversation_items", column: "sealed", row, project }
}

impl<'a> Conversations<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Begins one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create(
        &self,
        project: ProjectId,
        metadata: &[u8],
        items: &[ConversationItem],
    ) -> Result<Conversation, StoreError> {
        let id = ConversationId::new();
        let created_at = self.db.now();
        let mut transaction = self.db.pool().begin().await?;
        let key = vault_keys::current(self.db, &mut transaction, project).await?;
        let insert = sql(
            "INSERT INTO conversations (id, project, metadata, items, created_at) VALUES ($1, $2, $3, 0, $4)",
        )
        .bind(id.as_bytes())
        .bind(project.as_bytes())
        .bind(key.seal(&of_metadata(&id, project), metadata))
        .bind(created_at.0);
        transaction.execute(insert).await?;
        add(&mut transaction, &key, project, id, items).await?;
        transaction.commit().await?;
        Ok(Conversation { id, metadata: Zeroizing::new(metadata.to_vec()), created_at })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id.
    pub async fn get(&self, project: ProjectId, id: ConversationId) -> Result<Conversation, StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let select = sql("SELECT metadata, created_at FROM conversations WHERE project = $1 AND id = $2")
            .bind(project.as_bytes())
            .bind(id.as_bytes());
        let row = transaction.fetch_optional(select).await?.ok_or_else(|| StoreError::not_found(WHAT, id))?;
        let keys = vault_keys::of_project(self.db, &mut transaction, project).await?;
        transaction.commit().await?;
        let metadata = opened(&keys, &of_metadata(&id, project), row.try_get("metadata")?, id)?;
        Ok(Conversation { id, metadata, created_at: Timestamp(row.try_get("created_at")?) })
    }

    /// Notes something else of it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id.
    pub async fn update(
        &self,
        project: ProjectId,
        id: ConversationId,
        metadata: &[u8],
    ) -> Result<Conversation, StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let key = vault_keys::current(self.db, &mut transaction, project).await?;
        let update =
            sql("UPDATE conversations SET metadata = $1 WHERE project = $2 AND id = $3 RETURNING created_at")
                .bind(key.seal(&of_metadata(&id, project), metadata))
                .bind(project.as_bytes())
                .bind(id.as_bytes());
        let row = transaction.fetch_optional(update).await?.ok_or_else(|| StoreError::not_found(WHAT, id))?;
        let created_at = Timestamp(row.try_get("created_at")?);
        transaction.commit().await?;
        Ok(Conversation { id, metadata: Zeroizing::new(metadata.to_vec()), created_at })
    }

    /// Forgets it with all of its items.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id.
    pub async fn delete(&self, project: ProjectId, id: ConversationId) -> Result<(), StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let delete = sql("DELETE FROM conversations WHERE project = $1 AND id = $2")
            .bind(project.as_bytes())
            .bind(id.as_bytes());
        if transaction.execute(delete).await? == 0 {
            return Err(StoreError::not_found(WHAT, id));
        }
        let delete = sql("DELETE FROM conversation_items WHERE conversation = $1").bind(id.as_bytes());
        transaction.execute(delete).await?;
        Ok(transaction.commit().await?)
    }

    /// Its items, of at most `most` bytes as they are stored.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id.
    pub async fn items(
        &self,
        project: ProjectId,
        id: ConversationId,
        most: u64,
    ) -> Result<ConversationItems, StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let select =
            sql("SELECT CAST(COALESCE(SUM(LENGTH(sealed)), 0) AS BIGINT) AS size FROM conversations \
             LEFT JOIN conversation_items ON conversation = id WHERE project = $1 AND id = $2 GROUP BY id")
            .bind(project.as_bytes())
            .bind(id.as_bytes());
        let row = transaction.fetch_optional(select).await?.ok_or_else(|| StoreError::not_found(WHAT, id))?;
        let size: i64 = row.try_get("size")?;
        let size = u64::try_from(size).unwrap_or_default();
        if size > most {
            return Ok(ConversationItems::TooLarge(size));
        }
        let select =
            sql("SELECT item, sealed FROM conversation_items WHERE conversation = $1 ORDER BY position")
                .bind(id.as_bytes());
        let rows = transaction.fetch(select).await?;
        let keys = vault_keys::of_project(self.db, &mut transaction, project).await?;
        transaction.commit().await?;
        let items = rows.iter().map(|row| opened_item(&keys, project, id, row));
        Ok(ConversationItems::All(items.collect::<Result<_, StoreError>>()?))
    }

    /// At most `limit` of its items, from the oldest or the newest on, behind the one of the id `after`; and whether there are
    /// more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] of a `conversation` when the project has none of that id, of an `item` when it has no such item.
    pub async fn page(
        &self,
        project: ProjectId,
        id: ConversationId,
        after: Option<&str>,
        oldest_first: bool,
        limit: usize,
    ) -> Result<(Vec<ConversationItem>, bool), StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let known = sql("SELECT created_at FROM conversations WHERE project = $1 AND id = $2")
            .bind(project.as_bytes())
            .bind(id.as_bytes());
        transaction.fetch_optional(known).await?.ok_or_else(|| StoreError::not_found(WHAT, id))?;
        let mut select =
            sql("SELECT item, sealed FROM conversation_items WHERE conversation = $1").bind(id.as_bytes());
        if let Some(after) = after {
            let place = sql("SELECT position FROM conversation_items WHERE conversation = $1 AND item = $2")
                .bind(id.as_bytes())
                .bind(after);
            let row = transaction.fetch_optional(place).await?;
            let row = row.ok_or_else(|| StoreError::not_found("item", after))?;
            let place: i64 = row.try_get("position")?;
            select.push(if oldest_first { " AND position > " } else { " AND position < " });
            select.push_bind(place);
        }
        select.push(if oldest_first {
            " ORDER BY position LIMIT "
        } else {
            " ORDER BY position DESC LIMIT "
        });
        select.push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        let rows = transaction.fetch(select).await?;
        let keys = vault_keys::of_project(self.db, &mut transaction, project).await?;
        transaction.commit().await?;
        let items = rows.iter().take(limit).map(|row| opened_item(&keys, project, id, row));
        Ok((items.collect::<Result<_, StoreError>>()?, rows.len() > limit))
    }

    /// Adds items at its end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has none of that id.
    pub async fn append(
        &self,
        project: ProjectId,
        id: ConversationId,
        items: &[ConversationItem],
    ) -> Result<(), StoreError> {
        let mut transaction = self.db.pool().begin().await?;
        let key = vault_keys::current(self.db, &mut transaction, project).await?;
        add(&mut transaction, &key, project, id, items).await?;
        Ok(transaction.commit().await?)
    }

    /// One item.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has no such conversation, or that no such item.
    pub async fn item(
        &self,
        project: ProjectId,
        id: ConversationId,
        item: &str,
    ) -> Result<ConversationItem, StoreError> {
        let mut transaction = self.db.pool().begin_read().await?;
        let select =
            sql("SELECT item, sealed FROM conversations JOIN conversation_items ON conversation = id \
             WHERE project = $1 AND id = $2 AND item = $3")
            .bind(project.as_bytes())
            .bind(id.as_bytes())
            .bind(item);
        let row = transaction.fetch_optional(select).await?;
        let row = row.ok_or_else(|| StoreError::not_found("item", item))?;
        let keys = vault_keys::of_project(self.db, &mut transaction, project).await?;
        transaction.commit().await?;
        opened_item(&keys, project, id, &row)
    }

    /// Takes one item out.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the project has no such conversation, or that no such item.
    pub async fn delete_item(
        &self,
        project: ProjectId,
        id: ConversationId,
        item: &str,
    ) -> Result<(), StoreError> {
        let delete = sql("DELETE FROM conversation_items WHERE conversation = $1 AND item = $2 \
             AND EXISTS (SELECT 1 FROM conversations WHERE id = $1 AND project = $3)")
        .bind(id.as_bytes())
        .bind(item)
        .bind(project.as_bytes());
        match self.db.pool().execute(delete).await? {
            0 => Err(StoreError::not_found("item", item)),
            _ => Ok(()),
        }
    }
}

async fn add(
    transaction: &mut Transaction<'_>,
    key: &DataKey,
    project: ProjectId,
    id: ConversationId,
    items: &[ConversationItem],
) -> Result<(), StoreError> {
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    // Whoever adds at the same time waits here, and has the places behind.
    let update =
        sql("UPDATE conversations SET items = items + $1 WHERE project = $2 AND id = $3 RETURNING items")
            .bind(count)
            .bind(project.as_bytes())
            .bind(id.as_bytes());
    let row = transaction.fetch_optional(update).await?.ok_or_else(|| StoreError::not_found(WHAT, id))?;
    let after: i64 = row.try_get("items")?;
    for (position, new) in (after - count..).zip(items) {
        let row = row_of(id, &new.id);
        let insert = sql(
            "INSERT INTO conversation_items (conversation, position, item, sealed) VALUES ($1, $2, $3, $4)",
        )
        .bind(id.as_bytes())
        .bind(position)
        .bind(&new.id)
        .bind(key.seal(&of_item(&row, project), &new.item));
        transaction.execute(insert).await?;
    }
    Ok(())
}

fn opened_item(
    keys: &HashMap<[u8; 16], DataKey>,
    project: ProjectId,
    id: ConversationId,
    row: &Row,
) -> Result<ConversationItem, StoreError> {
    let item: String = row.try_get("item")?;
    let place = row_of(id, &item);
    let clear = opened(keys, &of_item(&place, project), row.try_get("sealed")?, id)?;
    Ok(ConversationItem { id: item, item: clear })
}

fn opened(
    keys: &HashMap<[u8; 16], DataKey>,
    context: &Context<'_>,
    sealed: &[u8],
    id: ConversationId,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let key = DataKey::id_in(sealed).and_then(|id| keys.get(&id)).ok_or(VaultError::OtherKey);
    key.and_then(|key| key.open(context, sealed))
        .map_err(|error| StoreError::corrupt(format!("the conversation {id}"), error))
}
