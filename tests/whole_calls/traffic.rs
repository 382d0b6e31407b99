//! What is counted of the messages on the wire.

use super::world::Outcome;

/// Counts the requests that only some calls have.
pub fn note(outcome: &mut Outcome, message: &[u8], whose: &str) {
    let word = match (whose, message.split(|byte| *byte == b' ').next()) {
        ("our", Some(b"UPDATE")) => "our UPDATE",
        ("our", Some(b"PRACK")) => "our PRACK",
        ("our", Some(b"INVITE")) if has_to_tag(message) => "our re-INVITE",
        ("their", Some(b"UPDATE")) => "their UPDATE",
        ("their", Some(b"PRACK")) => "their PRACK",
        _ => return,
    };
    *outcome.deeds.entry(word).or_default() += 1;
}

fn has_to_tag(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message);
    let to = text.lines().find(|line| line.starts_with("To:"));
    to.is_some_and(|to| to.contains(";tag="))
}
