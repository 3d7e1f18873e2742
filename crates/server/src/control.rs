//! The control plane: declarations and keys go in, a validated snapshot comes out and is live before the writer gets
//! its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steelyard_billing::Catalog;
use steelyard_core::{Principal, Timestamp};
use steelyard_gateway::Gateway;
use steelyard_gateway::snapshot::{AwsKeyRecord, Inputs, KeyRecord, Snapshot, SnapshotError};
use steelyard_gateway::spec::{ChannelSpec, PriceSpec, RouteSpec};
use steelyard_store::db::DEFAULT_PROJECT;
use steelyard_store::repo::{Key, StoredSecret};
use steelyard_store::settle::SettlerWatch;
use steelyard_store::{Db, Secret, Spool, StoreError};
use tokio::sync::Mutex;

/// What the operator declares.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Accounts.
    pub channels: Vec<ChannelSpec>,
    /// Names with their targets.
    pub routes: Vec<RouteSpec>,
    /// Prices of the operator's own.
    pub prices: Vec<PriceSpec>,
}

/// Why a change did not go live; what was live stays.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The declarations do not fit together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads declarations and keys, and keeps the gateway's snapshot equal to them.
pub struct Control {
    db: Db,
    books: Option<Books>,
    gateway: Arc<Gateway>,
    admin: KeyRecord,
    catalog: Arc<Catalog>,
    /// What is in force. One change at a time, so that an older one cannot overwrite a newer.
    declared: Mutex<Declared>,
    /// The last change is in the database but not in the snapshot yet.
    stale: AtomicBool,
}

/// What keeps the ledger, to be asked how it is doing.
#[derive(Debug, Clone)]
pub struct Books {
    /// Where records become durable.
    pub spool: Spool,
    /// What moves them into the database.
    pub settler: SettlerWatch,
}

/// How the parts that calls depend on are doing.
#[derive(Debug, Clone, Copy)]
pub struct Health {
    /// Whether the spool takes records.
    pub spool_writes: bool,
    /// Whether it has room for another call.
    pub spool_room: bool,
    /// Records that wait to be moved into the ledger.
    pub spool_waiting: u64,
    /// Whether the database answers, and takes entries.
    pub database: bool,
}

impl Control {
    /// The first snapshot: keys from the database, the admin key, and the declarations.
    pub async fn first_snapshot(
        db: &Db,
        admin: &Secret,
        declared: &Declared,
        catalog: &Arc<Catalog>,
    ) -> Result<Snapshot, ControlError> {
        let admin = admin_record(db, admin).await?;
        let snapshot = Snapshot::build(&inputs(db, &admin, declared).await?, Arc::clone(catalog), None)?;
        warn_of_locked(&snapshot);
        Ok(snapshot)
    }

    /// The control plane of a running gateway. Without books (the bench) their health is taken for good.
    pub async fn new(
        db: Db,
        books: Option<Books>,
        gateway: Arc<Gateway>,
        admin: &Secret,
        declared: Declared,
        catalog: Arc<Catalog>,
    ) -> Result<Self, StoreError> {
        let admin = admin_record(&db, admin).await?;
        let (declared, stale) = (Mutex::new(declared), AtomicBool::new(false));
        Ok(Self { db, books, gateway, admin, catalog, declared, stale })
    }

    /// Puts other declarations into force, whole or not at all.
    pub async fn apply(&self, declared: Declared) -> Result<(), ControlError> {
        let mut in_force = self.declared.lock().await;
        let inputs = inputs(&self.db, &self.admin, &declared).await?;
        self.put_into_force(&inputs)?;
        *in_force = declared;
        Ok(())
    }

    fn put_into_force(&self, inputs: &Inputs) -> Result<(), SnapshotError> {
        let snapshot = self.build(inputs)?;
        warn_of_locked(&snapshot);
        self.gateway.swap(snapshot);
        Ok(())
    }

    fn build(&self, inputs: &Inputs) -> Result<Snapshot, SnapshotError> {
        Snapshot::build(inputs, Arc::clone(&self.catalog), Some(&self.gateway.snapshot()))
    }

    /// Puts a secret into the vault, and the channels that wait for it into force. One with which a channel could
    /// not be built is refused, and the older one stays.
    pub async fn set_secret(&self, name: &str, value: &Secret) -> Result<StoredSecret, ControlError> {
        let declared = self.declared.lock().await;
        let mut inputs = inputs(&self.db, &self.admin, &declared).await?;
        inputs.secrets.insert(name.to_owned(), value.clone().into_inner());
        self.build(&inputs)?;
        let stored = self.db.secrets().set(name, value).await?;
        self.put_into_force(&inputs)?;
        Ok(stored)
    }

    /// Takes a secret out of the vault. Names of channels: it stays, because they are declared with it.
    pub async fn delete_secret(&self, name: &str) -> Result<Result<(), Vec<String>>, StoreError> {
        let declared = self.declared.lock().await;
        let uses = |channel: &&ChannelSpec| channel.secrets().any(|secret| secret.in_vault() == Some(name));
        let users: Vec<_> =
            declared.channels.iter().filter(uses).map(|channel| channel.name.clone()).collect();
        if !users.is_empty() {
            return Ok(Err(users));
        }
        self.db.secrets().delete(name).await.map(Ok)
    }

    /// Brings the snapshot's keys up to date with the database: after this returns, calls see the change.
    pub async fn refresh_keys(&self) -> Result<(), StoreError> {
        let _one = self.declared.lock().await;
        self.stale.store(true, Ordering::Release);
        let (keys, aws_keys) = key_records(&self.db, &self.admin).await?;
        let snapshot = self.gateway.snapshot().with_keys(keys, aws_keys);
        self.gateway.swap(snapshot);
        self.stale.store(false, Ordering::Release);
        Ok(())
    }

    /// Repeats a refresh that failed after its change was stored. Called periodically.
    pub async fn reconcile(&self) {
        if self.stale.load(Ordering::Acquire)
            && let Err(error) = self.refresh_keys().await
        {
            tracing::warn!(error = %error, "keys in force are older than the database: it will be tried again");
        }
    }

    /// Forgets answers that are kept no longer. Called periodically.
    pub async fn sweep(&self) {
        loop {
            match self.db.responses().sweep().await {
                Ok(0) => return,
                Ok(answers) => tracing::debug!(answers, "stored answers have expired and are gone"),
                Err(error) => {
                    tracing::warn!(error = %error, "stored answers that have expired could not be deleted: it will be tried again");
                    return;
                }
            }
        }
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How the parts that calls depend on are doing.
    pub async fn health(&self) -> Health {
        let books = self.books.as_ref();
        let moves = books.is_none_or(|books| books.settler.health().failing.is_none());
        let spool = books.map(|books| books.spool.health());
        Health {
            spool_writes: spool.as_ref().is_none_or(|spool| spool.failing.is_none()),
            spool_room: spool.as_ref().is_none_or(|spool| spool.waiting < spool.limit),
            spool_waiting: self.spool_waiting(),
            database: moves && self.db.ping().await.is_ok(),
        }
    }

    /// Records that wait to be moved into the ledger.
    pub fn spool_waiting(&self) -> u64 {
        self.books.as_ref().map_or(0, |books| books.spool.health().waiting)
    }
}

fn warn_of_locked(snapshot: &Snapshot) {
    for channel in snapshot.channels() {
        if let Some(why) = channel.provider.locked() {
            tracing::warn!(channel = &*channel.name, "the channel's calls fail: {why}");
        }
    }
}

async fn inputs(db: &Db, admin: &KeyRecord, declared: &Declared) -> Result<Inputs, StoreError> {
    let (keys, aws_keys) = key_records(db, admin).await?;
    Ok(Inputs {
        keys,
        aws_keys,
        secrets: db
            .secrets()
            .open_all()
            .await?
            .into_iter()
            .map(|(name, value)| (name, value.into_inner()))
            .collect(),
        channels: declared.channels.clone(),
        routes: declared.routes.clone(),
        prices: declared.prices.clone(),
    })
}

async fn admin_record(db: &Db, secret: &Secret) -> Result<KeyRecord, StoreError> {
    let project = db.projects().find(DEFAULT_PROJECT).await?;
    let principal = Principal {
        key: None,
        name: "admin".into(),
        project: project.id,
        project_name: project.name.into(),
        admin: true,
    };
    Ok(KeyRecord { hash: *secret.hash().as_bytes(), principal: Arc::new(principal), expires_at: None })
}

/// Everything that authenticates: what is sent along, the admin key first, and what signs.
async fn key_records(db: &Db, admin: &KeyRecord) -> Result<(Vec<KeyRecord>, Vec<AwsKeyRecord>), StoreError> {
    let active = db.keys().load_all().await?;
    let mut keys = vec![admin.clone()];
    keys.extend(active.secrets.into_iter().map(|secret| KeyRecord {
        hash: *secret.hash.as_bytes(),
        principal: Arc::new(principal(&secret.key)),
        expires_at: end(&secret.key, secret.valid_until),
    }));
    let aws_keys = active.pairs.into_iter().map(|pair| AwsKeyRecord {
        access_key_id: pair.access_key_id.into(),
        principal: Arc::new(principal(&pair.key)),
        expires_at: end(&pair.key, pair.valid_until),
        secret: pair.secret_access_key.into_inner(),
    });
    Ok((keys, aws_keys.collect()))
}

/// From when a secret of a key is refused: by the end of the key, or by its own.
fn end(key: &Key, valid_until: Option<Timestamp>) -> Option<Timestamp> {
    [key.expires_at, valid_until].into_iter().flatten().min()
}

fn principal(key: &Key) -> Principal {
    Principal {
        key: Some(key.id),
        name: key.name.as_str().into(),
        project: key.project,
        project_name: key.project_name.as_str().into(),
        admin: false,
    }
}
