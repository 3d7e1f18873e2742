//! Keeps the write-ahead log short, from a thread of its own, because copying and `fsync` would make callers
//! wait if the writer did them.
//!
//! A passive checkpoint never stops the writer, but while records keep coming it never reaches the end of the
//! log either, and only then SQLite starts the log afresh. So once the log is long, the writer is held up for
//! the last few pages.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

/// Copy into the database after about this many written bytes.
const PASSIVE: usize = 8 << 20;
/// Pages in the log beyond which the writer is held up.
const LONG: i64 = (32 << 20) / 4096;
/// What a commit writes beside the records: the last page of the table, once more.
const PER_COMMIT: usize = 4096;

/// What the writer, which counts, and the thread, which copies, have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
    gate: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    written: usize,
    stop: bool,
}

impl Checkpoints {
    /// Counts a commit, and wakes the thread when enough has come together.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.shared.state.lock();
        state.written += bytes + PER_COMMIT;
        if state.written >= PASSIVE {
            self.shared.bell.notify_one();
        }
    }

    /// The writer holds this while it writes.
    pub(super) fn gate(&self) -> MutexGuard<'_, ()> {
        self.shared.gate.lock()
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.shared.state.lock().stop = true;
        self.shared.bell.notify_one();
    }

    /// Sleeps until there is enough to copy; false when it is time to end.
    fn wait(&self) -> bool {
        let mut state = self.shared.state.lock();
        while state.written < PASSIVE && !state.stop {
            self.shared.bell.wait(&mut state);
        }
        state.written = 0;
        !state.stop
    }
}

/// Runs until [`Checkpoints::stop`].
pub(super) fn run(connection: &Connection, checkpoints: &Checkpoints) {
    while checkpoints.wait() {
        let done = checkpoint(connection, "PASSIVE").and_then(|pages| {
            if pages > LONG {
                let _held = checkpoints.gate();
                checkpoint(connection, "RESTART")?;
            }
            Ok(())
        });
        if let Err(error) = done {
            tracing::warn!(%error, "the spool's log cannot be copied into its database yet");
        }
    }
}

/// Copies; returns how many pages the log had when it began.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
}
