//! `application/simple-message-summary` (RFC 3842): how many messages are kept.

use crate::ledger::journal::Messages;

/// The document: new messages and old ones, none of them urgent.
pub(super) fn document(entity: &str, messages: Messages) -> String {
    let Messages { fresh, heard } = messages;
    let waiting = if fresh > 0 { "yes" } else { "no" };
    format!(
        "Messages-Waiting: {waiting}\r\nMessage-Account: {entity}\r\nVoice-Message: {fresh}/{heard} (0/0)\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lamp() {
        let text = |fresh, heard| document("sip:anna@pbx.test", Messages { fresh, heard });
        let lit = text(2, 3);
        assert!(lit.starts_with("Messages-Waiting: yes\r\n"), "{lit}");
        assert!(lit.contains("Voice-Message: 2/3 (0/0)\r\n"), "{lit}");
        let dark = text(0, 5);
        assert!(dark.starts_with("Messages-Waiting: no\r\n"), "{dark}");
        assert!(dark.contains("Voice-Message: 0/5"), "{dark}");
    }
}
