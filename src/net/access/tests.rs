use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Mono {
    Mono::from_micros(seconds * 1_000_000)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn access() -> Access {
    let mut access = Access::new(Security {
        allow: vec!["198.51.100.0/24".parse().unwrap()],
        ..Security::default()
    });
    let networks = ["203.0.113.0/24".parse().unwrap()];
    access.trust([ip("192.0.2.250")], networks);
    access
}

#[test]
fn a_scanner_of_many_users_is_banned_and_let_in_again() {
    let mut access = access();
    let scanner = ip("192.0.2.66");
    let mut tried = 0;
    let offence = loop {
        match access.failed(at(1), scanner, &format!("user{tried}")) {
            Consequence::Banned(offence) => break offence,
            other => assert_eq!(other, Consequence::None),
        }
        tried += 1;
        assert!(tried < 10);
    };
    assert_eq!((offence.failures, offence.users), (6, 6));
    assert_eq!(offence.reason, "6 failed log-ins of 6 users within 1 s");
    assert_eq!(access.admit(at(2), scanner), Admission::Banned);
    assert_eq!(access.admit(at(3_600), scanner), Admission::Banned);
    assert_eq!(access.take_ended(at(3_600)), None);
    assert_eq!(
        access.admit(at(3_601), scanner),
        Admission::Served(Standing::Stranger)
    );
    assert_eq!(access.take_ended(at(3_601)), Some(Source::of(scanner)));
    assert_eq!(access.poll_timeout(), None);
    // What it did before is paid for.
    assert_eq!(access.failed(at(3_602), scanner, "x"), Consequence::None);
}

#[test]
fn one_user_has_ten_attempts_in_ten_minutes() {
    let mut access = access();
    let phone = ip("192.0.2.7");
    for attempt in 0..9 {
        let result = access.failed(at(attempt * 60), phone, "anna");
        assert_eq!(result, Consequence::None);
    }
    assert!(matches!(
        access.failed(at(600), phone, "anna"),
        Consequence::Banned(_)
    ));
    let slow = ip("192.0.2.8");
    for attempt in 0..50 {
        let result = access.failed(at(attempt * 70), slow, "anna");
        assert_eq!(result, Consequence::None);
    }
}

#[test]
fn the_trusted_and_the_known_are_slowed_down_and_not_banned() {
    let mut access = access();
    let office = ip("192.0.2.9");
    access.vouch(at(0), office, at(1_000));
    for address in ["192.0.2.250", "203.0.113.9", "198.51.100.1", "192.0.2.9"] {
        let address = ip(address);
        let slowed: Vec<bool> = (0..12)
            .map(|_| {
                matches!(
                    access.failed(at(1), address, "anna"),
                    Consequence::Slowed(_)
                )
            })
            .collect();
        assert_eq!(slowed.iter().position(|slowed| *slowed), Some(9));
        assert!(access.is_slowed(at(2), address, "anna"));
        assert!(!access.is_slowed(at(2), address, "boris"));
        assert!(!access.is_slowed(at(62), address, "anna"));
        assert!(!access.is_banned(at(2), address));
    }
    // A registration that has ended protects no longer.
    for user in 0..6 {
        access.failed(at(1_000), office, &user.to_string());
    }
    assert!(access.is_banned(at(1_000), office));
}

#[test]
fn strangers_are_limited_early_the_known_late_and_the_trusted_never() {
    let mut access = access();
    let known = ip("192.0.2.9");
    access.vouch(at(0), known, at(1_000));
    let mut served = |address, times| {
        (0..times)
            .filter(|_| matches!(access.admit(at(1), address), Admission::Served(_)))
            .count()
    };
    assert_eq!(served(ip("192.0.2.1"), 1_000), 400);
    assert_eq!(served(ip("192.0.2.2"), 300), 300);
    assert_eq!(served(known, 30_000), 20_000);
    assert_eq!(served(ip("192.0.2.250"), 30_000), 30_000);
    // One host of an IPv6 network is as good as another.
    assert_eq!(served(ip("2001:db8::1"), 300), 300);
    assert_eq!(served(ip("2001:db8::2"), 300), 100);
}

#[test]
fn forged_sources_are_one_crowd() {
    let mut access = access();
    let stayed = (0..10_000).filter(|_| access.admit_to_stay(at(1))).count();
    assert_eq!(stayed, 2_000);
    assert!(access.admit_to_stay(at(2)));
}

#[test]
fn trust_lifts_a_ban() {
    let mut access = access();
    let source = Source::of(ip("192.0.2.66"));
    assert!(access.ban(at(1), source, at(100)));
    assert_eq!(access.trust([ip("192.0.2.66")], []), [source]);
    assert!(!access.is_banned(at(1), ip("192.0.2.66")));
    assert!(!access.ban(at(1), source, at(100)));
    let allowed = Source::of(ip("198.51.100.7"));
    assert!(!access.ban(at(1), allowed, at(100)));
    access.trust([], []);
    assert!(access.ban(at(1), source, at(100)));
    assert!(access.lift(source) && !access.lift(source));
    // Where a phone of ours is there is nobody to be banned.
    access.vouch(at(1), ip("192.0.2.66"), at(50));
    assert!(!access.ban(at(2), source, at(100)));
    assert!(access.ban(at(50), source, at(100)));
}

#[test]
fn new_settings_keep_bans_and_acquaintances() {
    let mut access = access();
    access.vouch(at(0), ip("192.0.2.9"), at(1_000));
    access.ban(at(1), Source::of(ip("192.0.2.66")), at(1_000));
    access.configure(&Security {
        failures: 2,
        ..Security::default()
    });
    assert!(access.is_banned(at(1), ip("192.0.2.66")));
    assert_eq!(access.standing(at(1), ip("192.0.2.9")), Standing::Known);
    access.failed(at(1), ip("192.0.2.1"), "a");
    let second = access.failed(at(1), ip("192.0.2.1"), "a");
    assert!(matches!(second, Consequence::Banned(_)));
}

proptest! {
    /// Nobody is banned for what others did, and nobody without failing.
    #[test]
    fn only_who_fails_is_banned(deeds in prop::collection::vec((0u8..6, 0u8..4, any::<bool>()), 0..300)) {
        let mut access = access();
        let mut failures = HashMap::new();
        for (second, (host, user, fails)) in deeds.into_iter().enumerate() {
            let now = at(second as u64);
            let address = IpAddr::from([192, 0, 2, host]);
            if fails {
                access.failed(now, address, &user.to_string());
                *failures.entry(host).or_insert(0u32) += 1;
            } else {
                let banned = access.admit(now, address) == Admission::Banned;
                prop_assert!(!banned || failures.get(&host).is_some_and(|count| *count >= 4));
            }
        }
    }
}
