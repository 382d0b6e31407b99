//! Requests that are made from the INVITE they are about: the ACK to a refusal (RFC 3261 §17.1.1.3) and CANCEL (§9.1).

use bytes::Bytes;

use crate::sip::wire::{Message, Name, Writer};

/// The ACK to a final response of 300 and above.
pub(super) fn ack(invite: &Message, response: &Message) -> Bytes {
    from_invite(invite, "ACK", response.header(Name::To)).finish()
}

/// The CANCEL of an INVITE.
pub(super) fn cancel(invite: &Message, reason: Option<&str>) -> Bytes {
    let mut writer = from_invite(invite, "CANCEL", None);
    if let Some(reason) = reason {
        writer = writer.header(Name::Reason, reason);
    }
    writer.finish()
}

fn from_invite(invite: &Message, method: &str, to: Option<&str>) -> Writer {
    let mut writer = Writer::request(method, invite.request_uri())
        .header(Name::Via, invite.header(Name::Via).unwrap_or(""))
        .header(Name::MaxForwards, 70);
    for route in invite.headers(Name::Route) {
        writer = writer.header(Name::Route, route);
    }
    let to = to.or_else(|| invite.header(Name::To)).unwrap_or("");
    writer
        .header(Name::From, invite.header(Name::From).unwrap_or(""))
        .header(Name::To, to)
        .header(Name::CallId, invite.call_id())
        .header(Name::CSeq, format_args!("{} {method}", invite.cseq()))
}
