//! An edge proxy between phones and the PBX (RFC 3327, RFC 5626 §5): stateless, over UDP, known to the PBX by its Path and Record-Route alone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use vats::sip::header::via::Via;
use vats::sip::wire::{Message, Method};

/// The proxy. Stops when dropped.
pub struct Edge {
    /// Where phones and the PBX reach it.
    pub address: SocketAddr,
    from_pbx: Arc<Mutex<Vec<Message>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Edge {
    /// In front of this PBX, at a free port of `ip`.
    pub fn start(ip: IpAddr, pbx: SocketAddr) -> Edge {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let from_pbx: Arc<Mutex<Vec<Message>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (heard, stopped) = (from_pbx.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let Ok(message) = Message::parse(Bytes::copy_from_slice(&buffer[..length])) else {
                    continue;
                };
                if from == pbx && message.is_request() {
                    heard.lock().unwrap().push(message.clone());
                }
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                let sent = match message.is_request() {
                    true => forward(address, pbx, from, &message, &text),
                    false => back(&text),
                };
                if let Some((to, text)) = sent {
                    socket.send_to(text.as_bytes(), to).unwrap();
                }
            }
        });
        Edge {
            address,
            from_pbx,
            stop,
            thread: Some(thread),
        }
    }

    /// The requests of this method that came from the PBX.
    pub fn requests(&self, method: Method) -> Vec<Message> {
        let heard = self.from_pbx.lock().unwrap();
        let found = heard.iter().filter(|message| message.method() == method);
        found.cloned().collect()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Where a request goes on, and how it looks then. Without a Route of ours the PBX's requests lead nowhere.
fn forward(
    ours: SocketAddr,
    pbx: SocketAddr,
    from: SocketAddr,
    request: &Message,
    text: &str,
) -> Option<(SocketAddr, String)> {
    let is_ours = |line: &str| line.starts_with("Route: ") && line.contains(&ours.to_string());
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    let route = lines.iter().position(|line| is_ours(line));
    let (to, phone) = if from == pbx {
        let phone = flow_of(&lines[route?])?;
        (phone, phone)
    } else {
        (pbx, from)
    };
    if let Some(route) = route {
        // Of several values in a line ours is the first.
        match lines[route].split_once(", ") {
            Some((_, others)) => lines[route] = format!("Route: {others}"),
            None => drop(lines.remove(route)),
        }
    }
    let top = lines.iter().position(|line| line.starts_with("Via: "))?;
    let received = format!(";received={};rport={}", from.ip(), from.port());
    lines[top] = lines[top].replace(";rport", "") + &received;
    // The same for what is repeated, for its CANCEL and its ACK.
    let mut hash = DefaultHasher::new();
    (request.branch(), from).hash(&mut hash);
    let via = format!("Via: SIP/2.0/UDP {ours};branch=z9hG4bKe{:x}", hash.finish());
    lines.insert(top, via);
    let token = phone.to_string().replace([':', '.'], "-");
    let is_first = request.to_tag().is_none();
    match request.method() {
        Method::Register => lines.insert(top, format!("Path: <sip:{token}@{ours};lr;ob>")),
        Method::Invite | Method::Subscribe if is_first => {
            lines.insert(top, format!("Record-Route: <sip:{token}@{ours};lr>"));
        }
        _ => {}
    }
    Some((to, lines.join("\r\n") + "\r\n\r\n" + body))
}

/// Where a response goes: to the Via below ours.
fn back(text: &str) -> Option<(SocketAddr, String)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines.remove(lines.iter().position(|line| line.starts_with("Via: "))?);
    let next = lines.iter().find_map(|line| line.strip_prefix("Via: "))?;
    let next = Via::parse_list(next)?.into_iter().next()?;
    let ip = next.param("received")?.parse().ok();
    let port = next.param("rport")?.parse().ok();
    let to = SocketAddr::new(ip?, port?);
    Some((to, lines.join("\r\n") + "\r\n\r\n" + body))
}

/// The phone that a Route of ours stands for.
fn flow_of(route: &str) -> Option<SocketAddr> {
    let (token, _) = route.split_once("<sip:")?.1.split_once('@')?;
    let (ip, port) = token.rsplit_once('-')?;
    let ip = ip.replace('-', ".").parse().ok()?;
    Some(SocketAddr::new(ip, port.parse().ok()?))
}
