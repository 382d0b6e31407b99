//! SIPp scenarios, written as XML for each use.

use std::net::IpAddr;

use super::sound::Law;

/// An SDP body with the media at `port` of SIPp's address.
fn sdp(ip: IpAddr, port: u16, law: Law, keys: bool) -> String {
    let payload = law.payload_type();
    let name = law.name();
    let (list, line) = if keys {
        (
            " 101",
            "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n",
        )
    } else {
        ("", "")
    };
    format!(
        "v=0\no=test 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {ip}\nt=0 0\nm=audio {port} RTP/AVP {payload}{list}\na=rtpmap:{payload} {name}/8000\n{line}a=ptime:20\na=sendrecv\n"
    )
}

fn scenario(name: &str, steps: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"{name}\">\n{steps}</scenario>\n"
    )
}

fn send(retransmits: bool, head: &str, body: Option<&str>) -> String {
    let attribute = if retransmits { " retrans=\"500\"" } else { "" };
    let tail = match body {
        Some(body) => format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{body}"),
        None => "Content-Length: 0\n\n".to_owned(),
    };
    format!("<send{attribute}><![CDATA[\n{head}{tail}\n]]></send>\n")
}

fn wait(millis: u64) -> String {
    format!("<pause milliseconds=\"{millis}\"/>\n")
}

const OPTIONAL: &str = "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\" optional=\"true\"/>\n<recv response=\"183\" optional=\"true\"/>\n<recv response=\"180\" optional=\"true\"/>\n";

const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n";
/// The INVITE is the scenario's first message: CANCEL and the ACK of a refusal carry its branch.
const INVITE_VIA: &str =
    "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-0\n";

/// A caller.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    /// The dialled number: user of Request-URI and To.
    pub to: &'a str,
    /// The calling number; may hold SIPp's `[call_number]`.
    pub from: &'a str,
    /// The Request-URI's user, where it differs from `to`.
    pub request_user: Option<&'a str>,
    /// Where its media is.
    pub media: (IpAddr, u16),
    /// What it offers.
    pub law: Law,
    /// Whether keys are offered as telephone-event.
    pub keys: bool,
    /// What it does.
    pub then: Then,
}

/// What a caller does after its INVITE.
#[derive(Clone, Debug)]
pub enum Then {
    /// Is answered, hangs up after so many milliseconds.
    HangUpAfter(u64),
    /// Is answered, waits until the other side hangs up.
    WaitForBye,
    /// Is answered, sends keys by INFO after so many milliseconds, hangs up so many later.
    InfoKey(u64, char, u64),
    /// Is refused with this status.
    Refused(u16),
    /// Hears 180, gives up (CANCEL) so many milliseconds later without having been answered.
    CancelAfter(u64),
}

impl<'a> Caller<'a> {
    /// A PCMU caller with telephone-event.
    pub fn new(to: &'a str, from: &'a str, media: (IpAddr, u16), then: Then) -> Caller<'a> {
        Caller {
            to,
            from,
            request_user: None,
            media,
            law: Law::Mu,
            keys: true,
            then,
        }
    }

    fn request(&self, method: &str, uri: &str, via: &str, cseq: &str, more: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\n{via}From: <sip:{from}@[local_ip]>;tag=[pid]c[call_number]\n{more}Call-ID: [call_id]\nCSeq: {cseq} {method}\nMax-Forwards: 70\n",
            from = self.from
        )
    }

    fn invite(&self) -> String {
        let user = self.request_user.unwrap_or(self.to);
        let more = format!(
            "To: <sip:{}@[remote_ip]>\nContact: <sip:caller@[local_ip]:[local_port]>\n",
            self.to
        );
        let uri = format!("sip:{user}@[remote_ip]:[remote_port]");
        let head = self.request("INVITE", &uri, VIA, "1", &more);
        let body = sdp(self.media.0, self.media.1, self.law, self.keys);
        send(true, &head, Some(&body))
    }

    fn within(&self, method: &str, cseq: u32, retransmits: bool) -> String {
        let more = "[last_To:]\n[routes]\n";
        let head = self.request(method, "[next_url]", VIA, &cseq.to_string(), more);
        send(retransmits, &head, None)
    }

    fn refusal_ack(&self) -> String {
        let user = self.request_user.unwrap_or(self.to);
        let uri = format!("sip:{user}@[remote_ip]:[remote_port]");
        let head = self.request("ACK", &uri, INVITE_VIA, "1", "[last_To:]\n");
        send(false, &head, None)
    }

    /// The scenario.
    pub fn xml(&self) -> String {
        let mut steps = self.invite() + OPTIONAL;
        if let Then::CancelAfter(_) = self.then {
            // SIPp pauses only after a message that must come.
            steps = self.invite()
                + "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\"/>\n";
        }
        let answered = "<recv response=\"200\" rrs=\"true\"/>\n";
        match &self.then {
            Then::HangUpAfter(millis) => {
                steps += answered;
                steps += &self.within("ACK", 1, false);
                steps += &wait(*millis);
                steps += &self.within("BYE", 2, true);
                steps += "<recv response=\"200\"/>\n";
            }
            Then::WaitForBye => {
                steps += answered;
                steps += &self.within("ACK", 1, false);
                steps += "<recv request=\"BYE\"/>\n";
                steps += &send(false, &response("200 OK", ""), None);
            }
            Then::InfoKey(before, key, after) => {
                steps += answered;
                steps += &self.within("ACK", 1, false);
                steps += &wait(*before);
                steps += &self.info(*key);
                steps += "<recv response=\"200\"/>\n";
                steps += &wait(*after);
                steps += &self.within("BYE", 3, true);
                steps += "<recv response=\"200\"/>\n";
            }
            Then::Refused(code) => {
                steps += &format!("<recv response=\"{code}\"/>\n");
                steps += &self.refusal_ack();
            }
            Then::CancelAfter(millis) => {
                steps += &wait(*millis);
                let uri = format!("sip:{}@[remote_ip]:[remote_port]", self.to);
                let more = format!("To: <sip:{}@[remote_ip]>\n", self.to);
                let head = self.request("CANCEL", &uri, INVITE_VIA, "1", &more);
                steps += &send(true, &head, None);
                steps += "<recv response=\"200\"/>\n<recv response=\"487\"/>\n";
                steps += &self.refusal_ack();
            }
        }
        scenario("caller", &steps)
    }

    fn info(&self, key: char) -> String {
        let head = self.request("INFO", "[next_url]", VIA, "2", "[last_To:]\n[routes]\n");
        format!(
            "<send retrans=\"500\"><![CDATA[\n{head}Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={key}\nDuration=160\n]]></send>\n"
        )
    }
}

/// A response to the last request, with a tag on To.
fn response(status: &str, more: &str) -> String {
    format!(
        "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n{more}"
    )
}

/// A response that adds our tag to a To without one.
fn tagged(status: &str, cseq: &str, more: &str) -> String {
    format!(
        "SIP/2.0 {status}\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:];tag=[pid]u[call_number]\n[last_Call-ID:]\n{cseq}\n{more}"
    )
}

const CONTACT: &str = "Contact: <sip:phone@[local_ip]:[local_port]>\n";

/// What a phone does with each call that it gets.
#[derive(Clone, Debug)]
pub enum Phone {
    /// Rings for so many milliseconds, answers with its media there, waits for BYE.
    Answer(u64, (IpAddr, u16), Law),
    /// Rings for so many milliseconds, then refuses with this status (`603 Decline`).
    Refuse(u64, &'static str),
    /// Rings until it is cancelled.
    Ring,
    /// Rings until it is cancelled, takes the CANCEL and answers all the same, as when its 200 had been on its way; waits for BYE.
    AnswerOnCancel((IpAddr, u16)),
    /// Answers at once and then says nothing more: the process is to be killed.
    AnswerAndVanish((IpAddr, u16)),
}

impl Phone {
    /// The scenario.
    pub fn xml(&self) -> String {
        let last = "[last_CSeq:]";
        let mut steps = "<recv request=\"INVITE\"><action><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"cseq\"/></action></recv>\n".to_owned();
        // SIPp refuses variables that are set and not used.
        steps += "<Reference variables=\"cseq\"/>\n";
        steps += &send(false, &tagged("180 Ringing", last, CONTACT), None);
        let answer = |media: (IpAddr, u16), law| {
            let body = sdp(media.0, media.1, law, true);
            send(true, &tagged("200 OK", last, CONTACT), Some(&body)) + "<recv request=\"ACK\"/>\n"
        };
        match self {
            Phone::Answer(millis, media, law) => {
                steps += &wait(*millis);
                steps += &answer(*media, *law);
                steps += "<recv request=\"BYE\"/>\n";
                steps += &send(false, &response("200 OK", ""), None);
            }
            Phone::Refuse(millis, status) => {
                steps += &wait(*millis);
                steps += &send(true, &tagged(status, last, ""), None);
                steps += "<recv request=\"ACK\"/>\n";
            }
            Phone::Ring => {
                steps += "<recv request=\"CANCEL\"/>\n";
                steps += &send(false, &tagged("200 OK", last, ""), None);
                let cseq = "CSeq: [$cseq] INVITE";
                let head = tagged("487 Request Terminated", cseq, "");
                steps += &send(true, &head, None);
                steps += "<recv request=\"ACK\"/>\n";
            }
            Phone::AnswerOnCancel(media) => {
                steps += "<recv request=\"CANCEL\"/>\n";
                let body = sdp(media.0, media.1, Law::Mu, true);
                let invite = tagged("200 OK", "CSeq: [$cseq] INVITE", CONTACT);
                steps += &send(false, &tagged("200 OK", "CSeq: [$cseq] CANCEL", ""), None);
                steps += &send(false, &invite, Some(&body));
                steps += "<recv request=\"ACK\"/>\n<recv request=\"BYE\"/>\n";
                steps += &send(false, &response("200 OK", ""), None);
            }
            Phone::AnswerAndVanish(media) => {
                steps += &answer(*media, Law::Mu);
                steps += &wait(3_600_000);
            }
        }
        scenario("phone", &steps)
    }
}

/// An operator's phone that dials: answers the challenge, is answered, hangs up after so many milliseconds.
pub fn operator_dials(operator: &str, to: &str, media: (IpAddr, u16), millis: u64) -> String {
    let request = |method: &str, uri: &str, cseq: u32, more: &str| {
        format!(
            "{method} {uri} SIP/2.0\n{VIA}From: <sip:{operator}@pbx.test>;tag=[pid]o[call_number]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nMax-Forwards: 70\n{more}"
        )
    };
    let uri = format!("sip:{to}@pbx.test");
    let first = format!("To: <{uri}>\nContact: <sip:{operator}@[local_ip]:[local_port]>\n");
    let credentials =
        format!("{first}[authentication username={operator} password=secret-{operator}]\n");
    let body = sdp(media.0, media.1, Law::Mu, true);
    let refused_ack = request("ACK", &uri, 1, "[last_To:]\n").replacen(VIA, INVITE_VIA, 1);
    let within = "[last_To:]\n[routes]\n";
    let steps = send(true, &request("INVITE", &uri, 1, &first), Some(&body))
        + "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"401\" auth=\"true\"/>\n"
        + &send(false, &refused_ack, None)
        + &send(true, &request("INVITE", &uri, 2, &credentials), Some(&body))
        + OPTIONAL
        + "<recv response=\"200\" rrs=\"true\"/>\n"
        + &send(false, &request("ACK", "[next_url]", 2, within), None)
        + &wait(millis)
        + &send(true, &request("BYE", "[next_url]", 3, within), None)
        + "<recv response=\"200\"/>\n";
    scenario("operator", &steps)
}

/// Registers an operator from the port on which its phone will listen; answers the challenge.
pub fn register(operator: &str, expires: u32) -> String {
    let head = |cseq: u32, more: &str| {
        format!(
            "REGISTER sip:pbx.test SIP/2.0\n{VIA}From: <sip:{operator}@pbx.test>;tag=[pid]r[call_number]\nTo: <sip:{operator}@pbx.test>\nCall-ID: [call_id]\nCSeq: {cseq} REGISTER\nContact: <sip:{operator}@[local_ip]:[local_port]>\nMax-Forwards: 70\nExpires: {expires}\n{more}"
        )
    };
    let credentials = format!("[authentication username={operator} password=secret-{operator}]\n");
    let steps = send(true, &head(1, ""), None)
        + "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"401\" auth=\"true\"/>\n"
        + &send(true, &head(2, &credentials), None)
        + "<recv response=\"200\"/>\n";
    scenario("register", &steps)
}

/// A provider's registrar: challenges, checks the account (user and password) against the list, grants 120 s.
pub fn registrar(accounts: &[(&str, &str)]) -> String {
    let challenge =
        "WWW-Authenticate: Digest realm=\"acme\", nonce=\"4be1f3c9[call_number]\", algorithm=MD5\n";
    let last = "[last_CSeq:]";
    let mut checks = String::new();
    let mut jumps = String::new();
    for (index, (user, password)) in accounts.iter().enumerate() {
        checks += &format!(
            "<verifyauth assign_to=\"right{index}\" username=\"{user}\" password=\"{password}\"/>\n"
        );
        jumps += &format!("<nop next=\"granted\" test=\"right{index}\"/>\n");
    }
    let contact =
        "<ereg regexp=\"sip:[^;>]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"contact\"/>";
    let granted = "Contact: <[$contact]>;expires=120\n";
    let steps = "<recv request=\"REGISTER\"/>\n".to_owned()
        + &send(false, &tagged("401 Unauthorized", last, challenge), None)
        + &format!("<recv request=\"REGISTER\"><action>\n{checks}{contact}\n</action></recv>\n")
        + &jumps
        + &send(false, &tagged("403 Forbidden", last, ""), None)
        + "<nop next=\"end\"/>\n<label id=\"granted\"/>\n"
        + &send(false, &tagged("200 OK", last, granted), None)
        + "<label id=\"end\"/>\n";
    scenario("registrar", &steps)
}

/// A provider that challenges an INVITE (401), checks the account, answers and waits for BYE; wrong
/// credentials are refused with 403. Without qop and 407: SIPp's `verifyauth` does not know them.
pub fn challenging_callee(user: &str, password: &str, media: (IpAddr, u16), law: Law) -> String {
    let challenge =
        "WWW-Authenticate: Digest realm=\"acme\", nonce=\"77ab[call_number]\", algorithm=MD5\n";
    let last = "[last_CSeq:]";
    let body = sdp(media.0, media.1, law, true);
    let required = tagged("401 Unauthorized", last, challenge);
    let steps = "<recv request=\"INVITE\"/>\n".to_owned()
        + &send(true, &required, None)
        + "<recv request=\"ACK\"/>\n"
        + &format!(
            "<recv request=\"INVITE\"><action><verifyauth assign_to=\"right\" username=\"{user}\" password=\"{password}\"/></action></recv>\n"
        )
        + "<nop next=\"right\" test=\"right\"/>\n"
        + &send(true, &tagged("403 Forbidden", last, ""), None)
        + "<recv request=\"ACK\"/>\n<nop next=\"end\"/>\n<label id=\"right\"/>\n"
        + &send(true, &tagged("200 OK", last, CONTACT), Some(&body))
        + "<recv request=\"ACK\"/>\n<recv request=\"BYE\"/>\n"
        + &send(false, &response("200 OK", ""), None)
        + "<label id=\"end\"/>\n";
    scenario("challenging callee", &steps)
}

/// A caller whose INVITE has no description: the answer to the offer in the 200 stands in the ACK.
pub fn late_offer(to: &str, from: &str, media: (IpAddr, u16), law: Law, millis: u64) -> String {
    let call = Caller {
        law,
        ..Caller::new(to, from, media, Then::WaitForBye)
    };
    let head = |method: &str, uri: &str, cseq: u32, more: &str| {
        call.request(method, uri, VIA, &cseq.to_string(), more)
    };
    let first =
        format!("To: <sip:{to}@[remote_ip]>\nContact: <sip:caller@[local_ip]:[local_port]>\n");
    let uri = format!("sip:{to}@[remote_ip]:[remote_port]");
    let within = "[last_To:]\n[routes]\n";
    let body = sdp(media.0, media.1, law, true);
    let steps = send(true, &head("INVITE", &uri, 1, &first), None)
        + OPTIONAL
        + "<recv response=\"200\" rrs=\"true\"/>\n"
        + &send(false, &head("ACK", "[next_url]", 1, within), Some(&body))
        + &wait(millis)
        + &send(true, &head("BYE", "[next_url]", 2, within), None)
        + "<recv response=\"200\"/>\n";
    scenario("late offer", &steps)
}

/// As `operator_dials`, with a hold in the middle: `millis` of talk, of hold and of talk again.
pub fn operator_holds(operator: &str, to: &str, media: (IpAddr, u16), millis: u64) -> String {
    let whole = operator_dials(operator, to, media, millis);
    let head = |method: &str, cseq: u32, more: &str| {
        format!(
            "{method} [next_url] SIP/2.0\n{VIA}From: <sip:{operator}@pbx.test>;tag=[pid]o[call_number]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nMax-Forwards: 70\n[last_To:]\n[routes]\n{more}"
        )
    };
    let contact = format!("Contact: <sip:{operator}@[local_ip]:[local_port]>\n");
    let offer = |direction: &str, version: u32| {
        sdp(media.0, media.1, Law::Mu, true)
            .replace("a=sendrecv", &format!("a={direction}"))
            .replace("o=test 1 1 ", &format!("o=test 1 {version} "))
    };
    let again = |cseq: u32, direction: &str| {
        send(
            true,
            &head("INVITE", cseq, &contact),
            Some(&offer(direction, cseq)),
        ) + "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"200\"/>\n"
            + &send(false, &head("ACK", cseq, ""), None)
            + &wait(millis)
    };
    let hold = again(3, "sendonly") + &again(4, "sendrecv");
    let bye = send(true, &head("BYE", 5, ""), None);
    let (before, _) = whole
        .rsplit_once("<send retrans=\"500\"><![CDATA[\nBYE")
        .expect("a BYE");
    format!("{before}{hold}{bye}<recv response=\"200\"/>\n</scenario>\n")
}
