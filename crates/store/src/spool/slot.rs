//! A call's place in the spool: from the intent that opens it to the entry that settles it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use steelyard_core::port::{BoxFuture, LedgerError, Slot};
use steelyard_core::record::{AttemptStatus, Entry, Intent, Outcome};
use tokio::sync::oneshot;

use super::Shared;
use super::queue::{Command, Kind, Record};
use crate::record::{DecodeError, decode_intent, encode_entry, encode_intent};

/// Exists from the moment the intent is handed over, so that a caller that goes away while it waits for the
/// commit leaves no open call behind.
#[derive(Debug)]
pub(super) struct SpoolSlot {
    shared: Arc<Shared>,
    call: u64,
    request: [u8; 16],
    /// The newest intent, as written.
    intent: Arc<[u8]>,
    /// Whether its last attempt may have been sent.
    sent: bool,
    settled: bool,
}

type Answer = oneshot::Receiver<Result<(), LedgerError>>;

/// A slot whose intent is not yet known to be committed.
pub(super) struct Pending {
    slot: SpoolSlot,
    answer: Answer,
}

impl Pending {
    /// The slot, once its intent is committed.
    pub(super) async fn committed(mut self) -> Result<SpoolSlot, LedgerError> {
        match wait(&mut self.answer).await {
            Ok(()) => {
                self.slot.sent = true;
                Ok(self.slot)
            }
            Err(error) => {
                // Nothing was written, so there is nothing to settle.
                self.slot.settled = true;
                self.slot.shared.give_back(1);
                Err(error)
            }
        }
    }
}

impl SpoolSlot {
    /// Takes a place and hands the intent to the writer.
    pub(super) fn begin(shared: &Arc<Shared>, intent: &Intent) -> Result<Pending, LedgerError> {
        shared.admit()?;
        shared.open.fetch_add(1, Ordering::SeqCst);
        let slot = Self {
            shared: Arc::clone(shared),
            call: shared.next_call.fetch_add(1, Ordering::Relaxed),
            request: *intent.call.request_id.as_bytes(),
            intent: encode_intent(intent).into(),
            sent: false,
            settled: false,
        };
        let answer = slot.hand_over(Kind::Intent, Arc::clone(&slot.intent));
        Ok(Pending { slot, answer })
    }

    fn hand_over(&self, kind: Kind, body: Arc<[u8]>) -> Answer {
        let (ack, answer) = oneshot::channel();
        let record = Record { call: self.call, request: self.request, kind, body, ack: Some(ack) };
        // When the writer has stopped, the record and its `ack` are dropped, and the answer says so.
        self.shared.queue.push(Command::Record(record));
        answer
    }

    /// The entry of a call that nobody settled: charged at its hold if its last attempt may have been sent.
    fn abandoned(&self) -> Result<Entry, DecodeError> {
        let mut intent: Intent = decode_intent(&self.intent)?;
        let now = self.shared.clock.now();
        if self.sent {
            return Ok(intent.orphaned(now));
        }
        if let Some(last) = intent.attempts.last_mut() {
            last.settle_free(now, AttemptStatus::ClientGone);
        }
        Ok(Entry::new(intent.call, Outcome::ClientGone, intent.attempts, Vec::new()))
    }
}

impl Slot for SpoolSlot {
    fn extend(&mut self, intent: &Intent) -> BoxFuture<'_, Result<(), LedgerError>> {
        // The attempt before this one is over, and its end is in this intent: from here on it is what a dropped
        // slot settles, whether or not the new attempt gets sent.
        self.intent = encode_intent(intent).into();
        self.sent = false;
        let mut answer = self.hand_over(Kind::Intent, Arc::clone(&self.intent));
        Box::pin(async move {
            wait(&mut answer).await?;
            self.sent = true;
            Ok(())
        })
    }

    fn settle(mut self: Box<Self>, entry: Entry) -> BoxFuture<'static, Result<(), LedgerError>> {
        self.settled = true;
        let mut answer = self.hand_over(Kind::Entry, encode_entry(&entry).into());
        drop(self);
        Box::pin(async move { wait(&mut answer).await })
    }
}

impl Drop for SpoolSlot {
    fn drop(&mut self) {
        if !self.settled {
            match self.abandoned() {
                Ok(entry) => drop(self.hand_over(Kind::Entry, encode_entry(&entry).into())),
                Err(error) => tracing::error!(
                    %error,
                    "the intent of an abandoned call cannot be read back; the next start settles it"
                ),
            }
        }
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn wait(answer: &mut Answer) -> Result<(), LedgerError> {
    answer.await.unwrap_or(Err(LedgerError::Closed))
}
