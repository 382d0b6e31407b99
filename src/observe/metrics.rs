//! What monitoring reads: a page in the text format of Prometheus (version 0.0.4). All figures are counted elsewhere, each by
//! its one writer, so there is nothing here but the page.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::media::Reason;
use crate::store::journal::Counters;
use crate::switch::handle::Metrics;

/// The type of the page, for its header.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub fn page(metrics: &Metrics, journal: &Counters) -> String {
    let mut page = Page(String::with_capacity(8_192));
    page.head("vats_info", "gauge", "The version that runs.");
    page.line("vats_info", &[("version", env!("CARGO_PKG_VERSION"))], 1u8);
    alive(&mut page, metrics);
    signalling(&mut page, metrics);
    media(&mut page, metrics);
    opinions(&mut page, metrics);
    written(&mut page, journal);
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Labels' values are words of ours: nothing in them needs to be escaped.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, word)) in labels.iter().enumerate() {
            let opening = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{opening}{label}=\"{word}\"");
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{closing} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }
}

fn alive(page: &mut Page, metrics: &Metrics) {
    let alive = &metrics.alive;
    page.gauge("vats_calls", "Running calls.", alive.calls);
    page.gauge(
        "vats_sip_dialogs",
        "SIP dialogs, early and confirmed.",
        alive.dialogs,
    );
    page.gauge(
        "vats_sip_transactions",
        "SIP transactions under way.",
        alive.transactions,
    );
    page.gauge(
        "vats_sip_connections",
        "SIP connections.",
        alive.connections,
    );
    page.gauge(
        "vats_recordings",
        "Recordings that are not complete yet.",
        alive.recordings,
    );
    page.counter(
        "vats_recordings_failed_total",
        "Recordings that could not be kept.",
        alive.recordings_failed,
    );
}

fn signalling(page: &mut Page, metrics: &Metrics) {
    let name = "vats_sip_messages_dropped_total";
    page.head(name, "counter", "SIP messages that were not answered.");
    let dropped = &metrics.sip_dropped;
    for (reason, count) in [
        ("unreadable", dropped.unreadable),
        ("malformed", dropped.malformed),
        ("stray_response", dropped.stray_responses),
        ("stray_ack", dropped.stray_acks),
    ] {
        page.line(name, &[("reason", reason)], count);
    }
}

fn media(page: &mut Page, metrics: &Metrics) {
    let media = &metrics.media;
    page.gauge("vats_media_legs", "Legs with a media port.", media.legs);
    page.gauge("vats_media_rooms", "Bridges that are mixed.", media.rooms);
    page.gauge(
        "vats_media_ports_free",
        "Media ports that are free.",
        media.free_ports,
    );
    page.counter(
        "vats_media_packets_received_total",
        "Datagrams received on media ports.",
        media.received,
    );
    page.counter(
        "vats_media_packets_sent_total",
        "Packets sent from media ports.",
        media.sent,
    );
    let name = "vats_media_packets_dropped_total";
    page.head(name, "counter", "Packets that were not passed on.");
    for (reason, word) in Reason::ALL {
        page.line(name, &[("reason", word)], media.dropped(reason));
    }
    page.counter(
        "vats_rtcp_reports_received_total",
        "RTCP reports received.",
        media.reports_received,
    );
    page.counter(
        "vats_rtcp_reports_sent_total",
        "RTCP reports sent.",
        media.reports_sent,
    );
    page.counter(
        "vats_media_poor_total",
        "Times that a leg stayed bad.",
        media.poor,
    );
    page.counter(
        "vats_media_ring_full_total",
        "Reports lost or commands put off because a ring was full.",
        media.ring_full,
    );
    page.counter(
        "vats_media_beats_missed_total",
        "Beats of 20 ms left out because a media thread could not run in time.",
        media.beats_missed,
    );
}

fn opinions(page: &mut Page, metrics: &Metrics) {
    let opinions = &metrics.opinions;
    let name = "vats_leg_mos";
    page.head(
        name,
        "histogram",
        "How ended legs sounded, as mean opinion scores (ITU-T G.107).",
    );
    for (bound, count) in opinions.up_to() {
        page.line("vats_leg_mos_bucket", &[("le", &bound.to_string())], count);
    }
    page.line("vats_leg_mos_bucket", &[("le", "+Inf")], opinions.count());
    page.line("vats_leg_mos_sum", &[], opinions.sum());
    page.line("vats_leg_mos_count", &[], opinions.count());
}

fn written(page: &mut Page, journal: &Counters) {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.counter(
        "vats_journal_entries_total",
        "Entries handed to the journal.",
        value(&journal.entries),
    );
    page.counter(
        "vats_journal_batches_total",
        "Batches that the database took.",
        value(&journal.batches),
    );
    page.counter(
        "vats_journal_failures_total",
        "Batches that the database did not take.",
        value(&journal.failures),
    );
    page.counter(
        "vats_journal_spooled_total",
        "Entries that went to the spool.",
        value(&journal.spooled),
    );
    page.counter(
        "vats_journal_lost_total",
        "Entries that nobody could keep.",
        value(&journal.lost),
    );
    page.gauge(
        "vats_journal_spooling",
        "1 while entries go through the spool.",
        value(&journal.spooling),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::quality::Hundredths;

    #[test]
    fn every_family_is_told_once_and_each_line_is_of_the_last() {
        let mut metrics = Metrics::default();
        metrics.opinions.note(Hundredths::of(4.41));
        metrics.opinions.note(Hundredths::of(2.5));
        let page = page(&metrics, &Counters::default());
        let mut families = Vec::new();
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let name = head.split(' ').next().unwrap();
                assert!(!families.contains(&name), "{name}");
                families.push(name);
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(families.last().unwrap()), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for line in [
            "vats_leg_mos_bucket{le=\"2.50\"} 1",
            "vats_leg_mos_bucket{le=\"4.30\"} 1",
            "vats_leg_mos_bucket{le=\"+Inf\"} 2",
            "vats_leg_mos_sum 6.91",
            "vats_media_packets_dropped_total{reason=\"late\"} 0",
        ] {
            assert!(
                page.lines().any(|written| written == line),
                "{line}\n{page}"
            );
        }
    }
}
