use proptest::prelude::*;

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

#[test]
fn all_parts_are_found() {
    let uri = uri(
        "SIP:john.smith;x=1:secret@Shop.example:5070;lr;Transport=UDP?Subject=a%20b&Priority=urgent",
    );
    assert_eq!(uri.scheme(), Scheme::Sip);
    assert_eq!(uri.user().unwrap(), "john.smith;x=1");
    assert_eq!((uri.host(), uri.port()), ("Shop.example", Some(5070)));
    assert_eq!(uri.param("transport"), Some("UDP"));
    assert_eq!((uri.param("lr"), uri.param("subject")), (Some(""), None));
    assert_eq!(uri.headers().count(), 2);
}

#[test]
fn ipv6_tel_and_escapes() {
    let v6 = uri("sips:anna@[2001:db8::10]:5061;transport=tls");
    assert_eq!(
        (v6.scheme(), v6.host(), v6.port()),
        (Scheme::Sips, "2001:db8::10", Some(5061))
    );
    let tel = uri("tel:+7-495-(100)-00-01;ext=7");
    assert_eq!(tel.user().unwrap(), "+74951000001");
    assert_eq!((tel.host(), tel.param("ext")), ("", Some("7")));
    assert_eq!(uri("sip:%D0%90%40@h").user().unwrap(), "А@");
    assert_eq!(uri("sip:100%@h").user().unwrap(), "100%");
    assert_eq!(uri("sip:null-%00@h").user().unwrap(), "null-\0");
    assert_eq!(uri("mailto:a@b").scheme(), Scheme::Other);
}

#[test]
fn what_is_not_a_uri() {
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip::p@h",
        "sip:a@",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:50x",
        "sip:a@[::1",
        "sip:a@[x]",
        "sip:a b@h",
        "<sip:a@h>",
        "sip:a@h/x",
        "sip:a@b@c",
        "tel:",
        "tel:+",
        "tel:x",
        "+sip:a@h",
        "http:",
        "sip:a@h\r\nVia: x",
    ] {
        assert!(Uri::parse(text).is_err(), "{text}");
    }
}

#[test]
fn building_escapes_what_would_divide() {
    assert_eq!(
        Uri::sip(Some("a b@c#"), "h", None).as_str(),
        "sip:a%20b%40c%23@h"
    );
    assert_eq!(Uri::sip(None, "::1", Some(5060)).as_str(), "sip:[::1]:5060");
    assert_eq!(
        Uri::sip(Some("+7495"), "[::1]", None).as_str(),
        "sip:+7495@[::1]"
    );
    assert_eq!(
        Uri::sip(Some("a"), "h;lr\r\nX: y", None).as_str(),
        "sip:invalid"
    );
    assert_eq!(Uri::sip(Some("a"), "", None).as_str(), "sip:invalid");
}

#[test]
fn parameters_are_added_and_replaced() {
    let uri = uri("sip:a@h;x=1;Transport=udp?Subject=s");
    assert_eq!(
        uri.clone().with_param("transport", "tcp").as_str(),
        "sip:a@h;x=1;transport=tcp?Subject=s"
    );
    assert_eq!(
        uri.with_param("lr", "").as_str(),
        "sip:a@h;x=1;Transport=udp;lr?Subject=s"
    );
}

/// The pairs of RFC 3261 §19.1.4 in our own names.
#[test]
fn equality() {
    let same = [
        (
            "sip:%61nna@shop.example;transport=TCP",
            "sip:anna@ShOp.ExAmPlE;Transport=tcp",
        ),
        ("sip:anna@shop.example", "sip:anna@shop.example;newparam=5"),
        (
            "sip:anna@shop.example;a=1;newparam=5",
            "sip:anna@shop.example;security=on",
        ),
        (
            "sip:shop.example;method=REGISTER?to=anna%40x",
            "sip:shop.example;method=REGISTER?to=anna%40x",
        ),
        (
            "sip:anna@h?subject=p&priority=u",
            "sip:anna@h?priority=u&Subject=p",
        ),
        ("sip:a@[2001:db8:0:0::1]", "sip:a@[2001:DB8::1]"),
        ("tel:+7-495-1", "tel:+74951"),
    ];
    for (one, other) in same {
        assert!(uri(one).matches(&uri(other)), "{one} {other}");
        assert!(uri(other).matches(&uri(one)), "{other} {one}");
    }
    let different = [
        ("sip:ANNA@shop.example", "sip:anna@shop.example"),
        ("sip:anna@shop.example", "sip:anna@shop.example:5060"),
        (
            "sip:anna@shop.example",
            "sip:anna@shop.example;transport=udp",
        ),
        ("sip:anna@shop.example", "sips:anna@shop.example"),
        ("sip:anna@shop.example;a=1", "sip:anna@shop.example;a=2"),
        ("sip:anna@h?subject=p", "sip:anna@h"),
        ("sip:h;user=phone", "sip:h"),
        ("sip:a%3Bb@h", "sip:a;b@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a:p@h", "sip:a:q@h"),
        ("tel:+7495", "tel:7495"),
    ];
    for (one, other) in different {
        assert!(!uri(one).matches(&uri(other)), "{one} {other}");
    }
}

proptest! {
    #[test]
    fn any_user_survives(user in "\\PC{1,20}") {
        let built = Uri::sip(Some(&user), "h.example", Some(5060));
        prop_assert_eq!(built.user().unwrap(), user);
        prop_assert_eq!(built.host(), "h.example");
        let read = Uri::parse(built.as_str()).unwrap();
        prop_assert!(read.matches(&built));
        prop_assert_eq!(read, built);
    }

    #[test]
    fn no_text_does_harm(text in "(sips?:|tel:)?[ -~а]{0,60}") {
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert_eq!(uri.as_str(), &text);
            prop_assert!(uri.matches(&uri));
            let _ = (uri.user(), uri.host(), uri.headers().count());
            let with = uri.clone().with_param("ob", "1");
            if uri.scheme() != Scheme::Other {
                prop_assert_eq!(with.param("ob"), Some("1"));
            }
        }
    }
}
