//! `cargo xtask ci`: everything that must hold before a change goes in, in the order of what fails fastest.
//!
//! Every step runs, also after one has failed, so that one run tells everything. Nothing is left out in silence:
//! what is skipped is printed with its reason and counted.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::tidy;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Cargo, the one that started this program where there is one.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// What `cargo xtask ci` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run these steps alone, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    only: Vec<Step>,
    /// Leave these steps out, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    skip: Vec<Step>,
}

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted.
    Fmt,
    /// Files, layers, documents and dependencies follow the rules of the house.
    Tidy,
    /// Licences, sources and advisories of the dependencies.
    Deny,
    /// No compiler or clippy warning.
    Clippy,
    /// The fuzz targets, which are a workspace of their own, compile and survive a short run.
    Fuzz,
    /// Unit, golden, property and integration tests.
    Test,
    /// The vendors' own SDKs drive the real binary.
    Sdk,
    /// Five rounds of SIGKILL under load lose no call.
    Kill,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It holds; with what was left out of it.
    Passed(usize),
    /// It does not.
    Failed(String),
    /// It was not looked at.
    Skipped(String),
}

/// A step that is over.
#[derive(Debug)]
struct Done {
    step: Step,
    outcome: Outcome,
    took: Duration,
}

/// Runs the steps and prints how they ended.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    for step in Step::value_variants().iter().copied() {
        let started = Instant::now();
        let outcome = if let Some(why) = args.leaves_out(step) {
            Outcome::Skipped(why.to_owned())
        } else {
            println!("\n== {}", step.name());
            step.run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
        };
        report.0.push(Done { step, outcome, took: started.elapsed() });
    }
    println!("\n{report}");
    ensure!(!report.any_failed(), "not everything holds");
    Ok(())
}

impl Args {
    fn leaves_out(&self, step: Step) -> Option<&'static str> {
        if self.skip.contains(&step) {
            Some("left out by --skip")
        } else if !self.only.is_empty() && !self.only.contains(&step) {
            Some("left out by --only")
        } else {
            None
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Deny => "deny",
            Self::Clippy => "clippy",
            Self::Fuzz => "fuzz",
            Self::Test => "test",
            Self::Sdk => "sdk",
            Self::Kill => "kill",
        }
    }

    fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Fmt => follow(cargo().args(["fmt", "--all", "--check"])),
            Self::Tidy => tidy::run(&root()).map(|()| Outcome::Passed(0)),
            Self::Deny => deny(),
            Self::Clippy => clippy(),
            Self::Fuzz => fuzz(),
            // Most tests wait for a server to do something, so more of them fit beside each other than there are cores.
            Self::Test => {
                follow(cargo().args(["test", "--workspace", "--no-fail-fast"]).env("RUST_TEST_THREADS", "8"))
            }
            Self::Sdk => sdk(),
            Self::Kill => {
                let [steelyard] = binaries(["steelyard"])?;
                follow(cargo().args(["xtask", "kill", "--rounds", "5", "--binary"]).arg(steelyard))
            }
        }
    }
}

/// Everything, then what is there without the optional features.
fn clippy() -> anyhow::Result<Outcome> {
    let strict = |packages: &[&str]| {
        let mut command = cargo();
        command.arg("clippy").args(packages).args(["--all-targets", "--", "--deny", "warnings"]);
        follow(&mut command)
    };
    match strict(&["--workspace"])? {
        Outcome::Passed(_) => {
            strict(&["--package", "steelyard", "--package", "steelyard-store", "--no-default-features"])
        }
        other => Ok(other),
    }
}

/// Every target on every fixture, and on some hundred changed ones, the same each time. What is built without a fuzzer
/// needs no nightly compiler.
fn fuzz() -> anyhow::Result<Outcome> {
    let arguments = ["run", "--quiet", "--locked", "--no-default-features", "--bin", "plain"];
    let mut plain = cargo();
    // The workspace's own folder: what both need is built once.
    plain.current_dir(root().join("fuzz")).args(arguments).arg("--target-dir").arg(root().join("target"));
    plain.args(["--", "500x"]);
    follow(&mut plain)
}

/// Checks the dependencies, where the tool for it is there.
#[expect(clippy::print_stdout, reason = "what is left out is said aloud")]
fn deny() -> anyhow::Result<Outcome> {
    let succeeds = |arguments: &[&str]| {
        cargo().arg("deny").args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let there = succeeds(&["--version"]);
    if !there && is_required("deny") {
        bail!("cargo-deny is required by STEELYARD_TEST_REQUIRE, but is not installed");
    }
    if !there {
        let why =
            "cargo-deny is not installed: `cargo install --locked cargo-deny`; tidy has checked the bans";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    match follow(cargo().args(["deny", "check", "bans", "licenses", "sources"]))? {
        Outcome::Passed(_) if succeeds(&["fetch", "db"]) => {
            follow(cargo().args(["deny", "check", "advisories"]))
        }
        Outcome::Passed(skips) => {
            println!("skipped: the list of advisories cannot be fetched");
            Ok(Outcome::Passed(skips + 1))
        }
        other => Ok(other),
    }
}

/// Whether a missing tool is a failure on this machine.
fn is_required(name: &str) -> bool {
    let list = std::env::var("STEELYARD_TEST_REQUIRE").unwrap_or_default();
    list.split(',').any(|required| required.trim() == name)
}

/// The official SDKs, on each store; those in JavaScript where the machine can run them.
#[expect(clippy::print_stdout, reason = "what is left out is said aloud")]
fn sdk() -> anyhow::Result<Outcome> {
    let built = binaries(["steelyard", "scripted-upstream", "test-database"])?;
    let mut suite = Command::new("bash");
    suite.current_dir(root()).arg("tests/sdk/run.sh").args(built);
    let Err(missing) = node() else { return follow(&mut suite) };
    ensure!(!is_required("node"), "node is required by STEELYARD_TEST_REQUIRE, but {missing}");
    let outcome = follow(suite.arg("python"))?;
    println!("skipped: the SDKs in JavaScript, because {missing}");
    Ok(match outcome {
        Outcome::Passed(skips) => Outcome::Passed(skips + 1),
        other => other,
    })
}

/// Whether Node is here and new enough, else why not.
fn node() -> Result<(), String> {
    const OLDEST: u32 = 20;
    let version = |program: &str| {
        let output =
            Command::new(program).arg("--version").output().ok().filter(|output| output.status.success());
        let output = output.ok_or_else(|| format!("`{program}` is not installed"))?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let node = version("node")?;
    let major = node.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(format!("`node` is {node}, older than {OLDEST}"));
    }
    version("npm").map(drop)
}

/// Where binaries of the dev profile are. They are built beside the tests, because together with these they share
/// one set of features: built alone, half the house would be compiled again.
fn binaries<const N: usize>(names: [&str; N]) -> anyhow::Result<[PathBuf; N]> {
    let mut build = cargo();
    build.args([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--tests",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let output = build.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "the build failed: {build:?}");
    let artifacts: Vec<Artifact> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut paths = Vec::with_capacity(N);
    for name in names {
        let found = artifacts.iter().find(|artifact| {
            artifact.target.name == name && !artifact.profile.test && artifact.executable.is_some()
        });
        let path = found.and_then(|artifact| artifact.executable.clone());
        paths.push(path.with_context(|| format!("cargo has built no binary `{name}`"))?);
    }
    Ok(paths.try_into().expect("one path was found for each name"))
}

/// What cargo says about a thing it has built.
#[derive(Deserialize)]
struct Artifact {
    target: Named,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Runs a command, shows what it says as it says it, and counts what it leaves out.
#[expect(clippy::print_stdout, reason = "the command's output is shown")]
fn follow(command: &mut Command) -> anyhow::Result<Outcome> {
    let shown = format!("{command:?}");
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("{shown} cannot be started"))?;
    let output = child.stdout.take().context("its output is piped")?;
    let mut skips = 0;
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        std::io::stdout().flush()?;
        skips += skips_in(&text);
        line.clear();
    }
    let status = child.wait()?;
    Ok(if status.success() { Outcome::Passed(skips) } else { Outcome::Failed(format!("{shown}: {status}")) })
}

/// How much a line of output says was left out: `skipped: WHY`, or what Rust's test harness counts as ignored.
fn skips_in(line: &str) -> usize {
    if line.to_ascii_lowercase().starts_with("skipped:") {
        return 1;
    }
    let Some(result) = line.strip_prefix("test result: ") else { return 0 };
    let ignored = result.split("; ").find_map(|part| part.strip_suffix(" ignored"));
    ignored.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// How everything ended.
#[derive(Debug, Default)]
struct Report(Vec<Done>);

impl Report {
    fn any_failed(&self) -> bool {
        self.0.iter().any(|done| matches!(done.outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for Done { step, outcome, took } in &self.0 {
            let (word, note) = match outcome {
                Outcome::Passed(skips) => {
                    passed += 1;
                    skipped += skips;
                    (
                        "passed",
                        if *skips == 0 {
                            String::new()
                        } else {
                            format!("{skips} skipped inside, see above")
                        },
                    )
                }
                Outcome::Failed(why) => {
                    failed += 1;
                    ("FAILED", why.clone())
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    ("skipped", why.clone())
                }
            };
            let line = format!("{:<7} {word:<8} {:>7.1} s  {note}", step.name(), took.as_secs_f64());
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(step: Step, outcome: Outcome) -> Done {
        Done { step, outcome, took: Duration::from_millis(1234) }
    }

    #[test]
    fn steps_can_be_chosen() {
        let args = |only: &[Step], skip: &[Step]| Args { only: only.to_vec(), skip: skip.to_vec() };
        let chosen = |args: &Args| {
            let steps = Step::value_variants().iter().copied();
            steps.filter(|step| args.leaves_out(*step).is_none()).count()
        };
        assert_eq!(chosen(&args(&[], &[])), Step::value_variants().len());
        assert_eq!(chosen(&args(&[Step::Fmt, Step::Tidy], &[])), 2);
        assert_eq!(chosen(&args(&[Step::Fmt, Step::Tidy], &[Step::Fmt])), 1);
        assert_eq!(args(&[], &[Step::Kill]).leaves_out(Step::Kill), Some("left out by --skip"));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        assert_eq!(skips_in("skipped: node 20 is not installed\n"), 1);
        assert_eq!(
            skips_in("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out\n"),
            3
        );
        assert_eq!(skips_in("test reads_skipped: ok\n"), 0);
    }

    #[test]
    fn the_report_counts_and_names() {
        let report = Report(vec![
            done(Step::Fmt, Outcome::Passed(0)),
            done(Step::Sdk, Outcome::Passed(2)),
            done(Step::Clippy, Outcome::Failed("exit status: 1".to_owned())),
            done(Step::Deny, Outcome::Skipped("not installed".to_owned())),
        ]);
        let text = report.to_string();
        assert!(text.contains("fmt     passed       1.2 s\n"), "{text}");
        assert!(text.contains("clippy  FAILED       1.2 s  exit status: 1\n"), "{text}");
        assert!(text.ends_with("2 passed, 1 failed, 3 skipped"), "{text}");
        assert!(report.any_failed());
    }

    #[test]
    fn a_command_is_followed_to_its_end() {
        let shell = |script: &str| follow(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(shell("echo one; echo 'skipped: two'"), Outcome::Passed(1));
        assert!(matches!(shell("exit 3"), Outcome::Failed(why) if why.contains('3')));
        assert!(follow(&mut Command::new("no-such-program-here")).is_err());
    }
}
