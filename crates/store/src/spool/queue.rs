//! What callers hand to the writer. Unbounded, because the places that calls take bound it; a push never waits
//! for the disk.
//!
//! A wake-up costs more than a record, so the writer is woken once per group: by the first record when it is
//! asleep, and by its own alarm clock when it lingers because records come in fast.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use steelyard_core::port::LedgerError;
use tokio::sync::oneshot;

/// Tells a caller how its record fared.
pub(super) type Ack = oneshot::Sender<Result<(), LedgerError>>;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An attempt about to be sent.
    Intent,
    /// A call that is over.
    Entry,
}

/// A record on its way to the disk.
#[derive(Debug)]
pub(super) struct Record {
    /// Which call, by its number in this process.
    pub(super) call: u64,
    pub(super) request: [u8; 16],
    pub(super) kind: Kind,
    pub(super) body: Arc<[u8]>,
    pub(super) ack: Option<Ack>,
}

/// Work for the writer.
#[derive(Debug)]
pub(super) enum Command {
    Record(Record),
    /// Every entry up to `through` is in the ledger.
    Moved {
        through: i64,
    },
    /// That entry cannot be moved.
    Quarantine {
        seq: i64,
        why: String,
    },
    /// Answer when everything before this has been tried.
    Flush(std::sync::mpsc::Sender<()>),
    /// Finish what is queued and stop.
    Close,
    #[cfg(test)]
    Execute(&'static str),
}

/// While lingering, this many commands are enough to start early.
const ENOUGH: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    commands: Vec<Command>,
    writer: Writer,
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Will look again by itself.
    #[default]
    Busy,
    /// Waits for a command.
    Asleep,
    /// Waits for many.
    Lingering,
}

impl Queue {
    /// Hands a command over; false when the writer has stopped, and then the command is dropped.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.commands.push(command);
        let wake = match state.writer {
            Writer::Busy => false,
            Writer::Asleep => true,
            Writer::Lingering => state.commands.len() >= ENOUGH,
        };
        if wake {
            state.writer = Writer::Busy;
        }
        drop(state);
        if wake {
            self.bell.notify_one();
        }
        true
    }

    /// Moves what is queued into `commands`, which is empty: after `linger` if records come in fast, else as
    /// soon as there is one, or with nothing at `until`.
    pub(super) fn take(&self, commands: &mut Vec<Command>, linger: Option<Duration>, until: Option<Instant>) {
        let mut state = self.state.lock();
        if let Some(linger) = linger
            && state.commands.len() < ENOUGH
        {
            state.writer = Writer::Lingering;
            self.bell.wait_for(&mut state, linger);
        }
        while state.commands.is_empty() {
            state.writer = Writer::Asleep;
            match until {
                None => self.bell.wait(&mut state),
                Some(until) if self.bell.wait_until(&mut state, until).timed_out() => break,
                Some(_) => {}
            }
        }
        state.writer = Writer::Busy;
        std::mem::swap(&mut state.commands, commands);
    }

    /// Takes no more commands and drops those that are left, so that nobody waits for an answer.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.commands);
        drop(state);
        drop(left);
    }
}
