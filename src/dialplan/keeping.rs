//! What holds for the whole PBX beside `[server]`: who is kept out, and how recordings are kept.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// `[security]`: what strangers may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Security {
    /// Networks that are neither limited nor banned.
    pub allow: Vec<IpNet>,
    /// Messages a second from one source.
    pub requests: u32,
    /// Failed authentications within `window` that ban a source.
    pub failures: u32,
    /// How long failed authentications are remembered.
    pub window: Duration,
    /// How long a ban lasts.
    pub ban: Duration,
}

impl Default for Security {
    fn default() -> Security {
        Security {
            allow: Vec::new(),
            requests: 100,
            failures: 10,
            window: Duration::from_secs(600),
            ban: Duration::from_secs(3_600),
        }
    }
}

/// `[recordings]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Recordings {
    /// The root, relative to the working directory.
    pub path: PathBuf,
    /// How they are kept.
    pub format: RecordingFormat,
}

/// `recordings.format`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum RecordingFormat {
    /// As they were written.
    #[default]
    Wav,
    /// A copy in Opus replaces the file after the call.
    Opus,
}
