//! Writing objects, member by member, in the order that a wire is documented in.

use serde::Serialize;

use crate::json::{Extra, Json};

/// Writes one object, member by member.
#[derive(Debug)]
pub(crate) struct Object<'w> {
    out: &'w mut Vec<u8>,
    empty: bool,
}

impl<'w> Object<'w> {
    /// Writes an object whose members `fill` adds.
    pub(crate) fn write(out: &'w mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        let mut object = Object { out: &mut *out, empty: true };
        fill(&mut object);
        out.push(b'}');
    }

    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_json(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// Adds a member.
    pub(crate) fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        let out = self.key(name);
        write_json(out, value);
    }

    /// Adds a member that is a string, given in pieces. For long ones: what needs no escape is copied at once.
    pub(crate) fn text(&mut self, name: &str, pieces: &[&str]) {
        let out = self.key(name);
        // Room for what follows, too, so that a large string is not moved again.
        out.reserve(pieces.iter().map(|piece| piece.len()).sum::<usize>() + 64);
        out.push(b'"');
        for piece in pieces {
            if is_plain(piece.as_bytes()) {
                out.extend_from_slice(piece.as_bytes());
            } else {
                let quote = out.len();
                write_json(out, piece);
                out.pop();
                out.remove(quote);
            }
        }
        out.push(b'"');
    }

    /// Adds a member if there is a value.
    pub(crate) fn opt(&mut self, name: &str, value: Option<&(impl Serialize + ?Sized)>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// Adds a member that is null.
    pub(crate) fn null(&mut self, name: &str) {
        self.key(name).extend_from_slice(b"null");
    }

    /// Adds a member that is an object.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.key(name), fill);
    }

    /// Adds a member that is an array of objects.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) {
        let out = self.key(name);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            Object::write(out, |object| fill(object, item));
        }
        out.push(b']');
    }

    /// Adds the members of a carried object.
    pub(crate) fn members(&mut self, object: &Json) {
        // Carried JSON has no white space between its tokens, so an object without members is `{}`.
        let Some(inner) = object.get().strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
            return;
        };
        if inner.is_empty() {
            return;
        }
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.extend_from_slice(inner.as_bytes());
    }

    /// Adds members that were carried.
    pub(crate) fn extra(&mut self, extra: &Extra) {
        for (name, value) in extra {
            self.field(name, value);
        }
    }
}

/// Whether JSON writes this text as it is: a loop that the compiler makes wide.
fn is_plain(text: &[u8]) -> bool {
    let escaped = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.iter().fold(0, |any, byte| any | escaped(*byte)) == 0
}

fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value)
        .expect("strings, numbers and JSON serialise, and memory takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_in_order_with_its_strings_escaped() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.field("z", "a\n\"b\"");
            object.null("y");
            object.text("t", &["data:", "\n\"", "x"]);
            object.opt("x", None::<&u8>);
            object.objects("list", [1, 2], |item, number| item.field("n", &number));
            object.object("empty", |_| {});
            object.members(&Json::parse(r#"{"a":{"b":1}}"#).unwrap());
            object.members(&Json::parse("{}").unwrap());
        });
        assert_eq!(
            out,
            br#"{"z":"a\n\"b\"","y":null,"t":"data:\n\"x","list":[{"n":1},{"n":2}],"empty":{},"a":{"b":1}}"#
        );
    }
}
