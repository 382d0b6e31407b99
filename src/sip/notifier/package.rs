//! The event packages that can be subscribed to, and what is told in each.

use super::dialog_info::{self, WatchedDialog};
use super::message_summary;
use super::presence::{self, Presence};
use crate::ledger::journal::Messages;

/// An event package.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Package {
    /// Lamps of colleagues (RFC 4235).
    Dialog,
    /// The message lamp (RFC 3842).
    MessageSummary,
    /// Whether a colleague is there (RFC 3856, RFC 3863).
    Presence,
}

impl Package {
    /// The package that an Event value names.
    pub fn parse(event: &str) -> Option<Package> {
        let name = event.split(';').next().unwrap_or_default().trim();
        [Package::Dialog, Package::MessageSummary, Package::Presence]
            .into_iter()
            .find(|package| package.as_str().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Package::Dialog => "dialog",
            Package::MessageSummary => "message-summary",
            Package::Presence => "presence",
        }
    }

    /// The type of its documents.
    pub const fn content_type(self) -> &'static str {
        match self {
            Package::Dialog => "application/dialog-info+xml",
            Package::MessageSummary => "application/simple-message-summary",
            Package::Presence => "application/pidf+xml",
        }
    }

    /// Whether an Accept value takes its documents (RFC 3261 §20.1).
    pub fn is_accepted(self, accept: &str) -> bool {
        let whole = self.content_type();
        let kind = whole.split('/').next().unwrap_or_default();
        accept.split(',').any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range == "*/*"
                || range.eq_ignore_ascii_case(whole)
                || range
                    .strip_suffix("/*")
                    .is_some_and(|one| one.eq_ignore_ascii_case(kind))
        })
    }
}

/// What goes on with whoever is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// His dialogs.
    Dialogs(Vec<WatchedDialog>),
    /// How many messages are kept for him.
    Messages(Messages),
    /// Whether he is there.
    Presence(Presence),
}

impl State {
    /// The document about `entity`, a URI.
    pub fn document(&self, entity: &str, version: u32) -> String {
        match self {
            State::Dialogs(dialogs) => dialog_info::document(entity, version, dialogs),
            State::Messages(messages) => message_summary::document(entity, *messages),
            State::Presence(presence) => presence::document(entity, *presence),
        }
    }
}

/// A text as XML character data or an attribute's value; characters that XML cannot hold are left out.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_by_name() {
        assert_eq!(Package::parse("dialog"), Some(Package::Dialog));
        assert_eq!(Package::parse("Dialog;id=7"), Some(Package::Dialog));
        assert_eq!(
            Package::parse("message-summary "),
            Some(Package::MessageSummary)
        );
        for other in ["", "refer", "dialog.winfo", "reg"] {
            assert_eq!(Package::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_phone_accepts() {
        let package = Package::Dialog;
        assert!(package.is_accepted("text/plain, application/dialog-info+xml;q=1"));
        assert!(package.is_accepted("*/*"));
        assert!(package.is_accepted("application/*"));
        assert!(!package.is_accepted("application/pidf+xml"));
        assert!(!package.is_accepted(""));
    }

    #[test]
    fn nothing_breaks_out_of_xml() {
        assert_eq!(
            escaped("\"A\" <b> & 'c'\u{0}\r\n"),
            "&quot;A&quot; &lt;b&gt; &amp; &apos;c&apos;"
        );
    }
}
