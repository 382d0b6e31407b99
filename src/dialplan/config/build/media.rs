//! The keys that say how media goes, of trunks and operators alike.

use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::values::Wrong;
use crate::dialplan::plan::Trunk;
use crate::sdp::crypto::Policy;

pub(super) fn srtp(entry: &Entry<'_>) -> Option<Policy> {
    let word = entry.word("srtp")?;
    Some(match word.as_str() {
        "offered" => Policy::Offered,
        "required" => Policy::Required,
        _ => Policy::Off,
    })
}

/// Keys that anyone on the way can read protect nothing.
pub(super) fn look_at_keys(entry: &Entry<'_>, trunk: &Trunk) {
    if trunk.srtp == Policy::Off || trunk.peers.is_empty() || trunk.is_private() {
        return;
    }
    let wrong = Wrong::new("the keys of encrypted media travel readable to this trunk's peers")
        .hint("reach every peer over TLS: \"tls://sip.provider.example\"");
    entry.check.warn(entry.value_place("srtp"), wrong);
}
