//! `vats run`.

use std::process::ExitCode;

use super::ConfigArgs;

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs it.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("run is not available ({})", args.config.config.display())
}
