//! `vats run`.

use std::process::ExitCode;

use super::{ConfigArgs, report};
use crate::{app, observe};

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs the PBX.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    if let Err(error) = observe::logging::start() {
        anyhow::bail!("the log cannot be set up: {error}");
    }
    Ok(app::run(&args.config.config).unwrap_or_else(|error| {
        report::print_error(&error);
        ExitCode::FAILURE
    }))
}
