//! Why two descriptions do not come together, and the Warning code for it.

use std::net::IpAddr;

use crate::sdp::crypto::CryptoError;

/// Why a description cannot be agreed on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SdpError {
    /// It cannot be read; the text says why.
    #[error("the session description cannot be read: {0}")]
    Malformed(String),
    /// No stream of it is audio, or it is closed.
    #[error("the session description has no audio stream")]
    NoAudio,
    /// Nothing that both sides speak.
    #[error("no codec in common: this PBX speaks {ours}, the far side {theirs}")]
    NoCommonCodec {
        /// Our codecs.
        ours: String,
        /// Theirs.
        theirs: String,
    },
    /// No packet gets from one address to the other (RFC 6157 §4.2).
    #[error("the media address {theirs} is of another IP version than ours, {ours}")]
    OtherFamily {
        /// Our address.
        ours: IpAddr,
        /// Theirs.
        theirs: IpAddr,
    },
    /// The answer does not match the offer (RFC 3264 §6).
    #[error("the answer does not fit our offer: {0}")]
    AnswerMismatch(String),
    /// Its audio is on a transport that we do not speak.
    #[error(
        "no transport in common: this PBX speaks audio over RTP/AVP, the far side over {theirs}"
    )]
    NoCommonTransport {
        /// Theirs.
        theirs: String,
    },
    /// An `a=crypto` line cannot be read (RFC 4568 §9.1).
    #[error("a key of the audio stream (a=crypto) cannot be read: {0}")]
    Crypto(#[from] CryptoError),
    /// None of its ways to protect the stream is ours.
    #[error(
        "no protection in common: this PBX speaks AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80 and AES_CM_128_HMAC_SHA1_32 with one key and no further parameters, the far side {theirs}"
    )]
    NoCommonSuite {
        /// What it offers.
        theirs: String,
    },
    /// It is plain, and here only protected audio is taken.
    #[error(
        "only encrypted audio is taken here (SRTP with a=crypto), and the far side offers plain RTP"
    )]
    ProtectionRequired,
}

impl SdpError {
    /// The code of the Warning that goes with a 488 (RFC 3261 §20.43) and what that code means; `None`: a sentence says it better.
    pub const fn warning(&self) -> Option<(u16, &'static str)> {
        Some(match self {
            SdpError::NoCommonCodec { .. } => (305, "Incompatible media format"),
            SdpError::NoCommonTransport { .. } => (302, "Incompatible transport protocol"),
            SdpError::ProtectionRequired => (302, "Incompatible transport protocol"),
            SdpError::NoCommonSuite { .. } => (306, "Attribute not understood"),
            SdpError::NoAudio => (304, "Media type not available"),
            SdpError::OtherFamily { .. } => (301, "Incompatible network address formats"),
            SdpError::Malformed(_) | SdpError::AnswerMismatch(_) | SdpError::Crypto(_) => {
                return None;
            }
        })
    }
}
