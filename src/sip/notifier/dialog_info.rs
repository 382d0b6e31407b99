//! `application/dialog-info+xml` (RFC 4235): the dialogs of whoever is watched, always all of them.

use std::fmt::Write;

use super::package::escaped;

/// One dialog of whoever is watched, as his phone sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedDialog {
    /// A name that stays.
    pub id: String,
    /// How far it is.
    pub phase: DialogPhase,
    /// Whether his phone began it.
    pub is_initiator: bool,
    /// Call-ID, his tag and the other's, once there are such: what Replaces takes.
    pub name: Option<(String, String, String)>,
    /// Whom he talks with, a URI.
    pub remote: Option<String>,
    /// Whom he talks with, shown.
    pub display: Option<String>,
}

/// How far a dialog is (RFC 4235 §3.7.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DialogPhase {
    /// The INVITE is out.
    Trying,
    /// It rings.
    Early,
    /// It is answered.
    Confirmed,
}

impl DialogPhase {
    const fn as_str(self) -> &'static str {
        match self {
            DialogPhase::Trying => "trying",
            DialogPhase::Early => "early",
            DialogPhase::Confirmed => "confirmed",
        }
    }
}

/// The document. Without dialogs it has a terminated one, for phones that put a lamp out only then.
pub(super) fn document(entity: &str, version: u32, dialogs: &[WatchedDialog]) -> String {
    let entity = escaped(entity);
    let mut text = format!(
        "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" entity=\"{entity}\">\r\n"
    );
    if dialogs.is_empty() {
        text.push_str("<dialog id=\"none\">\r\n<state>terminated</state>\r\n</dialog>\r\n");
    }
    for dialog in dialogs {
        write_dialog(&mut text, &entity, dialog);
    }
    text.push_str("</dialog-info>\r\n");
    text
}

fn write_dialog(text: &mut String, entity: &str, dialog: &WatchedDialog) {
    // Writing to a String does not fail.
    let _ = write!(text, "<dialog id=\"{}\"", escaped(&dialog.id));
    if let Some((call_id, local, remote)) = &dialog.name {
        let _ = write!(
            text,
            " call-id=\"{}\" local-tag=\"{}\" remote-tag=\"{}\"",
            escaped(call_id),
            escaped(local),
            escaped(remote)
        );
    }
    let direction = if dialog.is_initiator {
        "initiator"
    } else {
        "recipient"
    };
    let state = dialog.phase.as_str();
    let _ = write!(
        text,
        " direction=\"{direction}\">\r\n<state>{state}</state>\r\n"
    );
    if let Some(remote) = &dialog.remote {
        let remote = escaped(remote);
        let display = dialog
            .display
            .as_ref()
            .map(|display| format!(" display=\"{}\"", escaped(display)))
            .unwrap_or_default();
        let _ = write!(
            text,
            "<remote>\r\n<identity{display}>{remote}</identity>\r\n<target uri=\"{remote}\"/>\r\n</remote>\r\n"
        );
    }
    let _ = write!(
        text,
        "<local>\r\n<identity>{entity}</identity>\r\n<target uri=\"{entity}\"/>\r\n</local>\r\n</dialog>\r\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ringing_phone() {
        let dialog = WatchedDialog {
            id: "7".into(),
            phase: DialogPhase::Early,
            is_initiator: false,
            name: Some(("c&1".into(), "his".into(), "ours".into())),
            remote: Some("sip:+79160000000@pbx.test".into()),
            display: Some("A \"B\"".into()),
        };
        let text = document("sip:anna@pbx.test", 3, &[dialog]);
        for part in [
            "version=\"3\" state=\"full\" entity=\"sip:anna@pbx.test\"",
            "<dialog id=\"7\" call-id=\"c&amp;1\" local-tag=\"his\" remote-tag=\"ours\" direction=\"recipient\">",
            "<state>early</state>",
            "<identity display=\"A &quot;B&quot;\">sip:+79160000000@pbx.test</identity>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_idle_phone() {
        let text = document("sip:anna@pbx.test", 0, &[]);
        assert!(text.contains("<state>terminated</state>"), "{text}");
        assert_eq!(text.matches("<dialog ").count(), 1);
    }
}
