//! Every key of the configuration, declared once: name, type, default, one line of documentation.
//!
//! The checker reads types and defaults from here, and `docs/configuration.md` is written from it.

mod sections;

pub use sections::SECTIONS;

/// A top-level section.
#[derive(Debug)]
pub struct Section {
    /// `hunts`.
    pub name: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// One sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// How a section is written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// `[server]`.
    Single,
    /// `[hunts.sales]`: each has a name.
    Named,
    /// `[numbers."+74951000001"]`.
    Numbered,
    /// `[[test]]`.
    List,
    /// Part of the contract, not built yet.
    Later,
}

/// A key of a section.
#[derive(Debug)]
pub struct Key {
    /// `otherwise`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What when it is left out.
    pub presence: Presence,
    /// One sentence.
    pub doc: &'static str,
}

/// What happens when a key is left out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It may not be.
    Required,
    /// There is none; what that means, in a few words.
    Optional(&'static str),
    /// This TOML value is taken.
    Default(&'static str),
    /// It may not be given: part of the contract, not built yet. What to use in its stead.
    Later(&'static str),
}

/// What a key takes.
#[derive(Copy, Clone, Debug)]
pub enum Kind {
    /// Any string but an empty one.
    Text,
    /// A secret, or `env:NAME`.
    Secret,
    /// A secret, `env:NAME` or `generate`.
    MadeSecret,
    /// A duration between two others.
    Duration(&'static str, &'static str),
    /// `true` or `false`.
    Bool,
    /// An integer between two others.
    Integer(i64, i64),
    /// Where a call can go.
    Destination,
    /// A WAV file.
    Sound,
    /// A telephone number.
    Number,
    /// The name of an entry of a section.
    Of(&'static str),
    /// One of some words: those of this version, and those of later ones.
    OneOf(&'static [&'static str], &'static [&'static str]),
    /// `udp://127.0.0.1:5060`.
    Listener,
    /// `20000-29999`.
    Ports,
    /// An IP address.
    Address,
    /// An IP address and a port.
    Socket,
    /// A network in CIDR form.
    Network,
    /// A host and a port.
    HostPort,
    /// A host name.
    Domain,
    /// `sqlite://…`.
    Database,
    /// A path of the file system.
    Path,
    /// An IANA time zone.
    Zone,
    /// An ISO 3166 country.
    Country,
    /// One to six digits.
    Extension,
    /// A SIP URI.
    SipUri,
    /// The beginning of an international number.
    Prefix,
    /// A member of a hunt.
    Member,
    /// `mon-fri 09:00-21:00`.
    Hours,
    /// `2026-01-01`.
    Date,
    /// `2026-03-08T23:00`.
    LocalTime,
    /// An HTTP URL.
    Url,
    /// `whsec_` and base64, or `env:NAME`.
    WebhookSecret,
    /// A type of event.
    Event,
    /// Keys of a test, in order.
    Presses,
    /// What a test expects.
    Expected,
    /// A busy or absent member of a test.
    Absent,
    /// A menu's keys.
    Keypad,
    /// Where a provider is reached.
    Peer,
    /// An IP address, with or without a port.
    NameServer,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of these.
    List(&'static Kind),
}

impl Kind {
    /// What it takes, with its article: for "expected …" and for the documentation.
    pub fn describe(&self) -> String {
        let fixed = match self {
            Kind::Text => "a string",
            Kind::Secret => "a string, or \"env:NAME\"",
            Kind::MadeSecret => "a string, \"env:NAME\" or \"generate\"",
            Kind::Duration(least, most) => {
                return format!("a duration such as \"20s\", from \"{least}\" to \"{most}\"");
            }
            Kind::Bool => "true or false",
            Kind::Integer(least, most) => return format!("a whole number from {least} to {most}"),
            Kind::Destination => "a destination such as \"menu:main\"",
            Kind::Sound => "the path of a WAV file",
            Kind::Number => "a telephone number",
            Kind::Of(section) => return format!("a name from [{section}.*]"),
            Kind::OneOf(now, _) => {
                let words: Vec<String> = now.iter().map(|word| format!("\"{word}\"")).collect();
                return words.join(" or ");
            }
            Kind::Listener => "a listener such as \"udp://0.0.0.0:5060\"",
            Kind::Ports => "a range of ports such as \"20000-29999\"",
            Kind::Address => "an IP address",
            Kind::Socket => "an IP address and a port such as \"127.0.0.1:8080\"",
            Kind::Network => "a network such as \"10.0.0.0/8\"",
            Kind::HostPort => "a host and a port such as \"sip.provider.example:5060\"",
            Kind::Domain => "a host name",
            Kind::Database => "\"sqlite://\" and a path",
            Kind::Path => "a path",
            Kind::Zone => "a time zone such as \"Europe/Moscow\"",
            Kind::Country => "a country's two letters such as \"RU\"",
            Kind::Extension => "one to six digits",
            Kind::SipUri => "a SIP URI such as \"sip:anna@192.0.2.10:5060\"",
            Kind::Prefix => "the beginning of a number such as \"+7\"",
            Kind::Member => "an operator's name, or \"forward:NAME\"",
            Kind::Hours => "opening hours such as \"mon-fri 09:00-21:00\"",
            Kind::Date => "a date such as \"2026-01-01\"",
            Kind::LocalTime => "a local time such as \"2026-03-08T23:00\"",
            Kind::Url => "an http:// or https:// URL",
            Kind::WebhookSecret => "\"whsec_\" and base64, or \"env:NAME\"",
            Kind::Event => "a type of event such as \"call.missed\"",
            Kind::Presses => "keys in order such as \"12\", \"-\" for none",
            Kind::Expected => "a destination, or \"unknown\"",
            Kind::Absent => "an operator's name, or \"forward:NAME\"",
            Kind::Peer => {
                "a host such as \"sip.provider.example\" or \"203.0.113.7:5060\", with \"udp://\", \"tcp://\" or \"tls://\" before it where the transport is fixed"
            }
            Kind::NameServer => "an IP address such as \"192.0.2.53\" or \"127.0.0.1:5353\"",
            Kind::Keypad => "a table of keys such as { 1 = \"hunt:sales\" }",
            Kind::Table(keys) => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                return format!("a table with {}", names.join(", "));
            }
            Kind::List(kind) => return format!("a list, each {}", kind.describe()),
        };
        fixed.to_owned()
    }
}

impl Section {
    /// The section with this name.
    pub fn named(name: &str) -> Option<&'static Section> {
        SECTIONS.iter().find(|section| section.name == name)
    }
}

/// The whole reference, as Markdown: what `docs/configuration.md` holds.
pub fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    for section in SECTIONS {
        let heading = match section.shape {
            Shape::Single | Shape::Later => format!("[{}]", section.name),
            Shape::Named => format!("[{}.NAME]", section.name),
            Shape::Numbered => format!("[{}.\"+74951000001\"]", section.name),
            Shape::List => format!("[[{}]]", section.name),
        };
        text.push_str(&format!("\n## `{heading}`\n\n{}\n", section.doc));
        if section.shape == Shape::Later {
            text.push_str("\nNot available in this version: `vats check` refuses it.\n");
            continue;
        }
        text.push_str("\n| key | takes | default | meaning |\n|---|---|---|---|\n");
        rows(&mut text, "", section.keys);
    }
    text
}

fn rows(text: &mut String, above: &str, keys: &[Key]) {
    for key in keys {
        let default = match key.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional(meaning) => meaning.to_owned(),
            Presence::Default(literal) => format!("`{literal}`"),
            Presence::Later(instead) => format!("not available in this version: {instead}"),
        };
        let name = format!("{above}{}", key.name);
        let takes = key.kind.describe();
        text.push_str(&format!(
            "| `{name}` | {takes} | {default} | {} |\n",
            key.doc
        ));
        if let Kind::Table(inner) = key.kind {
            rows(text, &format!("{name}."), inner);
        }
    }
}

const INTRODUCTION: &str = "\
# Configuration

vats reads every `*.toml` file of its configuration directory and of `conf.d/` below it, as if they were one file.
A name that is defined twice, an unknown key and a name that nothing defines are errors; `vats check` shows each with its place and a hint.
This page is written from the same table that the checker uses.

- Durations are strings: `\"500ms\"`, `\"20s\"`, `\"5m\"`, `\"4h\"`.
- `\"env:NAME\"` reads a secret from the environment. `\"generate\"` lets `vats run` make one at its first start and keep it in `secrets.toml` beside the database (`data/` by default).
- Prompts are relative to the configuration directory; `recordings.path` and `server.database` to the working directory.
- A destination is one of `menu:NAME hunt:NAME operator:NAME forward:NAME voicemail:NAME announcement:NAME schedule:NAME conference:NAME echo hangup`.
  `callback:NAME` is not available in this version.
- Names are letters, digits, `_`, `-` and `.`.
- A reload (`SIGHUP`, or `POST /api/v1/reload`) puts all of a changed configuration in force or, if anything is wrong, nothing. Running calls keep the plan that they
  began with. `server.sip`, `server.connections`, `server.http`, `server.rtp_ports`, `server.dns`, `server.database`, `server.public_address`, `server.local_networks` and `recordings.path` need a restart.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_toml() {
        fn check(keys: &[Key]) {
            for key in keys {
                if let Presence::Default(literal) = key.presence {
                    assert!(toml::de::DeValue::parse(literal).is_ok(), "{}", key.name);
                }
                if let Kind::Table(inner) = key.kind {
                    check(inner);
                }
            }
        }
        SECTIONS.iter().for_each(|section| check(section.keys));
    }
}
