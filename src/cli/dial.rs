//! `vats dial`: a test phone that calls.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whom to call: sip:+74951000001@127.0.0.1:5060.
    #[arg(value_name = "URI")]
    pub uri: String,
    /// Who calls.
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// Keys to press, each with the time after the answer or the key before: 1@2s,2@500ms.
    #[arg(long, value_name = "KEYS")]
    pub keys: Option<String>,
    /// A WAV file to speak.
    #[arg(long, value_name = "F.wav")]
    pub play: Option<PathBuf>,
    /// Where to write what is heard.
    #[arg(long, value_name = "F.wav")]
    pub record: Option<PathBuf>,
    /// Hang up so long after the answer.
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub hold: Option<Duration>,
}

/// Runs it.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("dial is not available ({})", args.uri)
}
