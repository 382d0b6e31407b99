//! TLS for SIP: certificate and key from files, exchanged without a restart; whom we believe, and who may show us a certificate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::dialplan::listener::TlsFiles;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds nothing usable.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not belong together, or the key's kind is not known.
    #[error("the certificate {} and the key {} do not go together: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        why: String,
    },
    /// A list of authorities is not usable.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// One set of certificates in force.
#[derive(Clone, Debug)]
pub struct Tls {
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        let chain = certificates(&files.certificate)?;
        let key = key(&files.key)?;
        let pair = |error: rustls::Error| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            why: error.to_string(),
        };
        let builder = versions(ServerConfig::builder_with_provider(provider()))?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| TlsError::Setup(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let server = builder
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(pair)?;
        let client = client_builder(files.ca.as_deref())?
            .with_client_auth_cert(chain, key)
            .map_err(pair)?;
        Ok(Tls {
            server: Some(Arc::new(server)),
            client: Arc::new(client),
        })
    }

    /// Without a certificate of ours: connections can be opened, not accepted. `ca`: whom to believe instead of the system's authorities.
    pub fn client_only(ca: Option<&Path>) -> Result<Tls, TlsError> {
        let client = client_builder(ca)?.with_no_client_auth();
        Ok(Tls {
            server: None,
            client: Arc::new(client),
        })
    }

    /// Accepts a connection.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let server = self.server.clone();
        let server = server.ok_or_else(|| io::Error::other("there is no certificate of ours"))?;
        TlsAcceptor::from(server).accept(stream).await
    }

    /// Opens a connection to whom `name` belongs, a host name or an IP address.
    pub async fn connect(
        &self,
        stream: TcpStream,
        name: &str,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.client))
            .connect(name, stream)
            .await
    }
}

/// The DNS names of the certificate that the far side showed and that was verified; empty without one.
pub fn names_of(stream: &tokio_rustls::server::TlsStream<TcpStream>) -> Vec<String> {
    let (_, session) = stream.get_ref();
    let Some(shown) = session.peer_certificates().and_then(|chain| chain.first()) else {
        return Vec::new();
    };
    webpki::EndEntityCert::try_from(shown)
        .map(|certificate| {
            let names = certificate.valid_dns_names();
            names.map(str::to_ascii_lowercase).collect()
        })
        .unwrap_or_default()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn versions<S: rustls::ConfigSide>(
    builder: rustls::ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<rustls::ConfigBuilder<S, rustls::WantsVerifier>, TlsError> {
    builder
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))
}

fn client_builder(
    ca: Option<&Path>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
    let roots = match ca {
        Some(path) => roots(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            // A certificate that cannot be read is one authority less; a system without any fails when a connection is opened.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let builder = versions(ClientConfig::builder_with_provider(provider()))?;
    Ok(builder.with_root_certificates(roots))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| in_file(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| in_file(path, error))?;
    if found.is_empty() {
        return Err(in_file(path, "there is no PEM certificate in it"));
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| in_file(path, "there is no PEM private key in it"))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| in_file(path, error))
}

fn in_file(path: &Path, why: impl ToString) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
