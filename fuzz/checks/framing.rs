use vats::sip::wire::framer::{Frame, FrameError, Framer};

/// Any bytes off a stream: however they are cut into pieces, the same frames come out, and no more bytes than went in.
pub fn framing(bytes: &[u8]) {
    let whole = frames(std::iter::once(bytes));
    assert_eq!(frames(bytes.chunks(1)), whole);
    assert_eq!(frames(bytes.chunks(2 + bytes.len() % 61)), whole);
    let length: usize = whole.0.iter().map(length_of).sum();
    assert!(length <= bytes.len());
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    for piece in pieces {
        framer.buffer().extend_from_slice(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn length_of(frame: &Frame) -> usize {
    match frame {
        Frame::Message(bytes) => bytes.len(),
        Frame::Ping => 4,
        Frame::Pong => 1,
    }
}
