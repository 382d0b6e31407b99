use super::*;
use proptest::prelude::*;

/// Reproducible noise: the upper half of a 32-bit linear congruence, `shift` bits quieter than full scale.
fn noise(count: usize, shift: u32, seed: u32) -> impl Iterator<Item = i16> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        (((state >> 16) as i32 - 32_768) >> shift) as i16
    })
    .take(count)
}

/// Loud and quiet noise, a square wave of three quarters of full scale, ramps, silence, the faintest noise.
fn everything() -> Vec<i16> {
    let mut samples: Vec<i16> = noise(8_000, 1, 1).collect();
    samples.extend(noise(8_000, 6, 7));
    samples.extend((0..8_000).map(|n| if (n / 20) % 2 == 0 { 24_000 } else { -24_000 }));
    samples.extend((0..8_000i32).map(|n| ((n * 97) % 20_000 - 10_000) as i16));
    samples.extend([0; 1_600]);
    samples.extend(noise(1_600, 14, 3));
    samples
}

/// FNV-1a, 64 bits.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn encoded(samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; samples.len() / 2];
    assert_eq!(Encoder::default().encode(samples, &mut bytes), bytes.len());
    bytes
}

fn decoded(bytes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; bytes.len() * 2];
    assert_eq!(
        Decoder::default().decode(bytes, &mut samples),
        samples.len()
    );
    samples
}

fn little_endian(samples: &[i16]) -> impl Iterator<Item = u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes())
}

fn sine(frequency: f64, amplitude: f64) -> Vec<i16> {
    (0..16_000)
        .map(|n| (std::f64::consts::TAU * frequency * f64::from(n) / 16_000.0).sin() * amplitude)
        .map(|sample| sample.round() as i16)
        .collect()
}

/// Signal to noise in decibels, the codec's delay of 22 samples taken out.
fn signal_to_noise(samples: &[i16]) -> f64 {
    let heard = decoded(&encoded(samples));
    let pairs = samples.iter().zip(&heard[22..]).skip(800);
    let (mut signal, mut noise) = (0.0, 0.0);
    for (&said, &heard) in pairs {
        signal += f64::from(said).powi(2);
        noise += (f64::from(said) - f64::from(heard)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// What another implementation of the recommendation (libspandsp 2.0.0) makes of the same samples and bytes.
#[test]
fn every_bit_is_that_of_another_implementation() {
    let bytes = encoded(&everything());
    assert_eq!(
        bytes[..16],
        [
            46, 134, 41, 152, 58, 132, 132, 32, 32, 36, 4, 140, 184, 40, 102, 36
        ]
    );
    assert_eq!(hash(bytes.iter().copied()), 0x4752_fb11_db95_5b15);
    let samples = decoded(&bytes);
    assert_eq!(
        samples[200..208],
        [6505, -10610, -6624, -6788, 3952, -6185, -11070, 4297]
    );
    assert_eq!(hash(little_endian(&samples)), 0x0428_4842_1eb6_9fcd);
    // Bytes that no encoder makes.
    let any: Vec<u8> = noise(8_000, 0, 99)
        .map(|sample| ((i32::from(sample) + 32_768) >> 8) as u8)
        .collect();
    assert_eq!(
        decoded(&any)[100..110],
        [
            9921, 11814, 6718, -2030, -5327, -1394, 2261, 2392, 2993, 3400
        ]
    );
}

#[test]
fn tones_of_both_bands_come_through() {
    for (frequency, least) in [
        (300.0, 35.0),
        (1_000.0, 35.0),
        (3_000.0, 28.0),
        (5_000.0, 15.0),
        (6_500.0, 15.0),
    ] {
        let ratio = signal_to_noise(&sine(frequency, 8_000.0));
        assert!(ratio > least, "{frequency} Hz: {ratio:.1} dB");
    }
}

#[test]
fn silence_stays_silence() {
    let heard = decoded(&encoded(&[0; 3_200]));
    assert!(heard.iter().all(|&sample| sample.abs() < 16), "{heard:?}");
}

#[test]
fn packets_of_any_size_make_one_stream() {
    let samples = everything();
    let whole = encoded(&samples);
    let mut encoder = Encoder::default();
    let mut parts = Vec::new();
    for part in samples.chunks(161) {
        let mut room = [0; 100];
        let length = encoder.encode(part, &mut room);
        parts.extend_from_slice(&room[..length]);
    }
    assert_eq!(parts, whole);
    let mut room = [0; 3];
    assert_eq!(Decoder::default().decode(&whole, &mut room), 2);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        samples in proptest::collection::vec(prop_oneof![any::<i16>(), Just(i16::MIN), Just(i16::MAX)], 0..2_000),
    ) {
        let mut heard = vec![0; bytes.len() * 2];
        Decoder::default().decode(&bytes, &mut heard);
        let mut room = vec![0; samples.len()];
        Encoder::default().encode(&samples, &mut room);
    }
}
