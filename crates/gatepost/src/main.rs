//! The `gatepost` command.

use std::process::ExitCode;

/// Messages and their envelopes are made in one thread and freed in another, thousands of times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gatepost::cli::main()
}
