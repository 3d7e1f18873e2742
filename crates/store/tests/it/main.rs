//! What only whole processes can show: `kill -9`, the lock, and a file that may not grow.
//!
//! The children are this test binary again, running one of the ignored tests below.
#![expect(clippy::unwrap_used, clippy::panic, reason = "all of this is tests")]

mod child;
mod disk;
mod kill;
mod lock;
