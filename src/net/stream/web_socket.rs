//! One WebSocket connection (RFC 7118): the upgrade with subprotocol `sip`, then a SIP message in each WebSocket message.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::hub::{Queue, Reports};
use super::{Heard, STALLED};
use crate::sip::endpoint::ConnectionId;
use crate::sip::wire::framer::MAX_FRAME;

/// After the handshake.
pub(super) type Socket<S> = WebSocketStream<S>;

/// RFC 7118 §4.1.
const SUBPROTOCOL: &str = "sip";
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";
/// More messages than this wait in the queue, which is limited by its bytes.
const MOST_WAITING: usize = 16;
/// Its buffers, per connection.
const BUFFER: usize = 4 * 1024;

/// Upgrades a connection to a WebSocket.
pub(super) async fn accept<S>(stream: S) -> io::Result<Socket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio_tungstenite::accept_hdr_async_with_config(stream, choose, Some(config()))
        .await
        .map_err(io::Error::other)
}

/// Asks for the upgrade of a connection that we opened.
pub(super) async fn connect<S>(stream: S, remote: SocketAddr) -> io::Result<Socket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("ws://{remote}/")
        .into_client_request()
        .map_err(io::Error::other)?;
    let asked = HeaderValue::from_static(SUBPROTOCOL);
    request.headers_mut().insert(PROTOCOL_HEADER, asked);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config()))
        .await
        .map_err(io::Error::other)?;
    Ok(socket)
}

fn config() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = BUFFER;
    config.write_buffer_size = BUFFER;
    config.max_message_size = Some(MAX_FRAME);
    config.max_frame_size = Some(MAX_FRAME);
    config
}

/// Whether the client speaks SIP, which the answer confirms.
#[expect(clippy::result_large_err, reason = "the library's signature")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all(PROTOCOL_HEADER);
    let speaks_sip = offers
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(SUBPROTOCOL));
    if !speaks_sip {
        let sentence = "this WebSocket is for SIP: ask for the subprotocol \"sip\"\n".to_owned();
        let mut refusal = ErrorResponse::new(Some(sentence));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    let chosen = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(PROTOCOL_HEADER, chosen);
    Ok(response)
}

/// Reads and writes until either side ends it; returns why.
pub(super) async fn run<S>(
    id: ConnectionId,
    socket: Socket<S>,
    mut queue: Queue,
    reports: &Reports,
) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let mut out: VecDeque<Bytes> = VecDeque::new();
    // Written, but not flushed.
    let mut dirty = false;
    let mut stuck_since = Instant::now();
    loop {
        let busy = dirty || !out.is_empty();
        tokio::select! {
            // Who sends pings and does not read their answers is not read either.
            read = stream.next(), if out.len() < MOST_WAITING => {
                let message = match read {
                    None => return "the far side closed it".to_owned(),
                    Some(Err(error)) => return error.to_string(),
                    Some(Ok(message)) => message,
                };
                if !busy {
                    stuck_since = Instant::now();
                }
                match content(message) {
                    // A ping, whose answer waits to be flushed, or the like.
                    None => dirty = true,
                    Some(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                        if bytes.len() >= PING.len() {
                            out.push_back(Bytes::from_static(PONG));
                        }
                    }
                    Some(bytes) => {
                        let heard = Heard::Message { connection: id, bytes };
                        if !reports.tell(heard).await {
                            return String::new();
                        }
                    }
                }
            }
            step = poll_fn(|cx| match out.is_empty() {
                true => sink.poll_flush_unpin(cx),
                false => sink.poll_ready_unpin(cx),
            }), if busy => {
                if let Err(error) = step {
                    return error.to_string();
                }
                stuck_since = Instant::now();
                let Some(bytes) = out.pop_front() else {
                    dirty = false;
                    continue;
                };
                queue.sent(bytes.len());
                if let Err(error) = sink.start_send_unpin(written(bytes)) {
                    return error.to_string();
                }
                dirty = true;
            }
            message = queue.messages.recv(), if out.len() < MOST_WAITING => match message {
                Some(bytes) => {
                    if !busy {
                        stuck_since = Instant::now();
                    }
                    out.push_back(bytes);
                }
                None => {
                    let parting = async {
                        for bytes in out {
                            sink.feed(written(bytes)).await?;
                        }
                        sink.close().await
                    };
                    // Who does not take it is left.
                    let _ = timeout(super::HANDSHAKE, parting).await;
                    return "closed by us".to_owned();
                }
            },
            () = sleep_until(stuck_since + STALLED), if busy => {
                return "the far side does not take what it is sent".to_owned();
            }
        }
    }
}

/// What a WebSocket message carries; `None`: nothing of SIP.
fn content(message: Message) -> Option<Bytes> {
    match message {
        Message::Text(text) => Some(Bytes::from(text)),
        Message::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// Text where it can be (RFC 7118 §4.2: what browsers show in their tools), binary where a body is not UTF-8.
fn written(bytes: Bytes) -> Message {
    match bytes.clone().try_into() {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";
