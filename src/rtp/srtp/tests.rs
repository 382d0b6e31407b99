//! The vectors of the RFCs, packets made by libsrtp 2.5 (`vectors.txt`), and what an attacker or a bad network may do.

use super::derive::{Label, derive};
use super::gcm::Gcm;
use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn key(suite: Suite, seed: u8) -> MasterKey {
    let material: Vec<u8> = (0..suite.material_length())
        .map(|n| (n as u8).wrapping_mul(37).wrapping_add(seed))
        .collect();
    MasterKey::new(suite, &material).unwrap()
}

fn pair(suite: Suite) -> (Protect, Unprotect) {
    let master = key(suite, 1);
    (
        Protect::new(&master).unwrap(),
        Unprotect::new(&master, &Mki::default()).unwrap(),
    )
}

fn voice(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(0xcafe_babeu32.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

fn seal(protect: &mut Protect, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD, 0);
    let length = protect.rtp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

fn open(unprotect: &mut Unprotect, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let length = unprotect.rtp(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn seal_report(protect: &mut Protect, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD, 0);
    let length = protect.rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn open_report(unprotect: &mut Unprotect, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let length = unprotect.rtcp(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

const REPORT: [u8; 28] = [
    0x80, 200, 0, 6, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    17, 18, 19, 20,
];

/// RFC 3711 §B.3.
#[test]
fn rfc_3711_key_derivation() {
    let material = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(Suite::AesCm128HmacSha1Tag80, &material).unwrap();
    let cipher: [u8; 16] = derive(&master, Label::RtpCipher);
    let salt: [u8; 14] = derive(&master, Label::RtpSalt);
    let tag: [u8; 94] = derive(&master, Label::RtpTag);
    assert_eq!(cipher.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        tag.to_vec(),
        hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4
             8F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2")
    );
}

/// RFC 3711 §B.2: the keystream's beginning and what stands around its 65,281st block.
#[test]
fn rfc_3711_keystream() {
    let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let cipher: [u8; 16] = hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
    let mut stream = vec![0u8; 0xff02 * 16];
    cm::Cm::new(cipher, salt, [0; 20]).apply(0, 0, &mut stream);
    assert_eq!(
        stream[..48],
        hex(
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0"
        )
    );
    assert_eq!(
        stream[0xfeff * 16..],
        hex(
            "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
             6A2CC3787889374FBEB4C81B17BA6C44"
        )
    );
}

const SALT_OF_7714: [u8; 12] = *b"Quid pro quo";
const RTP_OF_7714: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";

/// RFC 7714 §16.1.1, §16.2.1: session keys are given, so nothing is derived.
#[test]
fn rfc_7714_rtp() {
    let expected = [
        "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833
         899d7f27 beb16a91 52cf765e e4390cce",
        "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3
         db36dfff d6b0f9bb 7878d7a7 6c13",
    ];
    for (length, expected) in [16u8, 32].into_iter().zip(expected) {
        let key: Vec<u8> = (0..length).collect();
        let mut packet = hex(RTP_OF_7714);
        let gcm = Gcm::new(&key, SALT_OF_7714).unwrap();
        let (header, payload) = packet.split_at_mut(12);
        let tag = gcm
            .seal(0x5501_a0b2, 0xf17b, [header, &[]], payload)
            .unwrap();
        assert_eq!([payload, tag.as_ref()].concat(), hex(expected));
        gcm.open(0x5501_a0b2, 0xf17b, [header, &[]], payload, tag)
            .unwrap();
        assert_eq!(packet, hex(RTP_OF_7714));
    }
}

/// RFC 7714 §17.1.
#[test]
fn rfc_7714_rtcp() {
    let key: Vec<u8> = (0..16).collect();
    let mut packet = hex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
        deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let gcm = Gcm::new(&key, SALT_OF_7714).unwrap();
    let (header, payload) = packet.split_at_mut(8);
    let told = 0x8000_05d4u32.to_be_bytes();
    let tag = gcm
        .seal(0x4d61_7273, 0x5d4, [header, &told], payload)
        .unwrap();
    assert_eq!(
        [payload, tag.as_ref()].concat(),
        hex(
            "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
             4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade"
        )
    );
}

/// Packets made by libsrtp over a wrap of the sequence number, with sources, extension, empty payload and identifiers.
#[test]
fn packets_of_libsrtp_both_ways() {
    let mut protect: Option<Protect> = None;
    let mut unprotect: Option<Unprotect> = None;
    let mut report = 0;
    for line in include_str!("vectors.txt").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [suite, material, mki, kind, plain, sealed] = fields[..] else {
            panic!("{line}");
        };
        let master = MasterKey::new(Suite::of_name(suite).unwrap(), &hex(material)).unwrap();
        if protect
            .as_ref()
            .is_none_or(|protect| *protect.master() != master)
        {
            protect = Some(Protect::new(&master).unwrap());
            unprotect = Some(Unprotect::new(&master, &Mki::new(&hex(mki)).unwrap()).unwrap());
            // libsrtp begins to count at one.
            report = 0;
        }
        let (protect, unprotect) = (protect.as_mut().unwrap(), unprotect.as_mut().unwrap());
        let (plain, sealed) = (hex(plain), hex(sealed));
        let (made, opened) = if kind == "rtp" {
            (seal(protect, &plain).unwrap(), open(unprotect, &sealed))
        } else {
            if report == 0 {
                seal_report(protect, &plain);
            }
            report += 1;
            (
                seal_report(protect, &plain),
                open_report(unprotect, &sealed),
            )
        };
        assert_eq!(opened.unwrap(), plain, "{suite} {kind}");
        if mki == "-" {
            assert_eq!(made, sealed, "{suite} {kind}");
        }
    }
}

#[test]
fn a_packet_is_taken_once() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = pair(suite);
        let packets: Vec<Vec<u8>> = (0..200)
            .map(|n| seal(&mut protect, &voice(n)).unwrap())
            .collect();
        for n in [0, 5, 3, 4, 199, 100] {
            assert_eq!(open(&mut unprotect, &packets[n]).unwrap(), voice(n as u16));
        }
        for n in [0, 5, 3, 4, 199, 100, 50] {
            assert_eq!(open(&mut unprotect, &packets[n]), Err(SrtpError::Replayed));
        }
        let report = seal_report(&mut protect, &REPORT);
        assert_eq!(open_report(&mut unprotect, &report).unwrap(), REPORT);
        assert_eq!(
            open_report(&mut unprotect, &report),
            Err(SrtpError::Replayed)
        );
    }
}

#[test]
fn a_number_is_never_protected_twice() {
    let (mut protect, _) = pair(Suite::AeadAes128Gcm);
    seal(&mut protect, &voice(7)).unwrap();
    seal(&mut protect, &voice(9)).unwrap();
    assert_eq!(seal(&mut protect, &voice(7)), Err(SrtpError::Replayed));
    seal(&mut protect, &voice(8)).unwrap();
    assert_eq!(seal(&mut protect, &voice(8)), Err(SrtpError::Replayed));
}

#[test]
fn forged_damaged_and_cut_packets_are_refused_and_change_nothing() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = pair(suite);
        let good = seal(&mut protect, &voice(3)).unwrap();
        let report = seal_report(&mut protect, &REPORT);
        for at in 2..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(open(&mut unprotect, &bad).is_err(), "{suite:?} byte {at}");
            assert!(open(&mut unprotect, &good[..at]).is_err());
        }
        for at in 0..report.len() {
            let mut bad = report.clone();
            bad[at] ^= 0x10;
            assert!(
                open_report(&mut unprotect, &bad).is_err(),
                "{suite:?} report byte {at}"
            );
        }
        let mut stranger = Protect::new(&key(suite, 2)).unwrap();
        let strange = seal(&mut stranger, &voice(4)).unwrap();
        assert_eq!(open(&mut unprotect, &strange), Err(SrtpError::Forged));
        assert_eq!(open(&mut unprotect, &good).unwrap(), voice(3));
        assert_eq!(open_report(&mut unprotect, &report).unwrap(), REPORT);
    }
}

#[test]
fn packets_may_change_places_around_a_wrap() {
    for suite in Suite::ALL {
        let (mut protect, mut unprotect) = pair(suite);
        let numbers = [65_533u16, 65_534, 65_535, 0, 1, 2];
        let packets: Vec<Vec<u8>> = numbers
            .iter()
            .map(|n| seal(&mut protect, &voice(*n)).unwrap())
            .collect();
        for at in [0usize, 3, 1, 5, 2, 4] {
            assert_eq!(
                open(&mut unprotect, &packets[at]).unwrap(),
                voice(numbers[at])
            );
        }
        // A sender, too, may send late ones.
        let (mut protect, mut unprotect) = pair(suite);
        for n in [65_534u16, 0, 65_535, 1] {
            let packet = seal(&mut protect, &voice(n)).unwrap();
            assert_eq!(open(&mut unprotect, &packet).unwrap(), voice(n));
        }
    }
}

/// Three turns of the counter, as after an hour of talk.
#[test]
fn counters_go_on_under_the_same_key_and_under_a_new_one() {
    let suite = Suite::AesCm128HmacSha1Tag80;
    let (mut protect, mut unprotect) = pair(suite);
    for n in (0u32..3 * 65_536).step_by(8_192) {
        let packet = seal(&mut protect, &voice(n as u16)).unwrap();
        assert_eq!(open(&mut unprotect, &packet).unwrap(), voice(n as u16));
    }
    let (mut next, mut taker) = pair(suite);
    next.follow(&protect);
    taker.follow(&unprotect);
    let packet = seal(&mut next, &voice(65_000)).unwrap();
    assert_eq!(open(&mut taker, &packet).unwrap(), voice(65_000));
    assert_eq!(open(&mut taker, &packet), Err(SrtpError::Replayed));

    let fresh = key(suite, 9);
    // A far side that goes on, and one that begins at zero again.
    for goes_on in [true, false] {
        let mut sender = Protect::new(&fresh).unwrap();
        if goes_on {
            sender.follow(&next);
        }
        let mut receiver = Unprotect::new(&fresh, &Mki::default()).unwrap();
        receiver.follow(&taker);
        for n in [65_001u16, 65_002, 100] {
            let packet = seal(&mut sender, &voice(n)).unwrap();
            assert_eq!(open(&mut receiver, &packet).unwrap(), voice(n), "{goes_on}");
            assert_eq!(open(&mut receiver, &packet), Err(SrtpError::Replayed));
        }
    }
}

/// RFC 3711 §9.2, RFC 4568 §6.1: audio and reports each have the whole number.
#[test]
fn a_key_is_not_used_beyond_its_lifetime() {
    for suite in Suite::ALL {
        let (mut protect, unprotect) = pair(suite);
        let mut unprotect = unprotect.lasting(16);
        for n in 0..16 {
            let life = if n < 12 { Life::Lasting } else { Life::Ending };
            assert_eq!(unprotect.life(), life, "{n}");
            let packet = seal(&mut protect, &voice(n)).unwrap();
            assert!(open(&mut unprotect, &packet).is_ok());
            // What is forged or came before does not count.
            assert!(open(&mut unprotect, &packet).is_err());
        }
        assert_eq!(unprotect.life(), Life::Ended);
        let packet = seal(&mut protect, &voice(16)).unwrap();
        assert_eq!(open(&mut unprotect, &packet), Err(SrtpError::UsedUp));
        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let sealed = seal_report(&mut protect, &report);
        assert_eq!(open_report(&mut unprotect, &sealed).unwrap(), report);

        // The same key said again does not live longer, a new one does.
        let master = protect.master().clone();
        let mut again = Unprotect::new(&master, &Mki::default())
            .unwrap()
            .lasting(16);
        again.follow(&unprotect);
        assert_eq!(again.life(), Life::Ended);
        let mut fresh = Unprotect::new(&key(suite, 9), &Mki::default())
            .unwrap()
            .lasting(16);
        fresh.follow(&unprotect);
        assert_eq!(fresh.life(), Life::Lasting);
    }
    let (_, unprotect) = pair(Suite::AeadAes128Gcm);
    assert_eq!(unprotect.lasting(1 << 48).life(), Life::Lasting);
}

#[test]
fn another_master_key_is_not_taken_for_ours() {
    let master = key(Suite::AesCm128HmacSha1Tag80, 1);
    let mut unprotect = Unprotect::new(&master, &Mki::new(&[7]).unwrap()).unwrap();
    let mut protect = Protect::new(&master).unwrap();
    let packet = seal(&mut protect, &voice(1)).unwrap();
    assert_eq!(open(&mut unprotect, &packet), Err(SrtpError::OtherKey));
}

#[test]
fn keys_are_never_shown() {
    let (protect, unprotect) = pair(Suite::AeadAes256Gcm);
    let shown = format!("{protect:?} {unprotect:?}");
    assert_eq!(
        shown,
        "Protect(MasterKey(AEAD_AES_256_GCM)) Unprotect(MasterKey(AEAD_AES_256_GCM))"
    );
    assert_eq!(MasterKey::new(Suite::AeadAes256Gcm, &[0; 30]), None);
}

proptest! {
    #[test]
    fn what_is_protected_comes_back(
        suite in 0usize..4, start: u16, csrc in 0u8..4, extension: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        steps in proptest::collection::vec(1u16..500, 1..40),
    ) {
        let (mut protect, mut unprotect) = pair(Suite::ALL[suite]);
        let mut sequence = start;
        for step in steps {
            sequence = sequence.wrapping_add(step);
            let mut packet = vec![0x80 | csrc | u8::from(extension) << 4, 0];
            packet.extend(sequence.to_be_bytes());
            packet.extend([7; 8]);
            packet.extend(vec![1; usize::from(csrc) * 4]);
            if extension { packet.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]); }
            packet.extend(&payload);
            let sealed = seal(&mut protect, &packet).unwrap();
            prop_assert!(sealed.len() <= packet.len() + OVERHEAD);
            prop_assert_eq!(open(&mut unprotect, &sealed).unwrap(), packet);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(suite in 0usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..120), room in 0usize..30) {
        let (mut protect, mut unprotect) = pair(Suite::ALL[suite]);
        prop_assert!(unprotect.rtp(&mut bytes.clone()).is_err());
        prop_assert!(unprotect.rtcp(&mut bytes.clone()).is_err());
        let length = bytes.len();
        let mut buffer = bytes;
        buffer.resize(length + room, 0);
        let _ = protect.rtp(&mut buffer.clone(), length);
        let _ = protect.rtcp(&mut buffer, length);
        let _ = protect.rtp(&mut [], length);
    }
}
