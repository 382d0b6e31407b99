//! AES in counter mode with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::SrtpError;

/// The keys for RTP, or those for RTCP, ready for use.
pub(super) struct Cm {
    cipher: Aes128Enc,
    salt: [u8; 14],
    /// With the key taken in already.
    tag: Hmac<Sha1>,
}

impl Cm {
    pub(super) fn new(key: [u8; 16], salt: [u8; 14], tag_key: [u8; 20]) -> Cm {
        Cm {
            cipher: Aes128Enc::new(&key.into()),
            salt,
            // HMAC takes keys of any length.
            tag: <Hmac<Sha1> as KeyInit>::new_from_slice(&tag_key)
                .unwrap_or_else(|_| <Hmac<Sha1> as KeyInit>::new(&Default::default())),
        }
    }

    /// Encrypts or decrypts; `index` has 48 bits.
    pub(super) fn apply(&self, ssrc: u32, index: u64, payload: &mut [u8]) {
        let mut start = [0u8; 16];
        for (byte, salt) in start.iter_mut().zip(self.salt) {
            *byte = salt;
        }
        for (byte, part) in start.iter_mut().skip(4).zip(ssrc.to_be_bytes()) {
            *byte ^= part;
        }
        let [_, _, index @ ..] = index.to_be_bytes();
        for (byte, part) in start.iter_mut().skip(8).zip(index) {
            *byte ^= part;
        }
        let core = CtrCore::<&Aes128Enc, Ctr128BE>::inner_iv_init(&self.cipher, &start.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(payload);
    }

    /// The whole tag over `parts` in a row; a packet carries its first bytes.
    pub(super) fn tag(&self, parts: [&[u8]; 2]) -> [u8; 20] {
        let mut tag = self.tag.clone();
        for part in parts {
            tag.update(part);
        }
        tag.finalize().into_bytes().into()
    }

    /// Compares a packet's tag in constant time.
    pub(super) fn verify(&self, parts: [&[u8]; 2], told: &[u8]) -> Result<(), SrtpError> {
        let mut tag = self.tag.clone();
        for part in parts {
            tag.update(part);
        }
        tag.verify_truncated_left(told)
            .map_err(|_| SrtpError::Forged)
    }
}
