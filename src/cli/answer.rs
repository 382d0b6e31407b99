//! `vats answer`: a test phone that registers and answers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The operator.
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// The operator's password.
    #[arg(long, value_name = "PASSWORD")]
    pub password: String,
    /// The PBX's address.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5060")]
    pub server: String,
    /// How long it rings before it answers.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = super::duration)]
    pub after: Duration,
    /// A WAV file to speak.
    #[arg(long, value_name = "F.wav")]
    pub play: Option<PathBuf>,
    /// Where to write what is heard.
    #[arg(long, value_name = "F.wav")]
    pub record: Option<PathBuf>,
}

/// Runs it.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("answer is not available ({})", args.user)
}
