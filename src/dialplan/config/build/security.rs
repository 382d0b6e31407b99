//! `[security]`, and the limits on an operator's calls to the outside.

use super::server::network;
use crate::dialplan::config::entry::Entry;
use crate::dialplan::plan::{OutboundLimits, Security};

pub(super) fn security(entry: &Entry<'_>) -> Option<Security> {
    let allow = entry.list("allow", network);
    let requests = entry.integer("requests");
    let failures = entry.integer("failures");
    let window = entry.duration("window");
    let ban = entry.duration("ban");
    Some(Security {
        allow: allow?,
        requests: requests?,
        failures: failures?,
        window: window?,
        ban: ban?,
    })
}

/// `operators.x.outbound`; no limits where it is absent.
pub(super) fn outbound_limits(entry: &Entry<'_>) -> OutboundLimits {
    let Some(table) = entry.inner("outbound") else {
        return OutboundLimits::default();
    };
    OutboundLimits {
        calls: table.integer("calls"),
        minutes_per_day: table.integer("minutes_per_day"),
    }
}
