//! `steelyard serve` with a ledger that writes nothing: `cargo xtask bench` measures it beside the real one, so that
//! the price of durability is visible. Not for use: its calls are on no bill.

use std::sync::Arc;

use clap::Parser;
use steelyard::cli::serve::ServeArgs;
use steelyard_core::port::{BoxFuture, Ledger, LedgerError, Slot};
use steelyard_core::record::{Entry, Intent};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Arguments {
    /// As `steelyard serve`
    Serve(ServeArgs),
}

struct NullLedger;

struct NullSlot;

impl Ledger for NullLedger {
    fn open(&self, _: &Intent) -> BoxFuture<'_, Result<Box<dyn Slot>, LedgerError>> {
        Box::pin(std::future::ready(Ok(Box::new(NullSlot) as Box<dyn Slot>)))
    }
}

impl Slot for NullSlot {
    fn extend(&mut self, _: &Intent) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn settle(self: Box<Self>, _: Entry) -> BoxFuture<'static, Result<(), LedgerError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments::Serve(arguments) = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(steelyard::serve::run_with(arguments, Some(Arc::new(NullLedger))))
}
