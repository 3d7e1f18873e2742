//! The elements of a JSON array that comes in bytes of any chunking, each as soon as it is complete.
//!
//! Only objects are elements: that is all a stream of answers holds. An object outside of any array is one, too, because
//! an error may come alone.

use crate::error::WireError;
use crate::json::{At, Fault};
use crate::sse::MAX_EVENT;

/// Finds elements.
#[derive(Debug, Default)]
pub(super) struct Elements {
    /// The unfinished element.
    carry: Vec<u8>,
    /// How many braces and brackets of it are open; none between elements.
    depth: usize,
    quoted: bool,
    escaped: bool,
    began: bool,
    ended: bool,
}

impl Elements {
    /// Takes the next chunk and calls `each` with every element that it completes, in order.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        // Where the element begins in this chunk, if it is open.
        let mut from = 0;
        for (at, byte) in chunk.iter().enumerate() {
            if self.depth == 0 {
                match byte {
                    b'{' => {
                        self.depth = 1;
                        from = at;
                    }
                    b'[' if !self.began => self.began = true,
                    b']' if self.began && !self.ended => self.ended = true,
                    b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                    _ => return Err(Fault::invalid(&At::Root, "the stream is no array of answers").into()),
                }
                continue;
            }
            match (self.quoted, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (_, b'"') => self.quoted = !self.quoted,
                (false, b'{' | b'[') => self.depth += 1,
                (false, b'}' | b']') => self.depth -= 1,
                _ => {}
            }
            if self.depth == 0 {
                let element = &chunk[from..=at];
                if self.carry.is_empty() {
                    each(element)?;
                } else {
                    self.carry.extend_from_slice(element);
                    each(&std::mem::take(&mut self.carry))?;
                }
            }
        }
        if self.depth > 0 {
            let more = &chunk[from..];
            if self.carry.len() + more.len() > MAX_EVENT {
                return Err(WireError::TooLong { limit: MAX_EVENT });
            }
            self.carry.extend_from_slice(more);
        }
        Ok(())
    }

    /// Whether the array was closed.
    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_however_the_array_is_cut() {
        let text = "[{\"a\":\"}]\\\"{\"}\n,\r\n{\"b\":[{\"c\":1}]} ]\n";
        for size in 1..=text.len() {
            let mut elements = Elements::default();
            let mut found: Vec<String> = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                let keep = |element: &[u8]| {
                    found.push(String::from_utf8(element.to_vec()).unwrap());
                    Ok(())
                };
                elements.push(chunk, keep).unwrap();
            }
            assert_eq!(found, ["{\"a\":\"}]\\\"{\"}", "{\"b\":[{\"c\":1}]}"], "{size}");
            assert!(elements.is_complete());
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["<html>", "[1]", "[{}]]", "data: {}"] {
            assert!(Elements::default().push(text.as_bytes(), |_| Ok(())).is_err(), "{text}");
        }
    }
}
