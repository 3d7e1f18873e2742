//! Places in a JSON text, and what nobody read of it.

use std::cell::RefCell;
use std::fmt;

use crate::json::{Fault, Fields};

/// A place in a JSON text, as a chain on the stack: it costs nothing until a fault is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'p> {
    /// A text of which nobody wants to know what is left unread.
    Root,
    /// A request, of which what is left unread is noted.
    Body(&'p Unread),
    Field(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl<'p> At<'p> {
    pub(crate) fn field(&'p self, name: &'p str) -> Self {
        Self::Field(self, name)
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// What stands here goes on as it was written, so that nothing in it is left unread.
    pub(crate) fn carried(&self) {
        if let Some(unread) = self.unread().filter(|unread| !unread.0.borrow().is_empty()) {
            let at = self.to_string();
            let inside =
                |path: &mut String| path.strip_prefix(&at).is_some_and(|rest| rest.starts_with(['.', '[']));
            // What was read of it was read last.
            while unread.0.borrow_mut().pop_if(inside).is_some() {}
        }
    }

    /// What stands here cannot be read at all.
    pub(super) fn unreadable(&self) {
        self.carried();
        self.note();
    }

    /// What stands here is left unread.
    pub(super) fn note(&self) {
        if let Some(unread) = self.unread() {
            unread.0.borrow_mut().push(self.to_string());
        }
    }

    fn unread(&self) -> Option<&'p Unread> {
        match self {
            Self::Root => None,
            Self::Body(unread) => Some(unread),
            Self::Field(parent, _) | Self::Index(parent, _) => parent.unread(),
        }
    }
}

/// The members of a request that no reader took, by their paths. [`Fields`] notes them when it is let go.
#[derive(Debug, Default)]
pub(crate) struct Unread(RefCell<Vec<String>>);

impl Unread {
    /// Reads the object that `text` is: what `read` makes of it, and the paths of the members that it left unread.
    pub(crate) fn of<T>(
        text: &str,
        read: impl FnOnce(Fields<'_, '_>) -> Result<T, Fault>,
    ) -> Result<(T, Vec<String>), Fault> {
        let unread = Self::default();
        let at = At::Body(&unread);
        let value = read(Fields::of_text(text, &at)?)?;
        Ok((value, unread.0.take()))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root | Self::Body(_) => Ok(()),
            Self::Field(Self::Root | Self::Body(_), name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
