use proptest::prelude::*;

use super::*;

fn packet(sequence: u16) -> Packet<'static> {
    Packet {
        payload_type: 0,
        marker: false,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 1,
        payload: &[7],
    }
}

/// What comes out, in order; `None` for a packet that was too late.
fn pass(reorder: &mut Reorder, numbers: &[u16]) -> Vec<Option<u16>> {
    let mut out = Vec::new();
    for &number in numbers {
        let one = packet(number);
        loop {
            match reorder.offer(Mono::ZERO, &one) {
                Turn::Now => out.push(Some(number)),
                Turn::AfterAll => {
                    if let Some(waiting) = reorder.next_waiting(Some(&one)) {
                        out.push(Some(waiting.sequence));
                        ready(reorder, &mut out);
                        continue;
                    }
                    reorder.advance(one.ssrc, number);
                    out.push(Some(number));
                }
                Turn::Waits => {}
                Turn::Late => out.push(None),
            }
            break;
        }
        ready(reorder, &mut out);
    }
    out
}

fn ready(reorder: &mut Reorder, out: &mut Vec<Option<u16>>) {
    while let Some(ready) = reorder.ready() {
        assert_eq!(ready.payload, [7]);
        out.push(Some(ready.sequence));
    }
}

#[test]
fn nothing_waits_until_a_packet_was_overtaken() {
    let mut reorder = Reorder::new();
    let some =
        |numbers: &[u16]| -> Vec<Option<u16>> { numbers.iter().copied().map(Some).collect() };
    assert_eq!(
        pass(&mut reorder, &[65_534, 65_535, 0, 2, 3, 5]),
        some(&[65_534, 65_535, 0, 2, 3, 5])
    );
    // A packet that came twice is not one that was overtaken.
    assert_eq!(
        pass(&mut reorder, &[5, 3, 6, 8]),
        [None, None, Some(6), Some(8)]
    );
    assert!(!reorder.is_waiting());
    assert_eq!(pass(&mut reorder, &[7]), [None], "the first one is lost");
    assert_eq!(pass(&mut reorder, &[10, 9, 12]), some(&[9, 10]));
    assert!(reorder.is_waiting());
    // A loss is waited for by one packet.
    assert_eq!(pass(&mut reorder, &[13]), some(&[12, 13]));
    // Two behind: waited for by two from now on.
    assert_eq!(pass(&mut reorder, &[16, 17]), some(&[16, 17]));
    assert_eq!(
        pass(&mut reorder, &[15, 20, 19, 18]),
        [None, Some(18), Some(19), Some(20)]
    );
}

#[test]
fn calm_ends_the_wait_and_a_pause_does_not_swallow_what_waits() {
    let mut reorder = Reorder::new();
    pass(&mut reorder, &[0, 2, 1]);
    let calm: Vec<u16> = (3..3 + CALM as u16).collect();
    assert_eq!(pass(&mut reorder, &calm).len(), calm.len());
    let next = 3 + CALM as u16;
    assert_eq!(pass(&mut reorder, &[next + 1]), [Some(next + 1)]);
    pass(&mut reorder, &[next, next + 3]);
    assert!(reorder.is_waiting() && !reorder.is_overdue(Mono::ZERO));
    assert!(reorder.is_overdue(Mono::ZERO + LONGEST));
    assert_eq!(reorder.next_waiting(None).unwrap().sequence, next + 3);
    assert_eq!(reorder.next_waiting(None), None);
}

proptest! {
    /// Each packet goes by once at most, all that comes out is in order, and what is not lost to lateness comes out.
    #[test]
    fn whatever_overtakes_what(delays in proptest::collection::vec(0u32..5, 1..400), lost in any::<u64>()) {
        let mut order: Vec<(u32, u16)> = delays
            .iter()
            .zip(0u16..)
            .filter(|(_, n)| lost >> (n % 64) & 1 == 0)
            .map(|(delay, n)| (u32::from(n) + delay, n))
            .collect();
        order.sort_by_key(|&(at, _)| at);
        let numbers: Vec<u16> = order.iter().map(|&(_, n)| n).collect();
        let mut reorder = Reorder::new();
        let mut out = pass(&mut reorder, &numbers);
        while let Some(waiting) = reorder.next_waiting(None) {
            out.push(Some(waiting.sequence));
        }
        prop_assert_eq!(out.len(), numbers.len());
        let heard: Vec<u16> = out.iter().copied().flatten().collect();
        prop_assert!(heard.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
