//! How a stream comes to be protected: which transports are taken, whose `a=crypto` lines are said, what an answer means
//! (RFC 4568 §5).
//!
//! Where protection is only offered, it is offered as plain RTP/AVP with keys beside it: a far side that does not know
//! them passes over them, as it must over attributes that it does not know (RFC 8866 §5.13). Keys by DTLS (RFC 5763) would
//! be another way to the same [`CryptoAgreed`].

use sdp_types::{Attribute, Media};

use super::{Agreed, Offered, SdpError, mismatch};
use crate::rtp::srtp::{LONGEST_MATERIAL, MasterKey, Suite};
use crate::sdp::crypto::{self, CryptoAgreed, CryptoLine, Policy};
use crate::sdp::description::Stream;

/// One leg's side of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Security {
    policy: Policy,
    /// Nobody on the way reads what we say.
    private: bool,
    /// Ours, one for each suite; they stay as long as the leg, so that its counters go on. None while it is off.
    keys: Vec<MasterKey>,
}

/// What an answer of ours says.
pub(super) struct Secured {
    pub(super) agreed: Box<CryptoAgreed>,
    pub(super) line: CryptoLine,
}

/// Random bytes for a leg's keys.
pub type KeySeed = [[u8; LONGEST_MATERIAL]; Suite::ALL.len()];

impl Security {
    pub(super) fn new(policy: Policy, private: bool, seed: KeySeed) -> Security {
        let keys = match policy {
            Policy::Off => Vec::new(),
            Policy::Offered | Policy::Required => Suite::ALL
                .into_iter()
                .zip(seed)
                .map(|(suite, random)| MasterKey::from_random(suite, random))
                .collect(),
        };
        Security {
            policy,
            private,
            keys,
        }
    }

    /// Whether a stream's transport is one that we speak.
    pub(super) fn speaks(&self, stream: &Stream) -> bool {
        stream.is_plain_audio() || (self.policy != Policy::Off && stream.is_secure_audio())
    }

    /// How an offered stream would be protected; `None`: not at all.
    pub(super) fn answer(&self, stream: &Stream) -> Result<Option<Secured>, SdpError> {
        if self.policy == Policy::Off {
            return Ok(None);
        }
        let theirs = crypto::choose(&stream.crypto)?;
        let Some(theirs) = theirs else {
            return if stream.is_secure_audio() || !stream.crypto.is_empty() && self.is_required() {
                Err(no_common_suite(stream))
            } else if self.is_required() {
                Err(SdpError::ProtectionRequired)
            } else {
                Ok(None)
            };
        };
        let ours = self.key(theirs.key.suite());
        let ours = ours.ok_or_else(|| no_common_suite(stream))?;
        Ok(Some(Secured {
            line: CryptoLine::new(theirs.tag, ours.clone()),
            agreed: Box::new(CryptoAgreed {
                send: ours.clone(),
                receive: theirs.key,
                mki: theirs.mki,
                lifetime: theirs.lifetime,
            }),
        }))
    }

    /// The lines of an offer: all suites at first, later the one agreed on with the same key.
    pub(super) fn lines(&self, agreed: Option<&Agreed>, before: &[CryptoLine]) -> Vec<CryptoLine> {
        if let Some(agreed) = agreed {
            let Some(crypto) = &agreed.crypto else {
                return Vec::new();
            };
            let suite = crypto.send.suite();
            let said = before.iter().find(|line| line.key.suite() == suite);
            let tag = said.map_or(1, |line| line.tag);
            return vec![CryptoLine::new(tag, crypto.send.clone())];
        }
        let wanted = match self.policy {
            Policy::Off => false,
            Policy::Offered => self.private,
            Policy::Required => true,
        };
        let keys = self.keys.iter().filter(|_| wanted);
        keys.zip(1..)
            .map(|(key, tag)| CryptoLine::new(tag, key.clone()))
            .collect()
    }

    /// The transport of a first offer.
    pub(super) fn transport(&self) -> &'static str {
        if self.is_required() {
            "RTP/SAVP"
        } else {
            "RTP/AVP"
        }
    }

    /// What the answer to an offer means; `None`: the stream is not protected.
    pub(super) fn accept(
        &self,
        stream: &Stream,
        offered: &Offered,
    ) -> Result<Option<Box<CryptoAgreed>>, SdpError> {
        if offered.lines.is_empty() {
            if stream.is_secure_audio() {
                return Err(mismatch("it wants a key that was not offered".into()));
            }
            return Ok(None);
        }
        let Some(theirs) = crypto::choose(&stream.crypto)? else {
            if stream.is_secure_audio() || self.is_required() {
                return Err(mismatch("it names no key for the audio stream".into()));
            }
            return Ok(None);
        };
        let ours = offered.lines.iter().find(|line| {
            // The tag says which of our lines was taken; some far sides write one of their own.
            line.tag == theirs.tag && line.key.suite() == theirs.key.suite()
        });
        let ours = ours.or_else(|| {
            let mut fitting = offered.lines.iter();
            fitting.find(|line| line.key.suite() == theirs.key.suite())
        });
        let ours =
            ours.ok_or_else(|| mismatch("its key is for a suite that was not offered".into()))?;
        Ok(Some(Box::new(CryptoAgreed {
            send: ours.key.clone(),
            receive: theirs.key,
            mki: theirs.mki,
            lifetime: theirs.lifetime,
        })))
    }

    fn is_required(&self) -> bool {
        self.policy == Policy::Required
    }

    fn key(&self, suite: Suite) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.suite() == suite)
    }
}

/// Writes keys, and that reports may come on the same port, into a stream of ours.
pub(super) fn dress(media: &mut Media, lines: &[CryptoLine], rtcp_mux: bool) {
    for line in lines {
        let value = line.write();
        media
            .attributes
            .push(Attribute::with_value("crypto", value));
    }
    if rtcp_mux {
        media.attributes.push(Attribute::new("rtcp-mux"));
    }
}

/// Whether an attribute of ours is one that [`dress`] wrote.
pub(super) fn is_worn(attribute: &Attribute) -> bool {
    matches!(attribute.attribute.as_str(), "crypto" | "rtcp-mux")
}

fn no_common_suite(stream: &Stream) -> SdpError {
    let theirs: Vec<&str> = stream
        .crypto
        .iter()
        .filter_map(|line| line.split_ascii_whitespace().nth(1))
        .collect();
    SdpError::NoCommonSuite {
        theirs: match theirs.as_slice() {
            [] => "names no key".to_owned(),
            _ => format!("offers {}", theirs.join(", ")),
        },
    }
}

#[cfg(test)]
mod tests;
