//! Kamailio: as an edge proxy that phones reach over TLS or UDP, and the PBX over TCP, with Path and Record-Route; or as a provider. Its package starts a
//! server of its own, so it is not installed for the tests: they use it where it is.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, free_port};

/// A running Kamailio. Killed when dropped.
pub struct Kamailio {
    folder: TempDir,
    child: Child,
    /// Where phones reach it over UDP, and the PBX over TCP.
    pub address: SocketAddr,
    /// Where phones reach it over TLS.
    pub secure: SocketAddr,
}

impl Kamailio {
    /// An edge in front of this PBX's TCP listener; a sentence why there is none.
    pub async fn edge(
        ip: IpAddr,
        pbx: SocketAddr,
        (certificate, key): &(PathBuf, PathBuf),
    ) -> Result<Kamailio, String> {
        let config = EDGE
            .replace("PBX", &pbx.to_string())
            .replace("CERTIFICATE", &certificate.display().to_string())
            .replace("KEY", &key.display().to_string());
        Kamailio::run(ip, &config).await
    }

    /// A provider: the account `shop` (password `secret`) registers at it and calls through it, challenged at each request with a nonce that lives for two
    /// seconds. Numbers that end in 1 are the first far side's, those that end in 2 are both's at once; others call the account.
    pub async fn provider(
        ip: IpAddr,
        pbx: SocketAddr,
        far: [SocketAddr; 2],
    ) -> Result<Kamailio, String> {
        let config = PROVIDER
            .replace("PBXIP", &pbx.ip().to_string())
            .replace("FIRST", &far[0].to_string())
            .replace("SECOND", &far[1].to_string());
        Kamailio::run(ip, &config).await
    }

    async fn run(ip: IpAddr, config: &str) -> Result<Kamailio, String> {
        let modules = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .map(|lib| PathBuf::from(lib).join("kamailio/modules"))
            .into_iter()
            .find(|modules| modules.join("tls.so").exists())
            .ok_or("kamailio and kamailio-tls-modules are not installed")?;
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::new(ip, free_port(ip));
        let secure = SocketAddr::new(ip, free_port(ip));
        let config = format!("{BEGIN}{config}")
            .replace("MODULES", &modules.display().to_string())
            .replace("PLAIN", &address.to_string())
            .replace("SECURE", &secure.to_string());
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(folder.path().join("log.txt")).unwrap();
        let child = Command::new("/usr/sbin/kamailio")
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-f"])
            .arg(&file)
            .arg("-P")
            .arg(folder.path().join("pid"))
            .arg("-Y")
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("kamailio: {error}"))?;
        let kamailio = Kamailio {
            folder,
            child,
            address,
            secure,
        };
        eventually(Duration::from_secs(10), "Kamailio listens", || async {
            let is_up = std::net::TcpStream::connect(address).is_ok();
            is_up.then_some(())
        })
        .await;
        Ok(kamailio)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it.
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("kamailio:\n{}", self.log());
        }
    }
}

const BEGIN: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
mpath="MODULES"
listen=udp:PLAIN
listen=tcp:PLAIN
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
"#;

const EDGE: &str = r#"
enable_tls=yes
listen=tls:SECURE
loadmodule "path.so"
loadmodule "nathelper.so"
loadmodule "tls.so"
modparam("tls", "certificate", "CERTIFICATE")
modparam("tls", "private_key", "KEY")
modparam("tls", "tls_method", "TLSv1.2+")
modparam("path", "use_received", 1)
modparam("rr", "enable_double_rr", 1)

request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  xlog("L_NOTICE", "EDGE $rm from $proto:$si:$sp route=$hdr(Route)\n");
  force_rport();
  if (is_method("CANCEL")) { if (t_check_trans()) { route(RELAY); } exit; }
  if ($proto == "tcp") {
    loose_route();
    handle_ruri_alias();
    if (is_method("INVITE|SUBSCRIBE") && !has_totag()) { record_route(); }
    route(RELAY);
    exit;
  }
  if (is_method("REGISTER")) {
    add_path_received();
    $du = "sip:PBX;transport=tcp";
    route(RELAY);
    exit;
  }
  if (is_method("INVITE|UPDATE|SUBSCRIBE")) { add_contact_alias(); }
  if (has_totag()) { loose_route(); route(RELAY); exit; }
  if (is_method("INVITE|SUBSCRIBE")) { record_route(); }
  remove_hf("Route");
  $du = "sip:PBX;transport=tcp";
  route(RELAY);
}

route[RELAY] {
  t_on_reply("ANSWER");
  if (!t_relay()) { sl_reply_error(); }
  exit;
}

onreply_route[ANSWER] {
  if ($proto != "tcp" && is_method("INVITE")) { add_contact_alias(); }
}
"#;

const PROVIDER: &str = r#"
loadmodule "corex.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("auth", "nonce_expire", 2)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 0)
modparam("registrar", "max_expires", 20)
modparam("registrar", "min_expires", 15)

request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  xlog("L_NOTICE", "PROVIDER $rm $ru from $si:$sp\n");
  force_rport();
  if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
  if (is_method("OPTIONS") && uri == myself && !has_totag()) { sl_send_reply("200", "OK"); exit; }
  if ($si == "PBXIP" && !is_method("ACK")) {
    if (is_method("REGISTER")) {
      if (!pv_www_authenticate("carrier", "secret", "0")) {
        xlog("L_NOTICE", "PROVIDER challenges $rm\n");
        www_challenge("carrier", "1");
        exit;
      }
      if ($au != "shop") { sl_send_reply("403", "Forbidden"); exit; }
      if (!save("location")) { sl_reply_error(); }
      exit;
    }
    if (!pv_proxy_authenticate("carrier", "secret", "0")) {
      xlog("L_NOTICE", "PROVIDER challenges $rm\n");
      proxy_challenge("carrier", "1");
      exit;
    }
    consume_credentials();
  }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
    sl_send_reply("404", "Not here");
    exit;
  }
  if (is_method("INVITE")) { record_route(); }
  if ($si != "PBXIP") {
    $ru = "sip:shop@PLAIN";
    if (!lookup("location")) { sl_send_reply("480", "Not registered"); exit; }
    t_relay();
    exit;
  }
  if ($rU =~ "1$") { $ru = "sip:" + $rU + "@FIRST"; }
  else {
    $ru = "sip:" + $rU + "@FIRST";
    append_branch("sip:far@SECOND");
  }
  t_relay();
}
"#;
