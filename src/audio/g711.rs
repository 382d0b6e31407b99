//! G.711 (ITU-T G.711): A-law and µ-law, both directions and from one law to the other, by table.
//!
//! Linear samples are 16 bit: the 14-bit (µ-law) and 13-bit (A-law) values of the Recommendation, left-aligned.
//! Going from one law to the other follows its Tables 3 and 4, not decoding and encoding again: the tables are what
//! international gateways use, and keep more of the bits when a call crosses twice.

/// Silence in µ-law: the code of sample 0.
pub const ULAW_SILENCE: u8 = 0xff;
/// Silence in A-law: the code of sample 0.
pub const ALAW_SILENCE: u8 = 0xd5;

/// The linear value of each µ-law code.
pub const ULAW_TO_LINEAR: [i16; 256] = table_i16(Law::Ulaw);
/// The linear value of each A-law code.
pub const ALAW_TO_LINEAR: [i16; 256] = table_i16(Law::Alaw);
/// The A-law code for each µ-law code (G.711 Table 3).
pub static ULAW_TO_ALAW: [u8; 256] = ulaw_to_alaw_table();
/// The µ-law code for each A-law code (G.711 Table 4).
pub static ALAW_TO_ULAW: [u8; 256] = alaw_to_ulaw_table();

/// Encodes one 16-bit linear sample as µ-law.
pub const fn ulaw_encode(sample: i16) -> u8 {
    let negative = sample < 0;
    // One's complement, as the reference encoder does: -32768 needs no special case.
    let magnitude = (if negative { !sample } else { sample } >> 2) as u16 + ULAW_BIAS;
    let magnitude = if magnitude > ULAW_LARGEST {
        ULAW_LARGEST
    } else {
        magnitude
    };
    // The lowest segment begins at 32.
    let code = segment_and_step(magnitude, 5);
    if negative { !code & 0x7f } else { !code }
}

/// Encodes one 16-bit linear sample as A-law.
pub const fn alaw_encode(sample: i16) -> u8 {
    let negative = sample < 0;
    let magnitude = (if negative { !sample } else { sample } >> 4) as u16;
    let code = if magnitude < 16 {
        magnitude as u8
    } else {
        // The second segment begins at 16, and is as steep as the first.
        segment_and_step(magnitude, 3)
    };
    (if negative { code } else { code | 0x80 }) ^ ALAW_TOGGLE
}

/// The power of two below a magnitude, less `lowest`, and the four bits after the first, as a code has them: a floating-point
/// number is written so. Vectors can do this; they can't count leading zeros.
const fn segment_and_step(magnitude: u16, lowest: u32) -> u8 {
    let bits = (magnitude as i32 as f32).to_bits();
    ((bits >> 19) - ((127 + lowest) << 4)) as u8
}

/// Decodes one µ-law code to a 16-bit linear sample.
pub const fn ulaw_decode(code: u8) -> i16 {
    ULAW_TO_LINEAR[code as usize]
}

/// Decodes one A-law code to a 16-bit linear sample.
pub const fn alaw_decode(code: u8) -> i16 {
    ALAW_TO_LINEAR[code as usize]
}

/// The A-law code that stands for the same sound as a µ-law code.
pub fn ulaw_to_alaw(code: u8) -> u8 {
    ULAW_TO_ALAW[code as usize]
}

/// The µ-law code that stands for the same sound as an A-law code.
pub fn alaw_to_ulaw(code: u8) -> u8 {
    ALAW_TO_ULAW[code as usize]
}

#[derive(Copy, Clone)]
enum Law {
    Ulaw,
    Alaw,
}

const fn table_i16(law: Law) -> [i16; 256] {
    let mut table = [0i16; 256];
    let mut code = 0usize;
    while code < 256 {
        table[code] = match law {
            Law::Ulaw => ulaw_value(code as u8),
            Law::Alaw => alaw_value(code as u8),
        };
        code += 1;
    }
    table
}

const fn ulaw_value(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 0x07;
    let step = (bits & 0x0f) as i16;
    // The middle of the step, in 14 bits: (2 step + 33) 2^segment - 33.
    let magnitude = (((step << 1) + ULAW_BIAS as i16) << segment) - ULAW_BIAS as i16;
    let magnitude = magnitude << 2;
    if bits & 0x80 != 0 {
        -magnitude
    } else {
        magnitude
    }
}

const fn alaw_value(code: u8) -> i16 {
    let bits = code ^ ALAW_TOGGLE;
    let segment = (bits >> 4) & 0x07;
    let step = (bits & 0x0f) as i16;
    let magnitude = if segment == 0 {
        (step << 4) + 8
    } else {
        ((step << 4) + 0x108) << (segment - 1)
    };
    if bits & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// G.711 Table 3 for one polarity; both numbers count magnitudes from 0.
const fn ulaw_number_to_alaw(n: u8) -> u8 {
    match n {
        0..16 => n / 2,
        16..33 => n - 8,
        33..36 => n * 2 - 40,
        36..48 => n - 4,
        48 => 45,
        49..64 => n - 2,
        64..81 => n - 1,
        _ => n,
    }
}

/// G.711 Table 4 for one polarity; both numbers count magnitudes from 0.
const fn alaw_number_to_ulaw(n: u8) -> u8 {
    match n {
        0..8 => n * 2 + 1,
        8..25 => n + 8,
        25..32 => n / 2 + 20,
        32..45 => n + 4,
        45 => 48,
        46..48 => 49,
        48..63 => n + 2,
        63..80 => n + 1,
        _ => n,
    }
}

const fn ulaw_to_alaw_table() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut code = 0usize;
    while code < 256 {
        let number = !(code as u8) & 0x7f;
        table[code] = (ulaw_number_to_alaw(number) | (code as u8 & 0x80)) ^ ALAW_TOGGLE;
        code += 1;
    }
    table
}

const fn alaw_to_ulaw_table() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut code = 0usize;
    while code < 256 {
        let number = (code as u8 ^ ALAW_TOGGLE) & 0x7f;
        table[code] = (!alaw_number_to_ulaw(number) & 0x7f) | (code as u8 & 0x80);
        code += 1;
    }
    table
}

/// Added to a µ-law magnitude (14 bit) so that segments begin at powers of two.
const ULAW_BIAS: u16 = 33;
/// The largest biased µ-law magnitude.
const ULAW_LARGEST: u16 = 0x1fff;
/// Every other bit of an A-law code is inverted on the line.
const ALAW_TOGGLE: u8 = 0x55;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes() {
        let ulaw: Vec<u8> = [0, -1, 4, 8, 1000, -1000, 32767, -32768]
            .into_iter()
            .map(ulaw_encode)
            .collect();
        assert_eq!(ulaw, [0xff, 0x7f, 0xfe, 0xfe, 0xce, 0x4e, 0x80, 0x00]);
        let alaw: Vec<u8> = [0, -1, 16, 1000, -1000, 32767, -32768]
            .into_iter()
            .map(alaw_encode)
            .collect();
        assert_eq!(alaw, [0xd5, 0x55, 0xd4, 0xfa, 0x7a, 0xaa, 0x2a]);
    }

    #[test]
    fn decoded_values_are_those_of_the_recommendation() {
        // The largest, the first of each segment and the smallest, scaled from 14 and 13 bits to 16.
        for (code, value) in [
            (0x80, 8031),
            (0x8f, 4191),
            (0x9f, 2079),
            (0xaf, 1023),
            (0xbf, 495),
            (0xcf, 231),
            (0xdf, 99),
            (0xef, 33),
            (0xfe, 2),
            (0xff, 0),
        ] {
            assert_eq!(ulaw_decode(code), value * 4, "{code:#x}");
            assert_eq!(ulaw_decode(code & 0x7f), -value * 4, "{code:#x}");
        }
        for (number, value) in [
            (0, 1),
            (1, 3),
            (31, 63),
            (32, 66),
            (48, 132),
            (64, 264),
            (80, 528),
            (96, 1056),
            (112, 2112),
            (127, 4032),
        ] {
            assert_eq!(alaw_decode((number | 0x80) ^ 0x55), value * 8, "{number}");
            assert_eq!(alaw_decode(number ^ 0x55), -value * 8, "{number}");
        }
    }

    #[test]
    fn decoding_and_encoding_gives_the_code_back() {
        for code in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(code)), code);
            // Minus zero is the one code that comes back as its twin.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(ulaw_encode(ulaw_decode(code)), expected);
        }
    }

    #[test]
    fn every_sample_lands_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            for (law, decoded) in [
                ("µ", ulaw_decode(ulaw_encode(sample))),
                ("A", alaw_decode(alaw_encode(sample))),
            ] {
                let error = (i32::from(sample) - i32::from(decoded)).abs();
                // The widest step of a magnitude m is m/16 plus the smallest one, and the top is clipped.
                let clipped = (i32::from(sample).abs() - 32_124).max(0);
                let allowed = i32::from(sample).abs() / 32 + 8 + clipped;
                assert!(error <= allowed, "{law} {sample} {decoded}");
            }
        }
    }

    #[test]
    fn louder_never_becomes_quieter() {
        for sample in i16::MIN..i16::MAX {
            assert!(ulaw_decode(ulaw_encode(sample)) <= ulaw_decode(ulaw_encode(sample + 1)));
            assert!(alaw_decode(alaw_encode(sample)) <= alaw_decode(alaw_encode(sample + 1)));
        }
    }

    /// G.711 Table 3, positive numbers 1 to 128 (as spandsp 0.0.6 converts them).
    const TABLE_3: [u8; 128] = [
        1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
        20, 21, 22, 23, 24, 25, 27, 29, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 48,
        49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 64, 65, 66, 67, 68, 69, 70, 71, 72,
        73, 74, 75, 76, 77, 78, 79, 80, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96,
        97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115,
        116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128,
    ];
    /// G.711 Table 4, positive numbers, µ-law magnitudes counted from 0.
    const TABLE_4: [u8; 128] = [
        1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
        32, 32, 33, 33, 34, 34, 35, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 48, 49,
        49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 64, 65, 66, 67, 68, 69, 70,
        71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
        93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
        112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
    ];

    #[test]
    fn between_the_laws_as_tables_3_and_4_say() {
        for n in 0..128u8 {
            let alaw = TABLE_3[n as usize] - 1;
            assert_eq!(ulaw_to_alaw(!n), (alaw | 0x80) ^ 0x55, "µ {n}");
            assert_eq!(ulaw_to_alaw(!n & 0x7f), alaw ^ 0x55, "µ -{n}");
            let ulaw = TABLE_4[n as usize];
            assert_eq!(alaw_to_ulaw((n | 0x80) ^ 0x55), !ulaw, "A {n}");
            assert_eq!(alaw_to_ulaw(n ^ 0x55), !ulaw & 0x7f, "A -{n}");
        }
    }

    #[test]
    fn crossing_the_laws_twice_changes_few_codes_and_none_by_more_than_a_step() {
        let changed = (0..=255u8)
            .filter(|&code| alaw_to_ulaw(ulaw_to_alaw(code)) != code)
            .count();
        assert_eq!(changed, 16);
        for code in 0..=255u8 {
            let there = i32::from(alaw_decode(ulaw_to_alaw(code)));
            let here = i32::from(ulaw_decode(code));
            assert!((there - here).abs() <= here.abs() / 16 + 8, "{code:#x}");
        }
        assert_eq!(ulaw_to_alaw(ULAW_SILENCE), ALAW_SILENCE);
    }
}
