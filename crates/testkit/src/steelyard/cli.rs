//! The command line, run once.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// An invocation in the making. Its environment is empty but for what is set, `PATH` and a `HOME`.
#[derive(Debug, Clone)]
pub struct Cli {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    input: String,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Cli {
    /// Of this binary.
    pub fn new(binary: &Path) -> Self {
        Self { binary: binary.to_owned(), environment: Vec::new(), input: String::new() }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets what it reads from stdin.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// Runs it with `arguments` to its end, at most for a minute.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        let home = tempfile::tempdir().expect("a directory can be made");
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = super::start(&mut command);
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(self.input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("`steelyard {}` does not end", arguments.join(" ")))
            .expect("the state of a child can be asked");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it and demands exit code 0.
    pub async fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments).await;
        assert_eq!(run.code, 0, "`steelyard {}` failed: {run:#?}", arguments.join(" "));
        run
    }
}

impl Run {
    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"))
    }
}
