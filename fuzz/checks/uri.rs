use vats::sip::uri::{Scheme, Uri};

/// Any text is a URI or none; what is read is itself, and what is built from its parts is read.
pub fn uri(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(uri) = Uri::parse(&text) else {
        build(&text);
        return;
    };
    assert_eq!(uri.as_str(), text);
    assert_eq!(uri.to_string(), text);
    assert!(uri.matches(&uri), "{uri} is not itself");
    assert_eq!(Uri::parse(uri.as_str()).as_ref(), Ok(&uri));
    let bare = Uri::parse(uri.without_headers()).expect("a URI without its headers");
    assert_eq!(bare.headers().count(), 0);
    assert_eq!((bare.host(), bare.port()), (uri.host(), uri.port()));
    for (name, _) in uri.params() {
        assert!(uri.param(name).is_some(), "{name}");
    }
    for (name, value) in uri.headers() {
        assert!(!name.contains('&') && !value.contains('&'));
    }
    // Room is left for what is added.
    if matches!(uri.scheme(), Scheme::Sip | Scheme::Sips) && text.len() < 2_000 {
        assert!(!uri.host().is_empty());
        let with = uri.clone().with_param("transport", "tcp");
        assert_eq!(with.param("transport"), Some("tcp"), "{with}");
        assert_eq!(with.user(), uri.user());
        if let Some(user) = uri.user() {
            let built = Uri::sip(Some(&user), uri.host(), uri.port());
            assert_eq!(built.user(), Some(user), "{built}");
        }
    }
}

/// Whatever stands for a user or a host: the URI that is built can be read.
fn build(text: &str) {
    for built in [
        Uri::sip(Some(text), "pbx.example", Some(5060)),
        Uri::sip(None, text, None),
        Uri::sip(Some(text), text, None),
    ] {
        assert_eq!(Uri::parse(built.as_str()), Ok(built));
    }
}
