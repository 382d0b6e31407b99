//! Whether a leg's media is to be encrypted, and its side of offer/answer that knows so.

use std::net::SocketAddr;

use super::output::Target;
use super::state::State;
use crate::ledger::id::Name;
use crate::sdp::crypto::Policy;
use crate::sdp::negotiate::{Codec, Negotiation};

/// What is wanted of a leg's media.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Protection {
    policy: Policy,
    /// The signalling is encrypted, so that nobody on the way reads the keys that we offer.
    private: bool,
}

impl State {
    /// Of the guest's leg.
    pub(crate) fn guest_protection(&self) -> Protection {
        let record = self.guest_leg().map(|leg| &leg.record);
        match record.map(|record| (&record.trunk, &record.operator)) {
            Some((Some(trunk), _)) => self.trunk_protection(trunk),
            // He who offers keys has decided for himself; unasked, none are offered.
            Some((None, Some(operator))) => self.operator_protection(operator, false),
            _ => Protection {
                policy: Policy::Off,
                private: false,
            },
        }
    }

    /// Of a leg that is dialled.
    pub(crate) fn protection(&self, target: &Target) -> Protection {
        match target {
            Target::Phone { operator, phone } => {
                self.operator_protection(operator, is_private(phone.contact()))
            }
            Target::Trunk { trunk, .. } => self.trunk_protection(trunk),
        }
    }

    /// A leg's side of offer/answer, with keys of its own if it may need any.
    pub(crate) fn negotiation(
        &mut self,
        local: SocketAddr,
        codecs: &[Codec],
        protection: Protection,
    ) -> Negotiation {
        let negotiation = Negotiation::new(local, codecs, self.entropy.u64());
        let Protection { policy, private } = protection;
        if policy == Policy::Off {
            return negotiation;
        }
        let seed = std::array::from_fn(|_| self.entropy.bytes());
        negotiation.secured(policy, private, seed)
    }

    fn operator_protection(&self, operator: &Name, private: bool) -> Protection {
        let operator = self.plan.operators.get(operator);
        Protection {
            policy: operator.map_or(Policy::Off, |operator| operator.srtp),
            private,
        }
    }

    fn trunk_protection(&self, trunk: &Name) -> Protection {
        let trunk = self.plan.trunks.get(trunk);
        Protection {
            policy: trunk.map_or(Policy::Off, |trunk| trunk.srtp),
            private: trunk.is_some_and(|trunk| trunk.is_private()),
        }
    }
}

/// Whether a phone that is reached by this contact is reached over an encrypted connection.
fn is_private(contact: &str) -> bool {
    let contact = contact.to_ascii_lowercase();
    let transport = contact
        .split(';')
        .find_map(|parameter| parameter.strip_prefix("transport="));
    contact.starts_with("sips:") || matches!(transport, Some("tls" | "wss"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_tells_whether_its_connection_is_encrypted() {
        assert!(is_private("sip:anna@192.0.2.7:5061;transport=TLS;ob"));
        assert!(is_private("sips:anna@192.0.2.7"));
        assert!(!is_private("sip:anna@192.0.2.7;transport=tcp"));
        assert!(!is_private("sip:tls@192.0.2.7"));
    }
}
