//! A part of a file as a response body, read as it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

/// The next `left` bytes of a file.
#[derive(Debug)]
pub(super) struct FileBody {
    file: File,
    left: u64,
}

impl FileBody {
    /// `length` bytes from where the file stands.
    pub(super) fn new(file: File, length: u64) -> FileBody {
        FileBody { file, left: length }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        waker: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = BytesMut::zeroed(size);
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.file).poll_read(waker, &mut buffer))?;
        let filled = buffer.filled().len();
        if filled == 0 {
            let short =
                io::Error::new(io::ErrorKind::UnexpectedEof, "the recording became shorter");
            return Poll::Ready(Some(Err(short)));
        }
        bytes.truncate(filled);
        self.left -= filled as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.freeze()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const CHUNK: usize = 64 * 1024;
