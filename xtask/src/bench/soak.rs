//! `cargo xtask bench --soak CALLS`: memory must be flat between the first 50,000 calls and the last.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::call::Call;
use super::case::Subject;
use super::measure::{Bench, Proxy, float};
use super::run::Stage;
use super::wrk::{Care, Wrk};

/// From here on memory must not grow.
const SETTLED: u64 = 50_000;
/// What it may grow nevertheless, in KiB: allocators keep pages by chance.
const SLACK_KIB: u64 = 2048;

/// Makes `calls` calls to `binary`.
#[expect(clippy::print_stdout, reason = "the samples are what the command is for")]
pub(crate) async fn run(stage: &Stage, binary: PathBuf, calls: u64) -> Result<()> {
    ensure!(calls >= 2 * SETTLED, "a soak needs at least {} calls to compare", 2 * SETTLED);
    let bench = Bench {
        wrk: Wrk::prepare(stage.folder.path(), stage.cores.load)?,
        upstream: stage.upstream_address,
        cores: stage.cores,
        quick: false,
    };
    let proxy = stage.serve("soak", Subject::Durable, &binary).await?;
    let start = Instant::now();
    let (mut done, mut next, mut samples) = (0, 0, Vec::new());
    println!("{:>10} {:>12} {:>12} {:>8}", "calls", "resident MiB", "peak MiB", "seconds");
    while done < calls {
        // Each run of wrk checks that no call failed; between runs its connections are new.
        let run = wrk_run(&bench, &proxy);
        tokio::pin!(run);
        loop {
            let ended = tokio::select! {
                ended = &mut run => Some(ended),
                () = tokio::time::sleep(Duration::from_millis(100)) => None,
            };
            done = bench.answered().await?;
            if done >= next {
                let memory = proxy.process.memory()?;
                samples.push((done, memory.resident_kib));
                let mib = |kib| float(kib) / 1024.0;
                let seconds = start.elapsed().as_secs();
                println!(
                    "{done:>10} {:>12.1} {:>12.1} {seconds:>8}",
                    mib(memory.resident_kib),
                    mib(memory.peak_kib)
                );
                next = done + calls / 20;
            }
            if let Some(ended) = ended {
                ended?;
                break;
            }
        }
    }
    println!("all calls answered in {:.0?}", start.elapsed());
    judge(&samples)
}

async fn wrk_run(bench: &Bench, proxy: &Proxy) -> Result<()> {
    const SECONDS: u64 = 10;
    let command = bench.wrk.command(proxy.address, &proxy.load(Call::Small, 32), Care::Counts, SECONDS)?;
    bench.wrk.run(command, SECONDS).await.map(drop)
}

/// Compares the most of the last third with the most of the first third after [`SETTLED`] calls.
fn judge(samples: &[(u64, u64)]) -> Result<()> {
    let settled: Vec<_> =
        samples.iter().filter(|(calls, _)| *calls >= SETTLED).map(|(_, kib)| *kib).collect();
    let third = settled.len() / 3;
    ensure!(third > 0, "the soak took too few samples to judge: give more calls");
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let (early, late) = (most(&settled[..third]), most(&settled[settled.len() - third..]));
    ensure!(
        late <= early + early / 20 + SLACK_KIB,
        "memory grows: at most {early} KiB after {SETTLED} calls, {late} KiB towards the end"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let samples = |growth: u64| {
            (0..20_u64).map(|n| (n * 25_000, 30_000 + n % 3 * 100 + n * growth)).collect::<Vec<_>>()
        };
        judge(&samples(0)).unwrap();
        judge(&samples(50)).unwrap();
        assert!(judge(&samples(500)).unwrap_err().to_string().contains("memory grows"));
        assert!(judge(&samples(0)[..3]).is_err());
    }
}
