//! `server.media_io`.

/// How media packets go in and out.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum MediaIo {
    /// The better one of those that the machine has.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring, or epoll where the kernel or a container forbids it.
    Uring,
}
