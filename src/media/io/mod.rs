//! How a worker waits for its sockets. One way now, by epoll; another may stand beside it.

pub mod epoll;
pub mod priority;
