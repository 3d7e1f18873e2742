//! Projects: the unit of isolation and of cost.

use steelyard_core::{ProjectId, Timestamp};

use super::check_name;
use crate::db::{Db, Row, project_id, sql, taken_or};
use crate::error::StoreError;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The project.
    pub id: ProjectId,
    /// Its name, unique.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The projects in the database.
#[derive(Debug, Clone, Copy)]
pub struct Projects<'a> {
    db: &'a Db,
}

impl<'a> Projects<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// Makes a project.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Invalid`] for a name that cannot be one.
    pub async fn create(&self, name: &str) -> Result<Project, StoreError> {
        check_name("project", name)?;
        let project = Project { id: ProjectId::new(), name: name.to_owned(), created_at: self.db.now() };
        let insert = sql("INSERT INTO projects (id, name, created_at) VALUES ($1, $2, $3)")
            .bind(project.id.as_bytes())
            .bind(&project.name)
            .bind(project.created_at.0);
        self.db.pool().execute(insert).await.map_err(|error| taken_or(error, "project", name))?;
        Ok(project)
    }

    /// The project of that name, made if it is not there.
    pub async fn ensure(&self, name: &str) -> Result<Project, StoreError> {
        match self.create(name).await {
            Err(StoreError::AlreadyExists { .. }) => self.find(name).await,
            other => other,
        }
    }

    /// By id or by name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn find(&self, reference: &str) -> Result<Project, StoreError> {
        let select = match reference.parse::<ProjectId>() {
            Ok(id) => sql("SELECT id, name, created_at FROM projects WHERE id = $1").bind(id.as_bytes()),
            Err(_) => sql("SELECT id, name, created_at FROM projects WHERE name = $1").bind(reference),
        };
        let row = self.db.pool().fetch_optional(select).await?;
        row.map(|row| read(&row)).ok_or_else(|| StoreError::not_found("project", reference))?
    }

    /// All of them, by name.
    pub async fn list(&self) -> Result<Vec<Project>, StoreError> {
        let rows =
            self.db.pool().fetch(sql("SELECT id, name, created_at FROM projects ORDER BY name")).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: project_id(row.try_get("id")?)?,
        name: row.try_get("name")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}
