//! Which conversations have a call under way: two at once would not know of each other, and what one of them asks of a tool
//! the other would answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use steelyard_core::{ApiError, ConversationId, ErrorCode};

/// The conversations of this process that have one.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<Mutex<HashSet<ConversationId>>>);

/// A call in a conversation; others are refused until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    busy: Busy,
    id: ConversationId,
}

impl Busy {
    /// Begins a call in a conversation, unless there is one.
    pub(super) fn enter(&self, id: ConversationId) -> Result<Entered, ApiError> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return Ok(Entered { busy: self.clone(), id });
        }
        let text = format!(
            "another call of the conversation '{id}' is under way: wait for its answer, and then send this one again"
        );
        Err(ApiError::new(ErrorCode::ConversationBusy, text).with_param("conversation"))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.busy.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_at_a_time() {
        let (busy, id) = (Busy::default(), ConversationId::new());
        let entered = busy.enter(id).unwrap();
        assert_eq!(busy.enter(id).unwrap_err().code, ErrorCode::ConversationBusy);
        assert!(busy.enter(ConversationId::new()).is_ok());
        drop(entered);
        assert!(busy.enter(id).is_ok());
    }
}
