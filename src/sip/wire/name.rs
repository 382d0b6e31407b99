//! Header names: canonical spelling, compact form (RFC 3261 §7.3.3), and the look-up that the parser does once per line.

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?,)*) => {
        /// A header's name. Spelled in any case or in its compact form, it is the same name.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        pub enum Name {
            $(
                #[doc = $text]
                $variant,
            )*
            /// Any other; the message has its text.
            Other,
        }

        const SPELLINGS: &[(Name, &str)] = &[$((Name::$variant, $text),)*];

        impl Name {
            /// Its canonical spelling; `""` for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other => "",
                }
            }

            /// Its one-letter form, where one is registered.
            pub const fn compact(self) -> Option<char> {
                match self {
                    $($(Name::$variant => Some($compact),)?)*
                    _ => None,
                }
            }

            const fn from_compact(letter: u8) -> Name {
                match letter as char {
                    $($($compact => Name::$variant,)?)*
                    _ => Name::Other,
                }
            }
        }
    };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" 'a',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" 'u',
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" 'i',
    CallInfo "Call-Info",
    Contact "Contact" 'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" 'e',
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" 'l',
    ContentType "Content-Type" 'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" 'o',
    Expires "Expires",
    FlowTimer "Flow-Timer",
    From "From" 'f',
    HistoryInfo "History-Info",
    Identity "Identity" 'y',
    IdentityInfo "Identity-Info" 'n',
    InReplyTo "In-Reply-To",
    InfoPackage "Info-Package",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PChargingVector "P-Charging-Vector",
    PEarlyMedia "P-Early-Media",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    RSeq "RSeq",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" 'r',
    ReferredBy "Referred-By" 'b',
    RejectContact "Reject-Contact" 'j',
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" 'd',
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" 'x',
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" 's',
    SubscriptionState "Subscription-State",
    Supported "Supported" 'k',
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" 't',
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Via "Via" 'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl Name {
    /// How many names there are, `Other` included: the size of a table indexed by name.
    pub(super) const COUNT: usize = SPELLINGS.len() + 1;

    /// The name spelled so, in any case, long or compact; `Other` when it is not listed.
    pub fn parse(text: &str) -> Name {
        Name::from_bytes(text.as_bytes())
    }

    /// As `parse`, of the bytes before a colon.
    pub(super) fn from_bytes(bytes: &[u8]) -> Name {
        if let [letter] = bytes {
            return Name::from_compact(letter.to_ascii_lowercase());
        }
        let Some(mut slot) = slot_of(bytes) else {
            return Name::Other;
        };
        loop {
            // Less than half of the table is taken, so a free slot ends every search.
            let Some(&(name, spelling)) = SLOTS
                .get(slot)
                .and_then(|&place| SPELLINGS.get(usize::from(place)))
            else {
                return Name::Other;
            };
            // Nearly everybody writes the canonical spelling, and equality is the cheaper question.
            if spelling.as_bytes() == bytes || spelling.as_bytes().eq_ignore_ascii_case(bytes) {
                return name;
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

const SLOT_COUNT: usize = 256;
const FREE: u8 = u8::MAX;

/// Places in `SPELLINGS` by hash, open addressing; made at compile time.
static SLOTS: [u8; SLOT_COUNT] = slots();

const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [FREE; SLOT_COUNT];
    let mut place = 0;
    while place < SPELLINGS.len() {
        let Some(mut slot) = slot_of(SPELLINGS[place].1.as_bytes()) else {
            panic!("every spelling has two letters");
        };
        while slots[slot] != FREE {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = place as u8;
        place += 1;
    }
    slots
}

/// Length, first, middle and last letter tell nearly all names apart.
const fn slot_of(bytes: &[u8]) -> Option<usize> {
    let length = bytes.len();
    if length < 2 {
        return None;
    }
    let first = (bytes[0] | 0x20) as usize;
    let middle = (bytes[length / 2] | 0x20) as usize;
    let last = (bytes[length - 1] | 0x20) as usize;
    Some((length * 7 + first * 31 + middle * 5 + last * 3) % SLOT_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_compact() {
        for &(name, spelling) in SPELLINGS {
            assert_eq!(Name::parse(spelling), name);
            assert_eq!(Name::parse(&spelling.to_uppercase()), name);
            assert_eq!(Name::parse(&spelling.to_lowercase()), name);
            assert_eq!(name.as_str(), spelling);
            if let Some(letter) = name.compact() {
                assert_eq!(Name::parse(&letter.to_string()), name);
                assert_eq!(Name::parse(&letter.to_ascii_uppercase().to_string()), name);
            }
        }
    }

    #[test]
    fn others_are_other() {
        for text in ["", "X-Shop", "q", "Viaa", "Call_ID", "ia"] {
            assert_eq!(Name::parse(text), Name::Other, "{text}");
        }
    }

    #[test]
    fn a_table_by_name_holds_every_name() {
        assert_eq!(Name::Other as usize, Name::COUNT - 1);
    }
}
