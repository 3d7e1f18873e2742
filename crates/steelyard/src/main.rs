//! The binary: allocator, TLS provider, exit code. Everything else is in the library beside it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    steelyard_gateway::install_tls_provider();
    steelyard::cli::main()
}
