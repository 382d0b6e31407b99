//! Delivery of the outbox to webhooks: CloudEvents 1.0 JSON with Standard Webhooks headers, retried until it arrives.
//!
//! [`schedule`] and [`endpoint`] decide, without I/O, when an event is tried again and how many attempts an endpoint is
//! given at once; [`signature`] signs; the task of [`Notifier`] reads what is due from the store and posts it. What is due
//! and what failed is in the store, so a restart changes nothing. Order of arrival is not promised: `sequence` orders a
//! call's events.

mod delivery;
pub mod endpoint;
mod post;
pub mod schedule;
pub mod signature;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::delivery::Deliveries;
use self::post::Client;
use crate::dialplan::plan::Webhook;
use crate::ledger::entropy::Entropy;
use crate::store::outbox::Subscriptions;
use crate::store::{Clock, Store, StoreError};

/// A handle on the delivery of events. Delivery stops when it is dropped; what is in flight then is sent again later.
#[derive(Debug)]
pub struct Notifier {
    store: StoreHandle,
    webhooks: watch::Sender<Vec<Webhook>>,
}

impl Notifier {
    /// Subscribes the webhooks at the store and begins to deliver. Start it before the store is given its first batch.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub async fn start(
        store: Arc<dyn Store>,
        webhooks: Vec<Webhook>,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<(Notifier, JoinHandle<()>), NotifyError> {
        let client = Client::new()?;
        let known = store.endpoints().await?;
        let notifier = Notifier {
            store: StoreHandle(Arc::clone(&store)),
            webhooks: watch::Sender::new(Vec::new()),
        };
        let receiver = notifier.webhooks.subscribe();
        notifier.configure(webhooks);
        let deliveries = Deliveries::new(store, client, clock, entropy, known, receiver);
        Ok((notifier, tokio::spawn(deliveries.run())))
    }

    /// Puts a new plan's webhooks in force.
    pub fn configure(&self, webhooks: Vec<Webhook>) {
        self.store.0.subscribe(subscriptions(&webhooks));
        self.webhooks.send_replace(webhooks);
    }
}

/// What these webhooks subscribe to.
pub fn subscriptions(webhooks: &[Webhook]) -> Subscriptions {
    Subscriptions::new(
        webhooks
            .iter()
            .map(|webhook| (webhook.name.clone(), webhook.events.clone())),
    )
}

/// Why delivery cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client for webhooks cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The store does not tell how the endpoints stand.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct StoreHandle(Arc<dyn Store>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
