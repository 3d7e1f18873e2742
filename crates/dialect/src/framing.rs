//! What is put in where a vendor's wire lets only the user begin, end and be instructed between. One rule for every wire
//! without a place for instructions amid a conversation.

use crate::chat::{Message, Part, Role};
use crate::loss::Loss;

/// Before a conversation that the assistant begins.
pub(crate) const FIRST: &str = "(The assistant speaks first.)";
/// After one that the assistant ends, whose words the model would go on from.
pub(crate) const LAST: &str = "Go on.";

/// An instruction amid the user's words, so that it can be told from them.
pub(crate) fn instruction(text: &str) -> String {
    format!("<system>\n{text}\n</system>")
}

/// Whether the message is an instruction.
pub(crate) fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// What becomes of an instruction that does not stand at the head. `lonely`: there is nothing else, so it speaks for the
/// user.
pub(crate) fn amid(index: usize, lonely: bool) -> Loss {
    let why = if lonely {
        "the last of the instructions became the user's words"
    } else {
        "an instruction amid the conversation became a part of the user's turn, marked as one"
    };
    Loss::emulated(format!("messages[{index}]"), why)
}

/// [`FIRST`] was put in.
pub(crate) fn spoke_first(messages: &[Message]) -> Loss {
    let first = messages.iter().position(|message| message.role == Role::Assistant).unwrap_or_default();
    Loss::emulated(format!("messages[{first}]"), "the vendor lets the user speak first")
}

/// [`LAST`] was put in.
pub(crate) fn had_last_word(messages: &[Message]) -> Loss {
    let last = messages.len().saturating_sub(1);
    Loss::emulated(format!("messages[{last}]"), "the model lets the user have the last word")
}

/// The text without the white space at its end, which vendors refuse in the words that the model goes on from. None if
/// there is none.
pub(crate) fn trimmed(text: &str, messages: &[Message]) -> Option<(String, Loss)> {
    let kept = text.trim_end();
    let last = messages.len().saturating_sub(1);
    let parts = messages.last().map_or(&[][..], |message| &message.content);
    let part = parts.iter().rposition(|part| matches!(part, Part::Text { .. })).unwrap_or_default();
    let why = "white space at the end of the last assistant text was cut";
    let loss = || Loss::emulated(format!("messages[{last}].content[{part}]"), why);
    (kept.len() < text.len()).then(|| (kept.to_owned(), loss()))
}
