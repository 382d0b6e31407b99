//! `application/pidf+xml` (RFC 3863) with the activity of RFC 4480: whether a colleague is there, and on the phone.

use super::package::escaped;

/// Whether somebody can be reached.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Presence {
    /// He is free.
    Available,
    /// He rings or talks.
    OnThePhone,
    /// He rests after a conversation.
    Busy,
    /// He has set himself away.
    Away,
    /// None of his phones is registered.
    Offline,
}

/// The document.
pub(super) fn document(entity: &str, presence: Presence) -> String {
    let entity = escaped(entity);
    let (basic, note, activity) = match presence {
        Presence::Available => ("open", "Available", ""),
        Presence::OnThePhone => ("open", "On the phone", "<rpid:on-the-phone/>"),
        Presence::Busy => ("open", "Busy", "<rpid:busy/>"),
        Presence::Away => ("open", "Away", "<rpid:away/>"),
        Presence::Offline => ("closed", "Offline", ""),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{entity}\">\r\n\
         <tuple id=\"phone\">\r\n<status><basic>{basic}</basic></status>\r\n<contact>{entity}</contact>\r\n<note>{note}</note>\r\n</tuple>\r\n\
         <dm:person id=\"person\"><rpid:activities>{activity}</rpid:activities></dm:person>\r\n\
         </presence>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_is_there_and_on_the_phone() {
        let text = document("sip:anna@pbx.test", Presence::OnThePhone);
        assert!(text.contains("<basic>open</basic>"), "{text}");
        assert!(text.contains("<rpid:on-the-phone/>"), "{text}");
        assert!(document("sip:a@b", Presence::Offline).contains("<basic>closed</basic>"));
    }
}
