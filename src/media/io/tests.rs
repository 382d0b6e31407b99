//! Both backends do the same.

use super::*;
use std::collections::HashSet;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(20);

fn backends() -> Vec<Backend> {
    match uring::probe() {
        Ok(()) => vec![Backend::Epoll, Backend::Uring],
        Err(error) => {
            eprintln!("io_uring is not tested here: {error}");
            vec![Backend::Epoll]
        }
    }
}

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Waits until `enough` of something was told, or too long.
fn gather(
    io: &mut Io,
    sockets: &[(u64, &UdpSocket)],
    enough: usize,
    counters: &Counters,
) -> Vec<(Told, Vec<u8>)> {
    let mut told = Vec::new();
    let until = Instant::now() + Duration::from_secs(2);
    while told.len() < enough && Instant::now() < until {
        io.wait(SHORT, counters).unwrap();
        let mut room = [0; 256];
        while let Some(what) = io.next(&mut room) {
            let what = match what {
                Told::Readable(token) => {
                    let (_, socket) = sockets.iter().find(|(of, _)| *of == token).unwrap();
                    let (length, from) = socket.recv_from(&mut room).unwrap();
                    Told::Datagram {
                        token,
                        length,
                        from,
                    }
                }
                what => what,
            };
            let length = match what {
                Told::Datagram { length, .. } => length,
                _ => 0,
            };
            told.push((what, room[..length].to_vec()));
        }
        if told
            .iter()
            .any(|(told, _)| matches!(told, Told::Detached(_)))
        {
            break;
        }
    }
    told
}

#[test]
fn datagrams_bells_and_departures_are_told() {
    for backend in backends() {
        let bell = Bell::new().unwrap();
        let counters = Counters::default();
        let mut io = Io::new(backend, 4, &bell).unwrap();
        io.begin().unwrap();
        let ((a, at), (b, bt)) = (socket(), socket());
        let (one, two) = (7 << 32, 7 << 32 | 1);
        io.attach(one, &a).unwrap();
        io.attach(two, &b).unwrap();
        assert!(io.attach(two, &b).is_err());
        io.send(one, &a, b"from a", bt, &counters);
        io.send(two, &b, b"from b", at, &counters);
        let told = gather(&mut io, &[(one, &a), (two, &b)], 2, &counters);
        let told: HashSet<_> = told
            .iter()
            .map(|(told, bytes)| match told {
                Told::Datagram { token, from, .. } => (*token, *from, bytes.as_slice()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            HashSet::from([(two, at, &b"from a"[..]), (one, bt, &b"from b"[..])])
        );
        assert_eq!(counters.sent.value(), 2);

        bell.ring();
        let told = gather(&mut io, &[], 1, &counters);
        assert_eq!(told[0].0, Told::Rung, "{backend}");
        io.silence(&bell);
        bell.ring();
        assert_eq!(gather(&mut io, &[], 1, &counters)[0].0, Told::Rung);
        bell.clear().unwrap();

        // What was received before is told before the departure, and the socket works elsewhere afterwards.
        b.send_to(b"last", at).unwrap();
        match io.detach(one, &a).unwrap() {
            Detach::Done => {}
            Detach::Later => {
                let told = gather(&mut io, &[], 2, &counters);
                assert_eq!(told.last().unwrap().0, Told::Detached(one), "{told:?}");
                if told.len() == 1 {
                    // It stayed in the socket.
                    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 4);
                } else {
                    assert_eq!(told[0].1, b"last");
                }
            }
        }
        assert!(io.detach(one, &a).is_err());
        let mut elsewhere = Io::new(Backend::Epoll, 4, &bell).unwrap();
        elsewhere.attach(one, &a).unwrap();
        b.send_to(b"here", at).unwrap();
        let told = gather(&mut elsewhere, &[(one, &a)], 1, &counters);
        assert!(matches!(told[0].0, Told::Datagram { token, .. } if token == one));
        // The slot is free for another one.
        io.attach(9 << 32, &socket().0).unwrap();
    }
}

#[test]
fn a_refused_send_is_counted_and_harms_no_other() {
    for backend in backends() {
        let bell = Bell::new().unwrap();
        let counters = Counters::default();
        let mut io = Io::new(backend, 2, &bell).unwrap();
        io.begin().unwrap();
        let ((a, _), (b, bt)) = (socket(), socket());
        io.attach(0, &a).unwrap();
        io.attach(1, &b).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        io.send(0, &a, b"x", nowhere, &counters);
        io.send(0, &a, b"y", bt, &counters);
        let told = gather(&mut io, &[(1, &b)], 1, &counters);
        assert_eq!(told[0].1, b"y");
        assert_eq!(counters.sent.value(), 1);
        assert_eq!(counters.dropped[Reason::SendFailed as usize].value(), 1);
    }
}

#[test]
fn more_than_all_buffers_at_once_loses_nothing() {
    for backend in backends() {
        let bell = Bell::new().unwrap();
        let counters = Counters::default();
        let sockets: Vec<_> = (0..40).map(|_| socket()).collect();
        let mut io = Io::new(backend, sockets.len(), &bell).unwrap();
        io.begin().unwrap();
        let tokens: Vec<(u64, &UdpSocket)> = sockets
            .iter()
            .enumerate()
            .map(|(n, (socket, _))| (n as u64, socket))
            .collect();
        for (token, socket) in &tokens {
            io.attach(*token, socket).unwrap();
        }
        let mut sent = 0u32;
        let mut heard = vec![Vec::new(); sockets.len()];
        for round in 0..60u32 {
            for (n, (_, to)) in sockets.iter().enumerate() {
                let (token, socket) = tokens[(n + 1) % sockets.len()];
                io.send(token, socket, &round.to_be_bytes(), *to, &counters);
                sent += 1;
            }
        }
        assert_eq!(sent, 2400);
        for (told, bytes) in gather(&mut io, &tokens, sent as usize, &counters) {
            let Told::Datagram { token, .. } = told else {
                panic!("{told:?}");
            };
            heard[token as usize].push(u32::from_be_bytes(bytes.try_into().unwrap()));
        }
        let all: Vec<u32> = (0..60).collect();
        assert!(heard.iter().all(|rounds| *rounds == all), "{backend}");
        assert_eq!(counters.sent.value(), u64::from(sent));
    }
}

#[test]
fn a_wait_ends_in_time() {
    for backend in backends() {
        let bell = Bell::new().unwrap();
        let counters = Counters::default();
        let mut io = Io::new(backend, 1, &bell).unwrap();
        io.begin().unwrap();
        for millis in [0, 3, 20] {
            let (begun, whole) = (Instant::now(), Duration::from_millis(millis));
            let mut waits = 0;
            // A signal may end a wait.
            while waits == 0 || begun.elapsed() < whole {
                io.wait(whole.saturating_sub(begun.elapsed()), &counters)
                    .unwrap();
                assert!(io.next(&mut [0; 8]).is_none());
                waits += 1;
            }
            assert!(waits < 20, "{waits}");
        }
        let begun = Instant::now();
        io.beats(Some(SHORT)).unwrap();
        if backend == Backend::Epoll {
            assert_eq!(gather(&mut io, &[], 1, &counters)[0].0, Told::Beat);
            assert!(begun.elapsed() >= SHORT);
        }
        io.beats(None).unwrap();
    }
}

#[test]
fn a_ring_that_goes_leaves_its_sockets_alone() {
    if !backends().contains(&Backend::Uring) {
        return;
    }
    let bell = Bell::new().unwrap();
    let counters = Counters::default();
    let (a, at) = socket();
    for _ in 0..20 {
        let mut io = Io::new(Backend::Uring, 1, &bell).unwrap();
        io.begin().unwrap();
        io.attach(0, &a).unwrap();
        io.wait(Duration::ZERO, &counters).unwrap();
    }
    a.send_to(b"mine", at).unwrap();
    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 4);
}

#[test]
fn what_the_configuration_asks_for() {
    assert_eq!(choose(MediaIo::Epoll), Backend::Epoll);
    assert_eq!(choose(MediaIo::Auto), choose(MediaIo::Uring));
    assert_eq!(Backend::Uring.to_string(), "io_uring");
}
