//! TLS for peers that have none, as SIPp of Debian: socat (OpenSSL) beside them, which carries their TCP connections over TLS and back.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, free_port};

/// A running socat. Killed when dropped, its connections with it.
pub struct Tunnel {
    child: Child,
    log: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Tunnel {
    /// Takes TCP connections on `ip` and carries each over TLS to `server`, which has to be `name` by this authority.
    pub async fn into_tls(ip: IpAddr, server: SocketAddr, name: &str, ca: &Path) -> Tunnel {
        let address = SocketAddr::new(ip, free_port(ip));
        let ca = ca.display();
        Tunnel::run(
            address,
            &format!("TCP-LISTEN:{},bind={ip},reuseaddr,fork", address.port()),
            &format!(
                "OPENSSL:{server},bind={ip},cafile={ca},verify=1,commonname={name},snihost={name}"
            ),
        )
        .await
    }

    /// Takes TLS connections at `address` with this certificate and its key, and carries each over TCP to `to`.
    pub async fn out_of_tls(
        address: SocketAddr,
        (certificate, key): &(PathBuf, PathBuf),
        to: SocketAddr,
    ) -> Tunnel {
        let (ip, port) = (address.ip(), address.port());
        let (certificate, key) = (certificate.display(), key.display());
        Tunnel::run(
            address,
            &format!("OPENSSL-LISTEN:{port},bind={ip},reuseaddr,fork,cert={certificate},key={key},verify=0"),
            &format!("TCP:{to},bind={ip}"),
        )
        .await
    }

    async fn run(address: SocketAddr, from: &str, to: &str) -> Tunnel {
        let log = tempfile::tempdir().unwrap();
        let said = std::fs::File::create(log.path().join("socat.txt")).unwrap();
        let child = Command::new("socat")
            .args(["-d", "-d", from, to])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("socat is installed (make test-packages)");
        let tunnel = Tunnel {
            child,
            log,
            address,
        };
        eventually(Duration::from_secs(5), "socat listens", || async {
            tunnel.log().contains("listening on").then_some(())
        })
        .await;
        tunnel
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("socat.txt")).unwrap_or_default()
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.log().matches("accepting connection").count()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Each connection is a child of its own.
        let parent = self.child.id().to_string();
        Command::new("pkill").args(["-P", &parent]).status().ok();
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("socat:\n{}", self.log());
        }
    }
}
