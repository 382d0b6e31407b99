//! One attempt: the POST and its headers.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use super::signature;
use crate::dialplan::plan::Webhook;
use crate::ledger::clock::Wall;
use crate::store::outbox::Delivery;

/// The HTTP client for all endpoints.
#[derive(Clone, Debug)]
pub(super) struct Client(reqwest::Client);

/// How the endpoint answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// Its status, if it answered.
    pub status: Option<u16>,
    /// Why the attempt failed, for the log and the row.
    pub error: Option<String>,
}

impl Client {
    pub(super) fn new() -> Result<Client, reqwest::Error> {
        // An error says that another part of the process has installed a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match builder().build() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "the system's certificates cannot be loaded: webhooks over https will fail; install ca-certificates");
                builder().tls_certs_only([]).build()?
            }
        };
        Ok(Client(client))
    }

    /// Posts the event. Any status from 200 to 299 is success; redirects are not followed.
    pub(super) async fn post(&self, webhook: &Webhook, delivery: Delivery, now: Wall) -> Answer {
        let id = delivery.event.to_string();
        let timestamp = now.as_secs();
        let signature = signature::sign(&webhook.secret, &id, timestamp, &delivery.body);
        let sent = self
            .0
            .post(&webhook.url)
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(delivery.body)
            .send()
            .await;
        match sent {
            Ok(response) => {
                let status = response.status();
                Answer {
                    status: Some(status.as_u16()),
                    error: (!status.is_success()).then(|| format!("answered {status}")),
                }
            }
            Err(error) => Answer {
                status: None,
                error: Some(chain(&error)),
            },
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("vats/", env!("CARGO_PKG_VERSION")))
        .timeout(Duration::from_secs(15))
        .redirect(Policy::none())
        .pool_max_idle_per_host(16)
        .pool_idle_timeout(Duration::from_secs(30))
}

/// The error with its causes. URLs may hold secrets: they are left out.
fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer within 15 s".to_owned()
    } else {
        "not reached".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
