//! Children of the tests: this binary again, and what it does there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use steelyard_core::port::Ledger;
use steelyard_core::record::{Attempt, AttemptStatus, Basis, CallFacts, Entry, Hold, Intent, Outcome};
use steelyard_core::{Clock, Money, RequestId, Timestamp, Usage, UsageClass};
use steelyard_store::{DataDir, Db, Durability, Spool};

const DIR: &str = "STEELYARD_STORE_TEST_DIR";
const URL: &str = "STEELYARD_STORE_TEST_URL";

/// The database: on the server of that URL, else in the data directory.
pub(crate) async fn open(dir: &DataDir, url: Option<&str>) -> Db {
    match url {
        Some(url) => Db::connect(dir, &url.to_owned().into(), 4, Clock::System).await.unwrap(),
        None => Db::open(dir, Durability::Process, Clock::System).await.unwrap(),
    }
}

/// How the child's own lines begin, among those of the test harness.
pub(crate) const MARK: &str = "child: ";

/// What every intent of a child holds.
pub(crate) const HOLD: i128 = 900;

/// A command that runs the ignored test of that name.
pub(crate) fn command(test: &str, dir: &Path, url: Option<&str>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env(DIR, dir);
    command.envs(url.map(|url| (URL, url)));
    command
}

/// Starts it, with its output readable.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// In a child: the data directory it was given.
pub(crate) fn dir() -> PathBuf {
    std::env::var_os(DIR).expect("this is the child of another test and is not run by itself").into()
}

/// In a child: the database that it was given.
pub(crate) fn url() -> Option<String> {
    std::env::var(URL).ok()
}

/// In a child: tells the parent something, in one write and on a line of its own.
pub(crate) fn tell(text: &str) {
    std::io::stdout().write_all(format!("\n{MARK}{text}\n").as_bytes()).unwrap();
}

pub(crate) fn intent() -> Intent {
    let now = Clock::System.now();
    Intent {
        call: CallFacts {
            request_id: RequestId::new(),
            time: now,
            project: "default".into(),
            key: None,
            principal: "child".into(),
            route: "smart".into(),
            dialect: "openai_chat".into(),
            endpoint: "chat".into(),
            stream: true,
            tags: BTreeMap::new(),
        },
        attempts: vec![attempt(1, now)],
    }
}

/// The call's second attempt, after a first one without a connection.
pub(crate) fn further(intent: &Intent) -> Intent {
    let now = Clock::System.now();
    let mut further = intent.clone();
    further.attempts[0].settle_free(now, AttemptStatus::ConnectError);
    further.attempts.push(attempt(2, now));
    further
}

fn attempt(number: u16, started: Timestamp) -> Attempt {
    Attempt {
        number,
        channel: "openai".into(),
        model: "openai/gpt-6-sol".into(),
        upstream_model: "gpt-6-sol".into(),
        price_version: Some("v1".into()),
        tier: "standard".into(),
        geo: "global".into(),
        started,
        ended: None,
        status: AttemptStatus::Open,
        http_status: None,
        vendor_request_id: None,
        hold: Some(Hold::Known(Money::from_pico(HOLD))),
        usage: Usage::ZERO,
        basis: None,
        amount: None,
        flags: Vec::new(),
    }
}

pub(crate) fn entry(intent: &Intent, pico: i128) -> Entry {
    let mut attempts = intent.attempts.clone();
    let last = attempts.last_mut().unwrap();
    last.ended = Some(Clock::System.now());
    last.status = AttemptStatus::Ok;
    last.usage = [(UsageClass::Output, 2)].into_iter().collect();
    last.basis = Some(Basis::Reported);
    last.amount = Some(Money::from_pico(pico));
    Entry::new(intent.call.clone(), Outcome::Ok, attempts, Vec::new())
}

/// Opens and settles a call; whether both were committed.
pub(crate) async fn call_once(spool: &Spool) -> bool {
    let intent = intent();
    match spool.open(&intent).await {
        Ok(slot) => slot.settle(entry(&intent, 5)).await.is_ok(),
        Err(_) => false,
    }
}
