//! The outbox as values: who gets which events, what is to be delivered, and how it went.

use crate::ledger::clock::Wall;
use crate::ledger::event::EventType;
use crate::ledger::id::{EventId, Name};

/// Which webhooks get which events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscriptions(Vec<(Name, Vec<EventType>)>);

impl Subscriptions {
    /// The webhooks and the types that each is sent.
    pub fn new(webhooks: impl IntoIterator<Item = (Name, Vec<EventType>)>) -> Subscriptions {
        Subscriptions(webhooks.into_iter().collect())
    }

    /// The webhooks that are sent events of this type.
    pub fn to(&self, kind: EventType) -> impl Iterator<Item = &Name> {
        self.0
            .iter()
            .filter(move |(_, kinds)| kinds.contains(&kind))
            .map(|(name, _)| name)
    }
}

/// An event that is due at a webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The webhook.
    pub webhook: Name,
    /// The event, and the `webhook-id`.
    pub event: EventId,
    /// How often it was tried before.
    pub attempts: u32,
    /// The body, byte for byte the same on every attempt.
    pub body: String,
}

/// How an attempt went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// The webhook.
    pub webhook: Name,
    /// The event.
    pub event: EventId,
    /// Attempts so far, with this one.
    pub attempts: u32,
    /// When the attempt ended.
    pub at: Wall,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// What becomes of the delivery.
    pub outcome: Outcome,
}

/// What becomes of a delivery after an attempt.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It is tried again then.
    Again(Wall),
    /// The schedule is used up.
    GivenUp,
}

/// How an endpoint stands, as it is kept over a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointRow {
    /// The webhook.
    pub webhook: Name,
    /// The URL that this is true of: another one begins anew.
    pub url: String,
    /// It answered 410: nothing is sent until its URL changes.
    pub disabled: bool,
    /// Failures in a row.
    pub failures: u32,
}
