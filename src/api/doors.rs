//! The interface's connections: how many there may be at once, and how long one may keep us waiting.
//!
//! Without these limits anybody who reaches the port could hold connections open until the process has no file
//! descriptors left for the media of calls.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// More connections than that wait in the kernel; the call ceiling leaves room for these (`app::limits`).
const MOST: usize = 128;
/// A connection on which we have written nothing for so long is closed: its request does not end, or nobody reads our answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that lets so many in and no more.
pub(super) struct Doors {
    listener: TcpListener,
    room: Arc<Semaphore>,
    patience: Duration,
}

/// Whom a connection is with.
#[derive(Copy, Clone, Debug)]
pub(super) struct Peer(pub SocketAddr);

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    patience: Duration,
    _room: Option<OwnedSemaphorePermit>,
}

impl Doors {
    pub(super) fn new(listener: TcpListener) -> Doors {
        Doors::with(listener, MOST, PATIENCE)
    }

    fn with(listener: TcpListener, most: usize, patience: Duration) -> Doors {
        Doors {
            listener,
            room: Arc::new(Semaphore::new(most)),
            patience,
        }
    }
}

impl Listener for Doors {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed, so there is always a permit in the end.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            deadline: Box::pin(sleep(self.patience)),
            patience: self.patience,
            _room: room,
        };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Doors>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

impl Connection {
    /// Ready with an error once our patience is over.
    fn poll_patience<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(length)) => {
                let deadline = Instant::now() + self.patience;
                self.deadline.as_mut().reset(deadline);
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_patience(cx),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A trickle of bytes does not buy time: only an answer of ours does.
        if let Poll::Ready(Err(error)) = self.poll_patience::<()>(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    #[tokio::test]
    async fn a_request_that_trickles_in_is_cut_off_and_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let doors = Doors::with(listener, 2, Duration::from_millis(300));
        let router = Router::new().route("/", get(|| async { "hello" }));
        let server = tokio::spawn(async move { axum::serve(doors, router).await });
        let mut slow = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HT").await.unwrap();
            slow.push(stream);
        }
        // Both places are taken: this one waits until the slow ones are thrown out, although they go on sending.
        let mut honest = TcpStream::connect(address).await.unwrap();
        honest.write_all(REQUEST).await.unwrap();
        let began = Instant::now();
        let mut answer = [0; 64];
        let trickle = async {
            loop {
                for stream in &mut slow {
                    stream.write_all(b"T").await.ok();
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let length = tokio::select! {
            length = honest.read(&mut answer) => length.unwrap(),
            () = trickle => 0,
        };
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
        assert!(began.elapsed() >= Duration::from_millis(200));
        // An answer renews our patience.
        for _ in 0..3 {
            sleep(Duration::from_millis(200)).await;
            honest.write_all(REQUEST).await.unwrap();
            assert!(honest.read(&mut answer).await.unwrap() > 0);
        }
        server.abort();
    }
}
