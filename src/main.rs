//! The `vats` command: parses the command line and hands over.

use std::process::ExitCode;

/// Gives what lingering transactions held back to the system, which the C library's allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vats::cli::main()
}
