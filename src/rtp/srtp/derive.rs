//! Session keys from a master key (RFC 3711 §4.3, with AES-256 as in RFC 6188 §3), key derivation rate zero.

use aes::cipher::{KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use ctr::Ctr128BE;

use super::MasterKey;

/// What a session key is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Label {
    RtpCipher = 0,
    RtpTag = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpTag = 4,
    RtcpSalt = 5,
}

/// `N` bytes of the key for a purpose.
pub(super) fn derive<const N: usize>(master: &MasterKey, label: Label) -> [u8; N] {
    let mut start = [0u8; 16];
    // A salt of 96 bits stands as one of 112 bits that ends in zeros.
    for (byte, salt) in start.iter_mut().zip(master.salt()) {
        *byte = *salt;
    }
    start[LABEL_AT] ^= label as u8;
    let mut out = [0u8; N];
    // Keys have the length of their suite: a slice of another length does not occur.
    if let Ok(mut stream) = Ctr128BE::<Aes128>::new_from_slices(master.key(), &start) {
        stream.apply_keystream(&mut out);
    } else if let Ok(mut stream) = Ctr128BE::<Aes256>::new_from_slices(master.key(), &start) {
        stream.apply_keystream(&mut out);
    }
    out
}

/// Where the label is added: the index of 48 bits after it is zero.
const LABEL_AT: usize = 7;
