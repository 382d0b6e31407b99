//! Method names.

/// A method. Case matters (RFC 3261 §7.1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Register,
    Update,
    Prack,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /** Any other; the message has its text. */
    Other,
}
impl Method {
    /// The method of this name.
    pub fn parse(_text: &str) -> Method {
        todo!()
    }
    /// Its name; `""` for `Other`.
    pub const fn as_str(self) -> &'static str {
        ""
    }
}
