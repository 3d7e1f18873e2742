//! The real binary, on a temporary data directory and a free port.

pub mod cli;
pub mod client;
pub mod config;
pub mod ledger;
pub mod metrics;
pub mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::patience::until;
use crate::postgres::Database;
use cli::Cli;
use client::Client;
use config::Config;
use ledger::{Entry, Page};
use metrics::Metrics;
use raw::Raw;

/// How long a server may take to be ready, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills it and, if the test failed, shows its log.
#[derive(Debug)]
pub struct Steelyard {
    binary: PathBuf,
    home: TempDir,
    environment: Vec<(String, String)>,
    child: Child,
    addr: SocketAddr,
    admin_key: String,
    /// After the child: it is dropped when nobody uses it any more.
    database: Option<Arc<Database>>,
}

/// Where a server keeps its keys and its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In SQLite, in its data directory.
    Sqlite,
    /// In a database of its own on PostgreSQL.
    Postgres,
}

/// What decides where the servers of all tests that do not say so keep their ledger: `postgres`, else SQLite.
const STORE: &str = "STEELYARD_TEST_STORE";

/// A key as the management API shows it when it is made or rotated.
#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    /// `key_…`.
    pub id: String,
    /// The name it was made with.
    pub name: String,
    /// What a client presents.
    pub secret: String,
}

impl Steelyard {
    /// Starts `binary` with `config` and waits until it is ready; panics with its log if it does not get there.
    pub async fn start(binary: impl AsRef<Path>, config: &Config) -> Self {
        Self::start_with(binary, config, &[]).await
    }

    /// The same with further environment variables.
    pub async fn start_with(binary: impl AsRef<Path>, config: &Config, environment: &[(&str, &str)]) -> Self {
        let named = std::env::var(STORE).unwrap_or_default();
        let store = match named.as_str() {
            "" | "sqlite" => Store::Sqlite,
            "postgres" => Store::Postgres,
            other => panic!("{STORE} is `{other}`: set it to sqlite or postgres"),
        };
        let server = Self::start_on(store, binary, config, environment).await;
        server.unwrap_or_else(|| panic!("{STORE} asks for PostgreSQL, and there is none"))
    }

    /// The same with a certain store; none, which is said aloud, where there is no PostgreSQL to try it on.
    pub async fn start_on(
        store: Store,
        binary: impl AsRef<Path>,
        config: &Config,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Arc::new(Database::new()?)),
        };
        let home = tempfile::Builder::new().prefix("steelyard-").tempdir().expect("a directory can be made");
        std::fs::write(home.path().join("steelyard.toml"), config.text())
            .expect("the configuration is written");
        let url = database.as_ref().map(|database| ("STEELYARD_STORE_URL", database.url()));
        let environment: Vec<_> = environment
            .iter()
            .chain(&url)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let binary = binary.as_ref().to_owned();
        let child = spawn(&binary, home.path(), &environment);
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { binary, home, environment, child, addr, admin_key: String::new(), database };
        server.becomes_ready().await;
        Some(server)
    }

    async fn becomes_ready(&mut self) {
        let end = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child can be asked") {
                // What it said last is still on its way through the pipe.
                tokio::time::sleep(Duration::from_millis(200)).await;
                panic!("steelyard ended at once with {status}\n{}", self.log());
            }
            if self.is_ready().await {
                return;
            }
            assert!(Instant::now() < end, "steelyard is not ready after {START:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_ready(&mut self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data_dir().join("listen.addr")) else { return false };
        let Ok(addr) = text.trim().parse() else { return false };
        self.addr = addr;
        let Ok(ready) = reqwest::get(self.url("/readyz")).await else { return false };
        if !ready.status().is_success() {
            return false;
        }
        let given = self.environment.iter().find(|(name, _)| name == "STEELYARD_ADMIN_KEY");
        self.admin_key = if let Some((_, key)) = given {
            key.clone()
        } else {
            let path = self.data_dir().join("admin.key");
            let key = std::fs::read_to_string(&path);
            key.unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.log()))
                .trim()
                .to_owned()
        };
        true
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The binary it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Its database, where that is on PostgreSQL.
    pub fn database(&self) -> Option<Arc<Database>> {
        self.database.clone()
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.home.path().join("steelyard.toml")
    }

    /// Writes another configuration, which the running server should pick up.
    pub fn rewrite_config(&self, config: &Config) {
        // By renaming, as editors do, so that no half-written file can be read.
        let new = self.home.path().join("steelyard.toml.new");
        std::fs::write(&new, config.text()).expect("the configuration is written");
        std::fs::rename(new, self.config_path()).expect("the configuration is put in its place");
    }

    /// Everything it has written to stdout and stderr, over all its lives.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.home.path().join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The admin key.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Resident memory now, in KiB, from `/proc`.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most resident memory it ever had, in KiB, from `/proc`.
    pub fn peak_resident_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").trim().parse().expect("/proc shows resident memory in kB")
    }
}

/// Calling it.
impl Steelyard {
    /// A client with the admin key.
    pub fn admin(&self) -> Client {
        self.client(&self.admin_key)
    }

    /// A client with this secret.
    pub fn client(&self, secret: &str) -> Client {
        Client::new(format!("http://{}", self.addr), Some(secret.to_owned()))
    }

    /// A client without a credential.
    pub fn stranger(&self) -> Client {
        Client::new(format!("http://{}", self.addr), None)
    }

    /// A connection on which a test writes its own bytes.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.addr).await
    }

    /// The command line, pointed at this server with the admin key.
    pub fn cli(&self) -> Cli {
        Cli::new(&self.binary).env("STEELYARD_URL", &self.url("")).env("STEELYARD_API_KEY", &self.admin_key)
    }

    /// Makes a key.
    pub async fn create_key(&self, name: &str) -> Key {
        self.create_key_with(json!({ "name": name })).await
    }

    /// Makes a key from a whole body.
    pub async fn create_key_with(&self, body: Value) -> Key {
        let answer = self.admin().post("/api/v1/keys", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        serde_json::from_value(answer.json()).expect("a made key has id, name and secret")
    }
}

/// Looking into it.
impl Steelyard {
    /// Every entry of the ledger now, in order of `seq`. The feed may be up to a second behind.
    pub async fn entries(&self) -> Vec<Entry> {
        let admin = self.admin();
        let mut entries = Vec::new();
        let mut after = 0;
        loop {
            let answer = admin.get(&format!("/api/v1/ledger/entries?after={after}&limit=200")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let page: Page = serde_json::from_value(answer.json())
                .unwrap_or_else(|error| panic!("the feed is not as agreed: {error}\n{}", answer.text()));
            entries.extend(page.data);
            match page.next {
                Some(next) => {
                    assert!(next > after, "the feed does not go forward: {next} after {after}");
                    after = next;
                }
                None => return entries,
            }
        }
    }

    /// Waits until the ledger holds at least `count` entries and gives them all.
    pub async fn has_entries(&self, count: usize) -> Vec<Entry> {
        let what = format!("{count} entries in the ledger");
        until(&what, || async {
            let entries = self.entries().await;
            (entries.len() >= count).then_some(entries)
        })
        .await
    }

    /// Waits for the entry of a request.
    pub async fn entry(&self, request_id: &str) -> Entry {
        let admin = self.admin();
        let path = format!("/api/v1/ledger/entries?request_id={request_id}");
        until(&format!("the entry of {request_id}"), || async {
            let answer = admin.get(&path).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let page: Page = serde_json::from_value(answer.json())
                .unwrap_or_else(|error| panic!("the feed is not as agreed: {error}\n{}", answer.text()));
            assert!(page.data.len() <= 1, "{request_id} has more than one entry: {:?}", page.data);
            page.data.into_iter().next()
        })
        .await
    }

    /// Waits until no call is in flight, then for the ledger's one second of delay, and gives the only entry.
    pub async fn only_entry(&self) -> Entry {
        self.is_quiet().await;
        let entries = self.settled_entries().await;
        assert_eq!(entries.len(), 1, "not one entry but {entries:#?}");
        entries.into_iter().next().expect("there is one")
    }

    /// The ledger once it can no longer change: no call in flight, and the feed's delay of at most 1 s is over.
    pub async fn settled_entries(&self) -> Vec<Entry> {
        self.is_quiet().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        self.entries().await
    }

    /// What `/metrics` shows now.
    pub async fn metrics(&self) -> Metrics {
        let answer = self.stranger().get("/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(&answer.text())
    }

    /// Waits until `steelyard_calls_in_flight` is 0.
    pub async fn is_quiet(&self) {
        until("no call in flight", || async {
            let metrics = self.metrics().await;
            (metrics.sum("steelyard_calls_in_flight") == Some(0.0)).then_some(())
        })
        .await;
    }
}

/// Ending it.
impl Steelyard {
    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the server can be killed");
    }

    /// Asks it to stop (SIGTERM) and returns at once.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid is positive"), rustix::process::Signal::TERM)
            .expect("the server runs");
    }

    /// Limits the size of files it may write, in bytes; none lifts the limit. Writes beyond fail as on a full disk
    /// for a process that outlives SIGXFSZ, as the server does.
    pub fn limit_file_size(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("the server runs");
    }

    /// Waits for its end; none if it still runs after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let ended = tokio::time::timeout(limit, self.child.wait()).await.ok()?;
        Some(ended.expect("the state of a child can be asked"))
    }

    /// Starts it again on the same data directory, killing it first if it runs.
    pub async fn restart(&mut self) {
        self.kill().await;
        // So that the address of the last life is not taken for the new one's.
        let _ = std::fs::remove_file(self.data_dir().join("listen.addr"));
        self.child = spawn(&self.binary, self.home.path(), &self.environment);
        self.becomes_ready().await;
    }
}

fn spawn(binary: &Path, home: &Path, environment: &[(String, String)]) -> Child {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(home.join("log.txt"));
    let mut file = file.expect("a log file can be opened");
    // By way of a pipe, so that what limits the server's own files does not limit its log.
    let (mut reader, log) = std::io::pipe().expect("a pipe can be made");
    std::thread::spawn(move || std::io::copy(&mut reader, &mut file));
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(home.join("steelyard.toml"))
        .arg("--data-dir")
        .arg(home.join("data"))
        // Nothing of the tester's own: a key in the environment would become a channel.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("RUST_BACKTRACE", "1")
        .env("STEELYARD_LOG", "info,steelyard=debug")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a pipe can be cloned"))
        .stderr(log)
        .kill_on_drop(true);
    start(&mut command)
}

/// Starts a process. A script that was written just now may still be open in a process that another test is forking
/// at this moment, and cannot run until that has passed.
pub(crate) fn start(command: &mut Command) -> Child {
    loop {
        match command.spawn() {
            Ok(child) => return child,
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            Err(error) => panic!("{command:?} cannot be started: {error}"),
        }
    }
}

impl Drop for Steelyard {
    #[expect(clippy::print_stderr, reason = "the log of a failed test belongs into its output")]
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            // What it said last is still on its way through the pipe.
            std::thread::sleep(Duration::from_millis(100));
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(200)..];
            eprintln!(
                "--- log of steelyard, last {} of {} lines\n{}\n---",
                tail.len(),
                lines.len(),
                tail.join("\n")
            );
        }
    }
}

#[cfg(test)]
mod tests;
