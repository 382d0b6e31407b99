//! How a test phone reaches the PBX: the transport, the address, and over TLS whom it believes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::net::tls::Tls;
use crate::sdp::codec::Codec;
use crate::sip::endpoint::Transport;

/// Arguments that both test phones take.
#[derive(clap::Args, Debug)]
pub struct LineArgs {
    /// udp, tcp, tls, ws or wss [default: what the URI says, else udp]
    #[arg(long, value_parser = transport)]
    transport: Option<Transport>,
    /// Over TLS: a PEM file with the authority that signed the PBX's certificate [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Codecs to offer and accept, in order of preference: pcmu, pcma, g722, opus
    #[arg(long, value_delimiter = ',', default_value = "pcmu,pcma", value_parser = codec)]
    codec: Vec<Codec>,
}

impl LineArgs {
    /// The codecs to speak.
    pub fn codecs(&self) -> &[Codec] {
        &self.codec
    }

    /// The transport to use, where a URI asks for `asked`.
    pub fn transport(&self, asked: Option<Transport>) -> Transport {
        self.transport.or(asked).unwrap_or(Transport::Udp)
    }

    /// The line to a host.
    pub async fn to(
        &self,
        transport: Transport,
        host: &str,
        port: Option<u16>,
    ) -> anyhow::Result<Line> {
        let port = port.unwrap_or(transport.default_port());
        Ok(Line {
            transport,
            remote: super::resolve(host, port).await?,
            name: host.to_owned(),
            ca: self.ca.clone(),
        })
    }
}

/// One way to the PBX.
#[derive(Clone, Debug)]
pub struct Line {
    /// Over what.
    pub transport: Transport,
    /// Where to.
    pub remote: SocketAddr,
    /// Whom the certificate must name.
    pub name: String,
    ca: Option<PathBuf>,
}

impl Line {
    /// What TLS needs; `None` without TLS.
    pub(super) fn tls(&self) -> anyhow::Result<Option<Tls>> {
        if !self.transport.is_secure() {
            return Ok(None);
        }
        Ok(Some(Tls::client_only(self.ca.as_deref().map(Path::new))?))
    }

    /// What is said when nothing answers.
    pub fn nobody_there(&self) -> String {
        format!(
            "nothing answers SIP over {} at {}; does the PBX run there? `vats run` prints where it listens",
            self.transport.in_via(),
            self.remote
        )
    }
}

fn transport(text: &str) -> Result<Transport, String> {
    Transport::parse(text).ok_or_else(|| "use udp, tcp, tls, ws or wss".to_owned())
}

fn codec(text: &str) -> Result<Codec, String> {
    let mut all = Codec::ALL.into_iter();
    all.find(|codec| codec.encoding().eq_ignore_ascii_case(text))
        .ok_or_else(|| "use pcmu, pcma, g722 or opus".to_owned())
}
