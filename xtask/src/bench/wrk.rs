//! Closed-loop load by `wrk`: as many whole calls as the proxy can take on so many connections.
//!
//! The warm-up compares every answer with the upstream's, byte for byte. The measured run leaves that out, since it
//! would slow the load down; there `wrk` itself counts wrong statuses, broken and unanswered requests, and the
//! upstream's own count must agree with the number of answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::call::{Call, Expected, Login};
use super::child;

const SCRIPT: &str = r#"
local thread_of
function setup(thread) thread_of = thread; thread:set("wrong", 0) end
local function contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end
function init(args)
  wrk.method = "POST"
  wrk.path = args[1]
  for name, value in contents(args[2]):gmatch("([^\n:]+): ([^\n]*)\n") do wrk.headers[name] = value end
  wrk.body = contents(args[3])
  if args[4] == "same" then
    local expected = contents(args[5])
    response = function(status, headers, body)
      if status ~= 200 or body ~= expected then wrong = wrong + 1 end
    end
  elseif args[4] == "holds" then
    local parts = {}
    for part in contents(args[5]):gmatch("([^\n]+)\n") do table.insert(parts, part) end
    response = function(status, headers, body)
      local right = status == 200
      for _, part in ipairs(parts) do right = right and body:find(part, 1, true) ~= nil end
      if not right then wrong = wrong + 1 end
    end
  end
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"answers":%d,"micros":%d,"wrong":%d,"status":%d,"broken":%d,"silent":%d}\n',
    summary.requests, summary.duration, thread_of:get("wrong"), e.status, e.connect + e.read + e.write, e.timeout))
end
"#;

/// `wrk`, with its script and bodies written out.
#[derive(Debug)]
pub(crate) struct Wrk {
    program: PathBuf,
    folder: PathBuf,
    core: usize,
}

/// One run: who repeats which call on how many connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// The call.
    pub(crate) call: Call,
    /// Who makes it.
    pub(crate) login: Login<'a>,
    /// Connections.
    pub(crate) connections: u32,
    /// Whether the proxy gives answers of its own making to [`Call`]s in another wire than the upstream's.
    pub(crate) translates: bool,
}

/// Whether answers are compared with the upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Every byte, or what a translated answer must say; slower.
    EveryByte,
    /// Status and length.
    Counts,
}

#[derive(Debug, Deserialize)]
struct Summary {
    answers: u64,
    micros: u64,
    wrong: u64,
    status: u64,
    broken: u64,
    silent: u64,
}

/// What a run measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    /// Answers.
    pub(crate) answers: u64,
    /// How long it took.
    pub(crate) time: Duration,
}

impl Wrk {
    /// Finds `wrk` and writes its files into `folder`.
    pub(crate) fn prepare(folder: &Path, core: usize) -> Result<Self> {
        let program = super::find_program("wrk", "install it, on Debian by `apt-get install wrk`")?;
        let wrk = Self { program, folder: folder.to_owned(), core };
        wrk.write("load.lua", SCRIPT)?;
        for call in Call::ALL {
            wrk.write(call.name(), &call.body())?;
        }
        Ok(wrk)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// The command for a run of `seconds`.
    pub(crate) fn command(
        &self,
        target: SocketAddr,
        run: &Run<'_>,
        care: Care,
        seconds: u64,
    ) -> Result<Command> {
        let Run { call, login, connections, translates } = *run;
        let path = call.path();
        let headers: Vec<_> = login
            .headers(target, &path, &call.body())
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        let headers = headers.concat();
        let mut command = child::command(&self.program, Some(self.core))?;
        command.args(["--threads", "1", "--timeout", "10s"]);
        command.args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")]);
        command.arg("--script").arg(self.folder.join("load.lua")).arg(format!("http://{target}/"));
        command.arg("--").arg(path).arg(self.write("headers", &headers)?).arg(self.folder.join(call.name()));
        if care == Care::EveryByte {
            let (how, text) = match call.expected(translates) {
                Expected::Same(answer) => ("same", answer),
                Expected::Holds(parts) => ("holds", parts.join("\n") + "\n"),
            };
            command.arg(how).arg(self.write("expected", &text)?);
        }
        Ok(command)
    }

    /// Runs it to its end. Any failed answer is an error.
    pub(crate) async fn run(&self, command: Command, seconds: u64) -> Result<Calls> {
        let output = child::output_of(command, "wrk", Duration::from_secs(seconds + 20)).await?;
        read_summary(&output)
    }
}

fn read_summary(output: &str) -> Result<Calls> {
    let line = output.lines().find(|line| line.starts_with('{'));
    let summary = line.with_context(|| format!("wrk printed no summary:\n{output}"))?;
    let summary: Summary =
        serde_json::from_str(summary).with_context(|| format!("not a summary: {summary}"))?;
    let failed = summary.wrong + summary.status + summary.broken + summary.silent;
    ensure!(failed == 0, "{failed} calls failed: {summary:?}");
    ensure!(summary.answers > 0, "wrk got no answer:\n{output}");
    Ok(Calls { answers: summary.answers, time: Duration::from_micros(summary.micros) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_fails_the_run() {
        let summary = |status, wrong| {
            format!(
                "Running\n\n{{\"answers\":9,\"micros\":1000,\"wrong\":{wrong},\"status\":{status},\"broken\":0,\"silent\":0}}\n"
            )
        };
        assert_eq!(read_summary(&summary(0, 0)).unwrap().answers, 9);
        assert!(read_summary(&summary(1, 0)).is_err());
        assert!(read_summary(&summary(0, 1)).is_err());
        assert!(read_summary("Running").is_err());
    }
}
