//! Identifiers. All are UUIDv7 (RFC 9562), so they sort by time; a SIP Call-ID is never one of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Wall;
use super::entropy::Entropy;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, made of the wall clock and randomness handed in.
            pub fn new(wall: Wall, entropy: &mut Entropy) -> $name {
                let millis = u64::try_from(wall.as_millis()).unwrap_or(0);
                $name(uuid::Builder::from_unix_timestamp_millis(millis, &entropy.bytes()).into_uuid())
            }

            /// The id with these 128 bits.
            pub const fn from_u128(bits: u128) -> $name {
                $name(Uuid::from_u128(bits))
            }

            /// The id's 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<$name, uuid::Error> {
                text.parse().map($name)
            }
        }
    };
}

id!(
    /// A call: the set of legs that belong to one contact.
    CallId
);
id!(
    /// A leg: one SIP dialog and its media stream. The SIP endpoint uses the same 128 bits as its session's id.
    LegId
);
id!(
    /// A bridge: the legs that hear each other.
    BridgeId
);
id!(
    /// A recording of a conversation.
    RecordingId
);
id!(
    /// A message left in a voicemail box.
    VoicemailId
);
id!(
    /// An event, and its `webhook-id`: the same on every delivery attempt.
    EventId
);

/// A shop. Every row, event, internal key and recording path carries one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Tenant {
        Tenant("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of something an admin configured: an operator, a trunk, a hunt group. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name(text.into())
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_say_version_7() {
        let mut entropy = Entropy::from_number(1);
        let a = CallId::new(Wall::from_micros(1_000_000), &mut entropy);
        let b = CallId::new(Wall::from_micros(2_000_000), &mut entropy);
        assert!(a < b);
        assert_eq!(a.to_string().as_bytes()[14], b'7');
        assert_eq!(a.to_string().parse::<CallId>().unwrap(), a);
    }
}
