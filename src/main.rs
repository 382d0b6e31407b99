//! The `vats` command: parses the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    vats::cli::main()
}
