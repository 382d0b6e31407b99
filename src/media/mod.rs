//! The media plane: worker threads without tokio that relay, play and tap RTP. Nothing here decides what a call does.
pub mod tap;
