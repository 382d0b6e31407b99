//! What a side wants of the Opus that it is sent: the parameters in its `a=fmtp` (RFC 7587 §6.1).

/// A receiver's wishes. They bind whoever sends to it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OpusFormat {
    /// The highest sample rate that it plays, in hertz: what is above half of it is wasted.
    pub max_playback_hz: u32,
    /// The most bits per second on average; `None`: what suits.
    pub max_bitrate: Option<u32>,
    /// Whether it makes use of error correction within packets.
    pub fec: bool,
    /// Whether it wants hardly anything to be sent in silence.
    pub dtx: bool,
    /// Whether it wants packets of one size.
    pub constant_bitrate: bool,
}

impl Default for OpusFormat {
    /// What holds where nothing is said.
    fn default() -> OpusFormat {
        OpusFormat {
            max_playback_hz: 48_000,
            max_bitrate: None,
            fec: false,
            dtx: false,
            constant_bitrate: false,
        }
    }
}

impl OpusFormat {
    /// What we say: one channel, error correction welcome, and a rate that is enough for speech of full bandwidth.
    pub const OURS: &str = "useinbandfec=1;stereo=0;sprop-stereo=0;maxaveragebitrate=40000";

    /// Reads the parameters of an `a=fmtp` after the payload type; what is not understood is passed over.
    pub fn parse(parameters: &str) -> OpusFormat {
        let mut format = OpusFormat::default();
        for parameter in parameters.split(';') {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let Ok(value) = value.trim().parse::<u32>() else {
                continue;
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "maxplaybackrate" if (8_000..=48_000).contains(&value) => {
                    format.max_playback_hz = value;
                }
                "maxaveragebitrate" if (6_000..=510_000).contains(&value) => {
                    format.max_bitrate = Some(value);
                }
                "useinbandfec" => format.fec = value == 1,
                "usedtx" => format.dtx = value == 1,
                "cbr" => format.constant_bitrate = value == 1,
                _ => {}
            }
        }
        format
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wishes_are_read_and_the_rest_is_passed_over() {
        assert_eq!(OpusFormat::parse(""), OpusFormat::default());
        assert_eq!(
            OpusFormat::parse(
                "minptime=10; UseInbandFEC=1;maxplaybackrate=16000 ;maxaveragebitrate=24000;usedtx=1;cbr=1;x"
            ),
            OpusFormat {
                max_playback_hz: 16_000,
                max_bitrate: Some(24_000),
                fec: true,
                dtx: true,
                constant_bitrate: true,
            }
        );
        assert_eq!(
            OpusFormat::parse("maxaveragebitrate=1;maxplaybackrate=7;useinbandfec=yes"),
            OpusFormat::default()
        );
        assert!(OpusFormat::parse(OpusFormat::OURS).fec);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".{0,80}") {
            OpusFormat::parse(&text);
        }
    }
}
