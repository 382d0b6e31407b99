//! AES-GCM (RFC 7714): sealing with a nonce of salt, SSRC and counters.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use super::SrtpError;

/// The keys for RTP, or those for RTCP, ready for use.
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    pub(super) fn new(key: &[u8], salt: [u8; 12]) -> Option<Gcm> {
        let algorithm = match key.len() {
            32 => &AES_256_GCM,
            _ => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key).ok()?;
        Some(Gcm {
            key: LessSafeKey::new(key),
            salt,
        })
    }

    /// Encrypts; gives the tag. `index` has 48 bits: rollover counter and sequence number, or the index of SRTCP.
    pub(super) fn seal(
        &self,
        ssrc: u32,
        index: u64,
        clear: [&[u8]; 2],
        payload: &mut [u8],
    ) -> Result<Tag, SrtpError> {
        let mut room = Joined::default();
        self.key
            .seal_in_place_separate_tag(
                self.nonce(ssrc, index),
                Aad::from(room.join(clear)?),
                payload,
            )
            .map_err(|_| SrtpError::UsedUp)
    }

    /// Decrypts. After an error the payload is of no use.
    pub(super) fn open(
        &self,
        ssrc: u32,
        index: u64,
        clear: [&[u8]; 2],
        payload: &mut [u8],
        tag: Tag,
    ) -> Result<(), SrtpError> {
        let mut room = Joined::default();
        self.key
            .open_in_place_separate_tag(
                self.nonce(ssrc, index),
                Aad::from(room.join(clear)?),
                tag,
                payload,
                0..,
            )
            .map(drop)
            .map_err(|_| SrtpError::Forged)
    }

    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = self.salt;
        for (byte, part) in nonce.iter_mut().skip(2).zip(ssrc.to_be_bytes()) {
            *byte ^= part;
        }
        let [_, _, index @ ..] = index.to_be_bytes();
        for (byte, part) in nonce.iter_mut().skip(6).zip(index) {
            *byte ^= part;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What is authenticated and not encrypted, in one piece: ring wants it so.
struct Joined([u8; LONGEST_CLEAR]);

impl Default for Joined {
    fn default() -> Joined {
        Joined([0; LONGEST_CLEAR])
    }
}

impl Joined {
    fn join<'a>(&'a mut self, parts: [&'a [u8]; 2]) -> Result<&'a [u8], SrtpError> {
        let [first, second] = parts;
        if second.is_empty() {
            return Ok(first);
        }
        let length = first.len() + second.len();
        let whole = self.0.get_mut(..length).ok_or(SrtpError::Malformed)?;
        let (front, back) = whole.split_at_mut(first.len());
        front.copy_from_slice(first);
        back.copy_from_slice(second);
        Ok(whole)
    }
}

/// Of SRTCP: the first header of 8 bytes and the index of 4.
const LONGEST_CLEAR: usize = 12;
