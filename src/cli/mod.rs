//! The command line: what can be asked of `vats`, and one file per command.

mod answer;
mod check;
mod dial;
mod phone;
mod report;
mod route;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A cloud virtual PBX in one binary: no missed call lost, every call knows its landing page.
#[derive(Parser, Debug)]
#[command(
    name = "vats",
    version,
    about,
    after_help = "Start with: vats run. It prints what can be dialled and commands to try.\nLogs are filtered by VATS_LOG, such as VATS_LOG=debug or VATS_LOG=vats::notify=debug,warn."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the PBX: logs to stderr, prints its addresses on stdout, drains on SIGTERM, reloads on SIGHUP.
    Run(run::Args),
    /// Check the configuration: every problem with its place and a hint, then the [[test]] blocks.
    Check(check::Args),
    /// Show where a call would go, each rule tried and why; places no call.
    Route(route::Args),
    /// Call a SIP URI with a built-in test phone; exit code 0 when it was answered.
    Dial(dial::Args),
    /// Register as an operator with a built-in test phone and answer calls until Ctrl-C.
    Answer(answer::Args),
}

/// Where the configuration is.
#[derive(clap::Args, Debug)]
pub struct ConfigArgs {
    /// The directory of the configuration.
    #[arg(long, value_name = "DIR", default_value = "config")]
    pub config: PathBuf,
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::main(args),
        Command::Check(args) => check::main(args),
        Command::Route(args) => route::main(args),
        Command::Dial(args) => dial::main(args),
        Command::Answer(args) => answer::main(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("vats: {error:#}");
        ExitCode::FAILURE
    })
}

/// A duration as the configuration writes it.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::dialplan::config::read_duration(text)
        .ok_or_else(|| "write a whole number and ms, s, m or h, such as 10s".to_owned())
}

/// Now, for what is asked without a time.
fn wall_now() -> crate::ledger::clock::Wall {
    crate::ledger::clock::Wall::from_micros(jiff::Timestamp::now().as_microsecond())
}
