//! The task that delivers: reads what is due, posts it, records how it went.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::endpoint::Endpoint;
use super::post::{Answer, Client};
use crate::dialplan::plan::Webhook;
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{EventId, Name};
use crate::store::outbox::{Delivery, EndpointRow, Outcome, Settlement};
use crate::store::{Clock, Store, StoreError};

pub(super) struct Deliveries {
    store: Arc<dyn Store>,
    client: Client,
    clock: Clock,
    entropy: Entropy,
    known: Vec<EndpointRow>,
    configured: watch::Receiver<Vec<Webhook>>,
    targets: BTreeMap<Name, Target>,
    attempts: JoinSet<Answer>,
    flights: HashMap<Id, Flight>,
    /// Finished attempts that the store does not know of yet.
    unsettled: Vec<Settlement>,
    prune_at: Instant,
}

/// A webhook and how it stands.
struct Target {
    webhook: Webhook,
    endpoint: Endpoint,
    /// Events being sent, or sent and not yet settled.
    busy: HashSet<EventId>,
    /// No plan names it any more.
    retired: bool,
}

/// An attempt under way.
struct Flight {
    webhook: Name,
    event: EventId,
    attempts: u32,
}

impl Deliveries {
    pub(super) fn new(
        store: Arc<dyn Store>,
        client: Client,
        clock: Clock,
        entropy: Entropy,
        known: Vec<EndpointRow>,
        configured: watch::Receiver<Vec<Webhook>>,
    ) -> Deliveries {
        Deliveries {
            store,
            client,
            clock,
            entropy,
            known,
            configured,
            targets: BTreeMap::new(),
            attempts: JoinSet::new(),
            flights: HashMap::new(),
            unsettled: Vec::new(),
            prune_at: Instant::now() + PRUNE_SOON,
        }
    }

    pub(super) async fn run(mut self) {
        let outbox: Arc<Notify> = self.store.outbox_changed();
        self.configure();
        loop {
            let wake = match self.advance().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read or written; delivery waits");
                    Instant::now() + STORE_AWAY
                }
            };
            tokio::select! {
                changed = self.configured.changed() => match changed {
                    Ok(()) => self.configure(),
                    // The handle is gone: whatever is in flight is due again at the next start.
                    Err(_) => return,
                },
                Some(ended) = self.attempts.join_next_with_id() => self.land(ended),
                () = outbox.notified() => {}
                () = sleep_until(wake) => {}
            }
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.land(ended);
            }
        }
    }

    /// Takes over the plan's webhooks.
    fn configure(&mut self) {
        let webhooks = self.configured.borrow_and_update().clone();
        for target in self.targets.values_mut() {
            target.retired = true;
        }
        for webhook in webhooks {
            let known = self.known.iter().find(|row| row.webhook == webhook.name);
            let target = self
                .targets
                .entry(webhook.name.clone())
                .or_insert_with(|| Target {
                    endpoint: Endpoint::new(webhook.name.clone(), webhook.url.clone(), known),
                    webhook: webhook.clone(),
                    busy: HashSet::new(),
                    retired: false,
                });
            target.endpoint.point_to(&webhook.url);
            target.webhook = webhook;
            target.retired = false;
        }
        self.targets
            .retain(|_, target| !target.retired || !target.busy.is_empty());
    }

    /// Records what has ended, begins what may begin, and says when to come back.
    async fn advance(&mut self) -> Result<Instant, StoreError> {
        self.settle().await?;
        if Instant::now() >= self.prune_at {
            let more = self.store.prune((self.clock)()).await?;
            self.prune_at = Instant::now() + if more { PRUNE_SOON } else { PRUNE_LATER };
        }
        let now = (self.clock)();
        let mut next = None;
        let names: Vec<Name> = self.targets.keys().cloned().collect();
        for name in names {
            next = earlier(next, self.begin(&name, now).await?);
        }
        let pause = next.map_or(LONGEST_SLEEP, |at: Wall| until(now, at));
        Ok((Instant::now() + pause.min(LONGEST_SLEEP)).min(self.prune_at))
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.unsettled.is_empty() {
            return Ok(());
        }
        let endpoints: Vec<EndpointRow> = self
            .targets
            .values()
            .map(|target| target.endpoint.row().clone())
            .collect();
        self.store.settle(&self.unsettled, &endpoints).await?;
        self.known = endpoints;
        for settlement in self.unsettled.drain(..) {
            if let Some(target) = self.targets.get_mut(&settlement.webhook) {
                target.busy.remove(&settlement.event);
            }
        }
        self.targets
            .retain(|_, target| !target.retired || !target.busy.is_empty());
        Ok(())
    }

    /// Begins a webhook's due attempts as far as there is room; returns when there is more to do.
    async fn begin(&mut self, name: &Name, now: Wall) -> Result<Option<Wall>, StoreError> {
        let Some(target) = self.targets.get_mut(name).filter(|target| !target.retired) else {
            return Ok(None);
        };
        let room = target.endpoint.room(now);
        if room == 0 {
            return Ok(target.endpoint.room_at().filter(|at| *at > now));
        }
        let asked = room + u32::try_from(target.busy.len()).unwrap_or(0);
        let due = self.store.due(name, now, asked).await?;
        let mut begun = 0;
        for delivery in due {
            if begun < room && target.busy.insert(delivery.event) {
                begun += 1;
                target.endpoint.started();
                let flight = Flight {
                    webhook: name.clone(),
                    event: delivery.event,
                    attempts: delivery.attempts + 1,
                };
                let attempt = attempt(self.client.clone(), target.webhook.clone(), delivery, now);
                let id = self.attempts.spawn(attempt).id();
                self.flights.insert(id, flight);
            }
        }
        if begun < room {
            return self.store.next_due(name, now).await;
        }
        Ok(None)
    }

    fn land(&mut self, ended: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let failed = Answer {
                    status: None,
                    error: Some(error.to_string()),
                };
                (error.id(), failed)
            }
        };
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let now = (self.clock)();
        let Some(target) = self.targets.get_mut(&flight.webhook) else {
            return;
        };
        let was_disabled = target.endpoint.row().disabled;
        let outcome =
            target
                .endpoint
                .finished(now, answer.status, flight.attempts, self.entropy.u32());
        let (webhook, event, attempt) = (&flight.webhook, flight.event, flight.attempts);
        let reason = answer.error.as_deref().unwrap_or("");
        match outcome {
            Outcome::Delivered => tracing::debug!(%webhook, %event, attempt, "event delivered"),
            Outcome::Again(at) => {
                tracing::warn!(%webhook, %event, attempt, reason, next = %at, "event not delivered");
            }
            Outcome::GivenUp => {
                tracing::error!(%webhook, %event, attempt, reason, "event given up");
            }
        }
        if target.endpoint.row().disabled && !was_disabled {
            tracing::error!(%webhook, "the endpoint answered 410 Gone and is disabled; give the webhook another URL to enable it");
        }
        self.unsettled.push(Settlement {
            webhook: flight.webhook,
            event: flight.event,
            attempts: flight.attempts,
            at: now,
            status: answer.status,
            error: answer.error,
            outcome,
        });
    }
}

async fn attempt(client: Client, webhook: Webhook, delivery: Delivery, now: Wall) -> Answer {
    client.post(&webhook, delivery, now).await
}

fn earlier(one: Option<Wall>, other: Option<Wall>) -> Option<Wall> {
    one.into_iter().chain(other).min()
}

fn until(now: Wall, at: Wall) -> Duration {
    let micros = at.as_micros().saturating_sub(now.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// The wall clock may be set while the task sleeps.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const STORE_AWAY: Duration = Duration::from_secs(1);
const PRUNE_SOON: Duration = Duration::from_secs(2);
const PRUNE_LATER: Duration = Duration::from_secs(3_600);
