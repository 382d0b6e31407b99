//! Where SIP is listened to, and the files of TLS.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::sip::endpoint::Transport;

/// One entry of `server.sip`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Over what.
    pub transport: Transport,
    /// Where; port 0: any free one.
    pub address: SocketAddr,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.address)
    }
}

/// `[server.tls]`, as paths that can be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Our certificate and those between it and a root, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who signs the certificates that clients may show; `None`: nobody is asked for one.
    pub client_ca: Option<PathBuf>,
    /// Who signs the certificates of the peers that we connect to; `None`: those whom the system trusts.
    pub ca: Option<PathBuf>,
}
