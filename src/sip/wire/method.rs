//! Method names (RFC 3261 and its extensions).

/// A method. Case matters (RFC 3261 §7.1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// Begins or changes a session (RFC 3261 §13).
    Invite,
    /// Acknowledges a final response to an INVITE (RFC 3261 §17.1.1.3).
    Ack,
    /// Gives up a pending INVITE (RFC 3261 §9).
    Cancel,
    /// Ends a session (RFC 3261 §15).
    Bye,
    /// Asks what the far side can do (RFC 3261 §11).
    Options,
    /// Adds or removes bindings (RFC 3261 §10).
    Register,
    /// Changes a session without a new INVITE (RFC 3311).
    Update,
    /// Acknowledges a reliable provisional response (RFC 3262).
    Prack,
    /// Carries application information within a session (RFC 6086).
    Info,
    /// Asks the far side to call someone (RFC 3515).
    Refer,
    /// Reports an event (RFC 6665).
    Notify,
    /// Asks for reports of an event (RFC 6665).
    Subscribe,
    /// An instant message (RFC 3428).
    Message,
    /// Publishes event state (RFC 3903).
    Publish,
    /// Any other; the message has its text.
    Other,
}

impl Method {
    /// The method of this name.
    pub fn parse(text: &str) -> Method {
        Method::from_bytes(text.as_bytes())
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Method {
        match bytes {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"CANCEL" => Method::Cancel,
            b"BYE" => Method::Bye,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"UPDATE" => Method::Update,
            b"PRACK" => Method::Prack,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"NOTIFY" => Method::Notify,
            b"SUBSCRIBE" => Method::Subscribe,
            b"MESSAGE" => Method::Message,
            b"PUBLISH" => Method::Publish,
            _ => Method::Other,
        }
    }

    /// Its name; `""` for `Other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Cancel => "CANCEL",
            Method::Bye => "BYE",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Update => "UPDATE",
            Method::Prack => "PRACK",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Notify => "NOTIFY",
            Method::Subscribe => "SUBSCRIBE",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Other => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_case_matters() {
        for name in [
            "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "PUBLISH",
        ] {
            assert_eq!(Method::parse(name).as_str(), name);
        }
        assert_eq!(Method::parse("invite"), Method::Other);
        assert_eq!(Method::parse("NEWMETHOD"), Method::Other);
    }
}
