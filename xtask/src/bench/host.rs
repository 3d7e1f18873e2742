//! What the operating system is asked for: a core, a priority, signals. Safe calls only.

use std::ffi::{OsStr, OsString};

use anyhow::{Context, Result, bail};

/// The two cores of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// Where the proxy under test runs.
    pub(crate) proxy: usize,
    /// Where the upstream and the load generators run.
    pub(crate) load: usize,
}

/// Picks the cores; says so if figures cannot be taken on this machine.
pub(crate) fn cores() -> Result<Cores> {
    let allowed = allowed_cores()?;
    let (Some(load), Some(proxy)) = (allowed.first(), allowed.get(1..).and_then(<[usize]>::last)) else {
        bail!(
            "the bench needs two cores, one for the proxy and one for the load; it may use {}",
            allowed.len()
        );
    };
    Ok(Cores { proxy: *proxy, load: *load })
}

/// Becomes another program.
pub(crate) fn become_program(program: &OsStr, arguments: &[OsString]) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let error = std::process::Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("{} cannot be started", program.display()))
    }
    #[cfg(not(unix))]
    bail!("{} cannot be started with {arguments:?}: this needs Unix", program.display())
}

/// Sends SIGTERM.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    #[cfg(unix)]
    {
        let pid =
            i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("not a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("SIGTERM cannot be sent")
    }
    #[cfg(not(unix))]
    bail!("process {pid} cannot be sent SIGTERM: this needs Unix")
}

/// Ticks of `/proc/PID/stat` in a second.
pub(crate) fn ticks_per_second() -> Result<u32> {
    #[cfg(unix)]
    {
        u32::try_from(rustix::param::clock_ticks_per_second()).context("not a number of clock ticks")
    }
    #[cfg(not(unix))]
    bail!("there is no /proc")
}

#[cfg(target_os = "linux")]
mod linux {
    use anyhow::{Context, Result};
    use rustix::process::{Signal, set_parent_process_death_signal, setpriority_process};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Asks to be killed when the parent ends, however it ends.
    pub(crate) fn die_with_parent() -> Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL)).context("the parent-death signal cannot be set")
    }

    /// The cores this process may run on.
    pub(crate) fn allowed_cores() -> Result<Vec<usize>> {
        let cores = sched_getaffinity(None).context("the allowed cores are unknown")?;
        Ok((0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect())
    }

    /// Stays on one core from now on.
    pub(crate) fn pin(core: usize) -> Result<()> {
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).with_context(|| format!("core {core} cannot be had"))
    }

    /// Goes before other work of the machine, where that is allowed.
    pub(crate) fn raise_priority() {
        let _ = setpriority_process(None, -10);
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{allowed_cores, die_with_parent, pin, raise_priority};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use anyhow::{Result, bail};

    /// Only Linux has this; elsewhere a child outlives a killed parent.
    pub(crate) fn die_with_parent() -> Result<()> {
        Ok(())
    }

    /// Only Linux lets figures be taken.
    pub(crate) fn allowed_cores() -> Result<Vec<usize>> {
        bail!("the bench runs on Linux only: it pins processes and reads /proc")
    }

    /// Only Linux has this.
    pub(crate) fn pin(core: usize) -> Result<()> {
        bail!("core {core} cannot be had: pinning needs Linux")
    }

    /// Only done where pinning is.
    pub(crate) fn raise_priority() {}
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{allowed_cores, die_with_parent, pin, raise_priority};
