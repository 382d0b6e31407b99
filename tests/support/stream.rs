//! SIP by hand over a connection: TCP, TLS or a WebSocket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Packet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use vats::ledger::entropy::Entropy;
use vats::sip::auth::{Credentials, answer_challenge};
use vats::sip::wire::framer::{Frame, Framer};
use vats::sip::wire::{Message, Name};

/// How long an answer may take.
pub const SOON: Duration = Duration::from_secs(5);

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

enum Wire {
    Bytes(Box<dyn Both>, Framer),
    Web(Box<WebSocketStream<TcpStream>>),
}

/// A connection to the PBX.
pub struct Stream {
    wire: Wire,
    /// `TCP`, `TLS` or `WS`.
    pub transport: &'static str,
    /// Our end.
    pub at: SocketAddr,
    count: u32,
}

impl Stream {
    pub async fn tcp(pbx: SocketAddr) -> Stream {
        let stream = TcpStream::connect(pbx).await.unwrap();
        let at = stream.local_addr().unwrap();
        Stream::over("TCP", at, Wire::Bytes(Box::new(stream), Framer::new()))
    }

    pub async fn tls(
        pbx: SocketAddr,
        name: &str,
        client: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<Stream> {
        Stream::tls_from("127.0.0.1".parse().unwrap(), pbx, name, client).await
    }

    /// As `tls`, from this address.
    pub async fn tls_from(
        source: IpAddr,
        pbx: SocketAddr,
        name: &str,
        client: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<Stream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source, 0))?;
        let stream = socket.connect(pbx).await?;
        let at = stream.local_addr()?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = tokio_rustls::TlsConnector::from(client);
        let stream = connector.connect(name, stream).await?;
        Ok(Stream::over(
            "TLS",
            at,
            Wire::Bytes(Box::new(stream), Framer::new()),
        ))
    }

    /// A WebSocket with this subprotocol; the refusal's status otherwise.
    pub async fn web(pbx: SocketAddr, subprotocol: &str) -> Result<Stream, u16> {
        let stream = TcpStream::connect(pbx).await.unwrap();
        let at = stream.local_addr().unwrap();
        let mut request = format!("ws://{pbx}/").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
                Ok(Stream::over("WS", at, Wire::Web(Box::new(socket))))
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn over(transport: &'static str, at: SocketAddr, wire: Wire) -> Stream {
        Stream {
            wire,
            transport,
            at,
            count: 0,
        }
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        let bytes = text.as_ref();
        match &mut self.wire {
            Wire::Bytes(stream, _) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
            Wire::Web(socket) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                socket.send(Packet::text(text)).await.unwrap();
            }
        }
    }

    /// The next frame; `None`: closed, or nothing within the limit.
    pub async fn frame(&mut self, limit: Duration) -> Option<Frame> {
        timeout(limit, self.next()).await.ok().flatten()
    }

    async fn next(&mut self) -> Option<Frame> {
        match &mut self.wire {
            Wire::Bytes(stream, framer) => loop {
                if let Some(frame) = framer.next_frame().unwrap() {
                    return Some(frame);
                }
                // A lone CRLF is the answer to a ping.
                if &framer.buffer()[..] == b"\r\n" {
                    framer.buffer().clear();
                    return Some(Frame::Pong);
                }
                if stream.read_buf(framer.buffer()).await.ok()? == 0 {
                    return None;
                }
            },
            Wire::Web(socket) => loop {
                match socket.next().await?.ok()? {
                    Packet::Text(text) => return Some(Frame::Message(Bytes::from(text))),
                    Packet::Binary(bytes) => return Some(Frame::Message(bytes)),
                    _ => {}
                }
            },
        }
    }

    /// Whether the PBX closes it within the limit.
    pub async fn is_closed(&mut self, limit: Duration) -> bool {
        matches!(timeout(limit, self.next()).await, Ok(None))
    }

    pub async fn message(&mut self) -> Message {
        match self.frame(SOON).await {
            Some(Frame::Message(bytes)) => Message::parse(bytes).unwrap(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next final response.
    pub async fn answer(&mut self) -> Message {
        loop {
            let message = self.message().await;
            if message.status() >= 200 {
                return message;
            }
        }
    }

    /// The next request of this method.
    pub async fn request(&mut self, method: &str) -> Message {
        loop {
            let message = self.message().await;
            if message.is_request() && message.method_text() == method {
                return message;
            }
        }
    }

    /// A request outside a dialog. `host` is what Via and Contact call us.
    pub fn draw(&mut self, method: &str, uri: &str, host: &str, more: &str, body: &str) -> String {
        self.count += 1;
        let n = self.count;
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let port = self.at.port();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {host};branch=z9hG4bK{port}s{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:+79160000001@x>;tag=f{n}\r\nTo: <{uri}>\r\nCall-ID: s{n}-{at}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:x@{host};transport={transport}>\r\n{more}{kind}Content-Length: {length}\r\n\r\n{body}",
            via = self.transport,
            at = self.at,
            transport = self.transport.to_ascii_lowercase(),
            length = body.len(),
        )
    }

    /// A request within the dialog that this 200 to our INVITE made.
    pub fn within(&mut self, ok: &Message, method: &str, cseq: u32) -> String {
        self.count += 1;
        let contact = ok.header(Name::Contact).unwrap();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {at};branch=z9hG4bK{port}w{n}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {id}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            uri = contact.trim_matches(['<', '>']),
            via = self.transport,
            at = self.at,
            port = self.at.port(),
            n = self.count,
            from = ok.header(Name::From).unwrap(),
            to = ok.header(Name::To).unwrap(),
            id = ok.call_id(),
        )
    }

    /// Answers a request.
    pub async fn respond(&mut self, request: &Message, code: u16, contact: &str, body: &str) {
        let mut text = format!("SIP/2.0 {code} X\r\n");
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            for value in request.headers(name) {
                text += &format!("{name}: {value}\r\n");
            }
        }
        let to = request.header(Name::To).unwrap();
        let tag = if request.to_tag().is_some() {
            ""
        } else {
            ";tag=theirs"
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        text += &format!(
            "To: {to}{tag}\r\nContact: <{contact}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(text).await;
    }

    /// REGISTER of an operator with the password that `pbx::operator` gives; the answer. `contact` is a whole Contact value, `host` what Via calls us.
    pub async fn register(&mut self, user: &str, contact: &str, host: &str, more: &str) -> Message {
        let uri = "sip:pbx.test";
        let aor = format!("<sip:{user}@pbx.test>");
        let drawn = self.draw("REGISTER", uri, host, more, "");
        let lines: Vec<String> = drawn
            .lines()
            .map(|line| match line.split(':').next() {
                Some("From") => format!("From: {aor};tag=r"),
                Some("To") => format!("To: {aor}"),
                Some("Contact") => format!("Contact: {contact}\r\nExpires: 600"),
                _ => line.to_owned(),
            })
            .collect();
        let first = lines.join("\r\n") + "\r\n";
        self.send(&first).await;
        let challenge = self.answer().await;
        assert_eq!(challenge.status(), 401);
        let credentials = Credentials {
            user: user.to_owned(),
            password: format!("secret-{user}"),
            realm: None,
        };
        let mut entropy = Entropy::from_number(7);
        let (name, value) =
            answer_challenge(&challenge, "REGISTER", uri, &credentials, 1, &mut entropy).unwrap();
        let second = first
            .replace("CSeq: 1", &format!("{name}: {value}\r\nCSeq: 2"))
            .replace("branch=z9hG4bK", "branch=z9hG4bKr");
        self.send(second).await;
        self.answer().await
    }
}
