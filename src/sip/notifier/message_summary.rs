//! `application/simple-message-summary` (RFC 3842): how many messages are kept.

/// The document. Nothing marks a message as heard yet, so all that are kept count as new.
pub(super) fn document(entity: &str, count: u32) -> String {
    let waiting = if count > 0 { "yes" } else { "no" };
    format!(
        "Messages-Waiting: {waiting}\r\nMessage-Account: {entity}\r\nVoice-Message: {count}/0 (0/0)\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lamp() {
        let text = document("sip:anna@pbx.test", 2);
        assert!(text.starts_with("Messages-Waiting: yes\r\n"), "{text}");
        assert!(text.contains("Voice-Message: 2/0"), "{text}");
        assert!(document("sip:anna@pbx.test", 0).starts_with("Messages-Waiting: no\r\n"));
    }
}
