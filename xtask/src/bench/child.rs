//! Child processes: pinned to a core, dead when their owner is, and measured from outside through `/proc`.
//!
//! A child is started through this program itself (`xtask bench-part pinned`), which pins itself, asks the kernel
//! to be killed with its parent, and then becomes the program that was asked for. So nothing is left behind, not
//! even when the bench itself is killed.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

use super::host;

/// Becomes another program on one core.
#[derive(Debug, clap::Args)]
pub(crate) struct Pinned {
    /// The core to run on; any when absent.
    #[arg(long)]
    core: Option<usize>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Pinned {
    /// Returns only if the program could not be started.
    pub(crate) fn become_program(self) -> Result<()> {
        host::die_with_parent()?;
        if let Some(core) = self.core {
            host::pin(core)?;
            host::raise_priority();
        }
        let (program, arguments) = self.command.split_first().context("no program was named")?;
        host::become_program(program, arguments)
    }
}

/// A command that runs `program`, on `core` if given, with nothing of the caller's environment but `PATH`.
pub(crate) fn command(program: &Path, core: Option<usize>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("the path of this program is unknown")?);
    command.args(["bench-part", "pinned"]);
    if let Some(core) = core {
        command.arg("--core").arg(core.to_string());
    }
    command.arg("--").arg(program);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// A command that runs a part of the bench, on `core`.
pub(crate) fn part(name: &str, core: Option<usize>) -> Result<Command> {
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    let mut command = command(&program, core)?;
    command.args(["bench-part", name]);
    Ok(command)
}

/// A running process; dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts a command.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let pid = child.id().context("a process ended before it began")?;
        Ok(Self { child, pid })
    }

    /// Its standard output, if it was piped and not yet taken.
    pub(crate) fn output(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The exit status if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it at once, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end, and waits for it.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> Result<std::process::ExitStatus> {
        host::terminate(self.pid)?;
        tokio::time::timeout(patience, self.child.wait())
            .await
            .with_context(|| format!("the process still runs {patience:?} after SIGTERM"))?
            .context("the process cannot be waited for")
    }

    /// Processor time of all its threads so far.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let ticks = parse_ticks(&text).with_context(|| format!("{path} cannot be understood: {text}"))?;
        Ok(Duration::from_secs(ticks) / host::ticks_per_second()?)
    }

    /// Waits until it has used no processor time for `calm`, so that work put off is counted too.
    pub(crate) async fn settle_down(&self, calm: Duration) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let start = Instant::now();
        let (mut last, mut since) = (self.processor_time()?, Instant::now());
        while since.elapsed() < calm {
            ensure!(
                start.elapsed() < PATIENCE,
                "the process does not come to rest within {PATIENCE:?} after a case"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.processor_time()?;
            // One tick may be a timer; two are work.
            if now > last + Duration::from_millis(10) {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Its memory now and at its peak.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
                .with_context(|| format!("{path} has no {name}"))
        };
        Ok(Memory { resident_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now, in KiB.
    pub(crate) resident_kib: u64,
    /// The most it ever was, in KiB.
    pub(crate) peak_kib: u64,
}

/// utime + stime of `/proc/PID/stat`: the 14th and 15th field, of which the 2nd may hold spaces and brackets.
fn parse_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<_> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The last lines of a log, for an error message.
pub(crate) fn log_tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs a command to its end and gives its standard output.
pub(crate) async fn output_of(mut command: Command, what: &str, patience: Duration) -> Result<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(patience, command.output())
        .await
        .with_context(|| format!("{what} did not end within {patience:?}"))?
        .with_context(|| format!("{what} cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{what} failed with {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_an_awkward_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 5 9 9";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("7 (a"), None);
    }
}
