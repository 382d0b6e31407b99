//! The 44 bytes before the sound of a recording: PCM, 16 bit.

use super::timeline::Layout;

/// The header of a file that holds so many bytes of sound.
pub fn wav_header(layout: Layout, rate_hz: u32, data_bytes: u32) -> [u8; HEADER_BYTES] {
    let channels = layout.channels();
    let frame = channels * 2;
    let mut header = [0u8; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&(data_bytes.saturating_add(HEADER_BYTES as u32 - 8)).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16u32.to_le_bytes());
    put(&1u16.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&rate_hz.to_le_bytes());
    put(&(rate_hz * u32::from(frame)).to_le_bytes());
    put(&frame.to_le_bytes());
    put(&16u16.to_le_bytes());
    put(b"data");
    put(&data_bytes.to_le_bytes());
    header
}

/// Bytes before the first sample.
pub const HEADER_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_it() {
        for (layout, rate, channels) in [(Layout::Mono, 8_000, 1), (Layout::Stereo, 16_000, 2)] {
            let mut bytes = wav_header(layout, rate, 40).to_vec();
            bytes.extend([0; 40]);
            let reader = hound::WavReader::new(bytes.as_slice()).unwrap();
            assert_eq!(reader.spec().channels, channels);
            assert_eq!(reader.spec().sample_rate, rate);
            assert_eq!(reader.len(), 20);
        }
    }
}
