//! Secure RTP and RTCP (RFC 3711, RFC 7714), in place on the datagram: [`Protect`] for what is sent, [`Unprotect`] for
//! what comes.
//!
//! Key schedules and the beginnings of the hashes are computed once per master key, so a packet allocates nothing. The
//! cryptography is that of the RustCrypto crates (AES-CM, HMAC-SHA1) and of ring (AES-GCM); what is written here is how
//! keys, counters and packets are put together. How keys are agreed on is elsewhere: `sdp::crypto` for RFC 4568.

mod cm;
mod derive;
mod gcm;
mod protect;
mod stream;
mod transform;
mod unprotect;

pub use self::protect::Protect;
pub use self::unprotect::{LONGEST_MKI, Life, Mki, Unprotect};

/// A way to protect packets.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Suite {
    /// AES-CM with a 128-bit key, HMAC-SHA1 with a tag of 80 bits (RFC 4568 §6.2.1).
    AesCm128HmacSha1Tag80,
    /// The same with a tag of 32 bits for RTP, 80 bits for RTCP (RFC 4568 §6.2.2).
    AesCm128HmacSha1Tag32,
    /// AES-GCM with a 128-bit key (RFC 7714 §14.1).
    AeadAes128Gcm,
    /// AES-GCM with a 256-bit key (RFC 7714 §14.1).
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, in the order of our preference.
    pub const ALL: [Suite; 4] = [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::AesCm128HmacSha1Tag80,
        Suite::AesCm128HmacSha1Tag32,
    ];

    /// Its name in session descriptions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name, which is case-sensitive (RFC 4568 §9.1).
    pub fn of_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.as_str() == name)
    }

    /// Bytes of a master key.
    pub const fn key_length(self) -> usize {
        match self {
            Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_length(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1Tag80 | Suite::AesCm128HmacSha1Tag32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }

    /// Bytes of key and salt together.
    pub const fn material_length(self) -> usize {
        self.key_length() + self.salt_length()
    }
}

/// A master key with its salt, for one direction. Never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    material: [u8; LONGEST_MATERIAL],
}

impl MasterKey {
    /// Key and salt as they stand in a description; `None` when they are not as long as the suite wants.
    pub fn new(suite: Suite, material: &[u8]) -> Option<MasterKey> {
        if material.len() != suite.material_length() {
            return None;
        }
        let mut kept = [0; LONGEST_MATERIAL];
        kept.get_mut(..material.len())?.copy_from_slice(material);
        Some(MasterKey {
            suite,
            material: kept,
        })
    }

    /// A key made of random bytes, of which the suite's share is taken.
    pub fn from_random(suite: Suite, random: [u8; LONGEST_MATERIAL]) -> MasterKey {
        let mut material = random;
        let (_, rest) = material.split_at_mut(suite.material_length());
        rest.fill(0);
        MasterKey { suite, material }
    }

    /// What it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt in a row.
    pub fn material(&self) -> &[u8] {
        let (material, _) = self.material.split_at(self.suite.material_length());
        material
    }

    fn key(&self) -> &[u8] {
        self.material.split_at(self.suite.key_length()).0
    }

    fn salt(&self) -> &[u8] {
        self.material().split_at(self.suite.key_length()).1
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.suite.as_str())
    }
}

/// Why a packet could not be protected, or is not to be trusted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SrtpError {
    /// No RTP or RTCP, or shorter than it says.
    #[error("not a whole packet")]
    Malformed,
    /// The tag is wrong: forged, damaged, or protected with another key.
    #[error("the tag is wrong")]
    Forged,
    /// The packet came before (RFC 3711 §3.3.2), or is so old that this cannot be told.
    #[error("the packet came before, or is too old to tell")]
    Replayed,
    /// It names another master key than the one agreed on.
    #[error("another master key is named")]
    OtherKey,
    /// The key has protected as many packets as it may (RFC 3711 §9.2), or a number would be used twice.
    #[error("the key is used up")]
    UsedUp,
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
}

/// The bytes that protection adds at most: the longest tag and the index of SRTCP.
pub const OVERHEAD: usize = 16 + 4;
/// Bytes of the longest key with its salt.
pub const LONGEST_MATERIAL: usize = 46;

#[cfg(test)]
mod tests;
