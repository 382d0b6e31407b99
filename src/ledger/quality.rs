//! How a leg sounded, as it is kept and told.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a leg sounded. Losses are percentages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LegQuality {
    /// The mean opinion score, 1 to 4.5 (ITU-T G.107, simplified); `None`: too little was heard to tell.
    pub mos: Option<Hundredths>,
    /// Of what the far side sent: what did not come, or came too late.
    pub loss: Hundredths,
    /// Of what was sent to it: what it missed, if it reports.
    pub loss_out: Option<Hundredths>,
    /// Interarrival jitter at the end, the worse direction's, in milliseconds.
    pub jitter_ms: u32,
    /// To the far side and back, in milliseconds, if it reports.
    pub rtt_ms: Option<u32>,
    /// Packets that came.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// How the media was encrypted: the suite's name (RFC 4568); `None`: it was not.
    pub srtp: Option<String>,
}

/// The media of a running leg, as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LegMedia {
    /// What it speaks; `None` before that is agreed.
    pub codec: Option<&'static str>,
    /// How its packets come and go: `epoll` or `io_uring`.
    pub io: &'static str,
    /// How it sounds so far, as it will be kept.
    #[serde(skip)]
    pub quality: Option<LegQuality>,
    /// The last few seconds that could be judged.
    pub lately: Option<LegQuality>,
}

/// How legs sounded so far: a histogram of mean opinion scores.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opinions {
    /// Above the bound before and up to this one; the last ones are above all bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum: u64,
}

impl Opinions {
    /// One more leg.
    pub fn note(&mut self, mos: Hundredths) {
        let place = BOUNDS.partition_point(|bound| *bound < mos);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum += u64::from(mos.0);
    }

    /// How many legs sounded no better than each bound.
    pub fn up_to(&self) -> impl Iterator<Item = (Hundredths, u64)> + '_ {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(sums)
    }

    /// How many legs.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All scores together.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / 100.0
    }
}

/// From unusable to as good as G.711 gets (4.4).
const BOUNDS: [Hundredths; 9] = [
    Hundredths(150),
    Hundredths(200),
    Hundredths(250),
    Hundredths(300),
    Hundredths(350),
    Hundredths(380),
    Hundredths(400),
    Hundredths(430),
    Hundredths(440),
];

/// A number with two decimals, written as such.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hundredths(pub u32);

impl Hundredths {
    /// Rounded; zero for what is no number or below zero.
    pub fn of(value: f64) -> Hundredths {
        // A cast saturates, and makes zero of what is no number.
        Hundredths((value * 100.0).round() as u32)
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Hundredths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Hundredths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hundredths, D::Error> {
        f64::deserialize(deserializer).map(Hundredths::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_written_as_numbers_and_come_back() {
        for (value, kept, text) in [
            (4.4094, 441, "4.41"),
            (0.0, 0, "0.00"),
            (9.996, 1000, "10.00"),
            (-3.0, 0, "0.00"),
            (f64::NAN, 0, "0.00"),
        ] {
            let hundredths = Hundredths::of(value);
            assert_eq!(
                (hundredths.0, hundredths.to_string().as_str()),
                (kept, text)
            );
            let json = serde_json::to_string(&hundredths).unwrap();
            assert_eq!(
                serde_json::from_str::<Hundredths>(&json).unwrap(),
                hundredths
            );
        }
    }
}
