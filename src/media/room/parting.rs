//! The way from a room back to two legs that are linked: what the room had taken from either and not played yet goes to the
//! other, in order, under the same numbers and time.

use std::net::{SocketAddr, UdpSocket};

use super::seat::Seat;
use crate::ledger::clock::Mono;
use crate::media::leg::{Accepted, Scratch, Sound};
use crate::media::port::MediaPort;
use crate::media::stream::Stream;

/// What a datagram goes out of: the slot and generation of a port, and its parts.
pub type Door<'a> = (u32, u32, &'a mut Stream, &'a UdpSocket);

/// The leg in `slot` leaves its seat and is heard by the one in `listener` from now on: hands `send` what both had said and
/// the other had not heard yet. Gives the seat back.
///
/// First comes what was decoded, in a last packet of the room to each, which may be shorter than others; it is made when the
/// first of the two leaves. Then come the packets that waited, as they are.
pub fn play_out(
    now: Mono,
    ports: &mut [Option<Box<MediaPort>>],
    (slot, listener): (u32, u32),
    scratch: &mut Scratch,
    mut send: impl FnMut(Door<'_>, &mut [u8], usize, SocketAddr),
) -> Option<Box<Seat>> {
    let leaving = port(ports, slot)?;
    let (leg, mut seat) = (leaving.leg.id(), leaving.seat.take()?);
    let mut other = port(ports, listener).and_then(|port| port.seat.take());
    if let Some(other) = other.as_deref_mut()
        && other.room() == seat.room()
    {
        other.hear_rest_of(&seat);
        seat.hear_rest_of(other);
        for (slot, seat) in [(slot, &mut *seat), (listener, other)] {
            seat.forget_rest();
            if let Some(port) = port(ports, slot) {
                speak_rest(now, slot, port, seat, scratch, &mut send);
            }
        }
    }
    let Some(port) = port(ports, listener) else {
        return Some(seat);
    };
    port.seat = other;
    let MediaPort {
        leg: hearing,
        socket,
        stream,
        generation,
        ..
    } = port;
    while let Some((packet, codec)) = seat.drain() {
        let accepted = Accepted {
            leg,
            packet,
            sound: Sound::Voice(codec),
            first: false,
            key: None,
        };
        // What the listener cannot hear now it would not have heard in the room either.
        let _heard = hearing.hear(now, &accepted, scratch, |room, length, to| {
            send((listener, *generation, stream, socket), room, length, to);
        });
    }
    Some(seat)
}

/// Sends a leg what its seat still has for it.
fn speak_rest(
    now: Mono,
    slot: u32,
    port: &mut MediaPort,
    seat: &mut Seat,
    scratch: &mut Scratch,
    send: &mut impl FnMut(Door<'_>, &mut [u8], usize, SocketAddr),
) {
    if port.leg.room_packet_ms(seat.codec()).is_none() {
        return;
    }
    while let Some((bytes, ticks)) = seat.encode_rest(scratch.payload_mut()) {
        let made = seat.number(|| port.leg.begin_made());
        if let Some((length, to)) = port.leg.speak(now, made, bytes, ticks, scratch) {
            let door = (slot, port.generation, &mut port.stream, &port.socket);
            send(door, scratch.room(), length, to);
        }
    }
}

fn port(ports: &mut [Option<Box<MediaPort>>], slot: u32) -> Option<&mut MediaPort> {
    ports.get_mut(slot as usize)?.as_deref_mut()
}
