//! The real binary, started as an operator would: a configuration file, a data directory, a key made through the
//! management API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::child::{self, Process};
use super::http;
use super::sign::KeyPair;

/// How long a start may take; a debug build on a busy machine with orphans to reconcile is slow.
const START: Duration = Duration::from_secs(30);

/// What a server is started from.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The binary.
    pub(crate) program: PathBuf,
    /// What to put before it, such as a profiler with its options.
    pub(crate) under: Vec<String>,
    /// A folder of its own, for the configuration, the data directory and the log.
    pub(crate) folder: PathBuf,
    /// The text of its configuration file.
    pub(crate) configuration: String,
    /// The core to run on; any when absent.
    pub(crate) core: Option<usize>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// The process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The admin key.
    pub(crate) admin_key: String,
}

impl Setup {
    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server and waits until it accepts. The data directory stays as an earlier server left it.
    pub(crate) async fn start(&self) -> Result<Server> {
        let (config, data) = (self.folder.join("steelyard.toml"), self.data());
        std::fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
        std::fs::write(&config, &self.configuration).context("steelyard.toml cannot be written")?;
        let listening = data.join("listen.addr");
        if listening.exists() {
            std::fs::remove_file(&listening).context("the old listen.addr cannot be removed")?;
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;

        let (first, arguments) = match self.under.split_first() {
            Some((first, rest)) => (Path::new(first), rest),
            None => (self.program.as_path(), [].as_slice()),
        };
        let mut command = child::command(first, self.core)?;
        command.args(arguments);
        if !self.under.is_empty() {
            command.arg(&self.program);
        }
        command.arg("serve").arg("--config").arg(&config).arg("--data-dir").arg(&data);
        command.args(["--listen", "127.0.0.1:0"]).env("HOME", &self.folder).current_dir(&self.folder);
        command.stdout(log.try_clone()?).stderr(log);
        let mut process = Process::spawn(command)?;

        let start = Instant::now();
        let address = loop {
            let text = std::fs::read_to_string(&listening).unwrap_or_default();
            if let Ok(address) = text.trim().parse::<SocketAddr>() {
                break address;
            }
            if let Some(status) = process.ended()? {
                bail!("the server ended with {status} instead of serving:\n{}", child::log_tail(&self.log()));
            }
            let log = || child::log_tail(&self.log());
            ensure!(start.elapsed() < START, "the server does not serve after {START:?}:\n{}", log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let path = data.join("admin.key");
        let admin_key =
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Server { process, address, admin_key: admin_key.trim().to_owned() })
    }
}

impl Server {
    /// Makes a key; gives its id and its secret.
    pub(crate) async fn make_key(&self, name: &str) -> Result<(String, String)> {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let key = http::json(self.address, "POST", "/api/v1/keys", &self.admin_key, &body).await?;
        let field = |name: &str| {
            key[name].as_str().map(str::to_owned).with_context(|| format!("a key has no {name}"))
        };
        Ok((field("id")?, field("secret")?))
    }

    /// Makes a key with a pair for a client that signs.
    pub(crate) async fn make_pair(&self, name: &str) -> Result<KeyPair> {
        let body = format!(r#"{{"name":"{name}","aws":true}}"#);
        let key = http::json(self.address, "POST", "/api/v1/keys", &self.admin_key, &body).await?;
        let field = |name: &str| {
            key[name].as_str().map(str::to_owned).with_context(|| format!("a key has no {name}"))
        };
        Ok(KeyPair { id: field("aws_access_key_id")?, secret: field("aws_secret_access_key")? })
    }
}

/// The ledger's entries after `after`, at most `most`, by their `seq`.
pub(crate) async fn entries(
    address: SocketAddr,
    admin_key: &str,
    after: u64,
    most: usize,
) -> Result<BTreeMap<u64, serde_json::Value>> {
    const PAGE: usize = 1000;
    let mut entries = BTreeMap::new();
    let mut from = after;
    while entries.len() < most {
        let limit = PAGE.min(most - entries.len());
        let path = format!("/api/v1/ledger/entries?after={from}&limit={limit}");
        let mut page = http::json(address, "GET", &path, admin_key, "").await?;
        let data =
            page["data"].as_array_mut().map(std::mem::take).context("a page of the feed has no data")?;
        ensure!(!data.is_empty() || page["next"].is_null(), "an empty page of the feed has a next");
        for entry in data {
            let seq = entry["seq"].as_u64().context("an entry has no seq")?;
            ensure!(seq > from, "the feed goes back: seq {seq} comes after {from}");
            from = seq;
            entries.insert(seq, entry);
        }
        match &page["next"] {
            serde_json::Value::Null => break,
            next => ensure!(next.as_u64() == Some(from), "the feed's next is {next}, its last seq {from}"),
        }
    }
    Ok(entries)
}
