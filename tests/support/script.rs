//! SIPp scenarios step by step, for dialogs in which both sides ask: re-INVITE, UPDATE, PRACK, refreshes.

use std::fmt::Write;
use std::net::IpAddr;

/// The audio of a description: where it is received, which way it goes.
#[derive(Copy, Clone, Debug)]
pub struct Audio {
    /// Where.
    pub media: (IpAddr, u16),
    /// `sendrecv` …
    pub direction: &'static str,
    /// Whether c= says 0.0.0.0.
    pub nowhere: bool,
}

impl Audio {
    /// Both ways.
    pub fn at(media: (IpAddr, u16)) -> Audio {
        Audio {
            media,
            direction: "sendrecv",
            nowhere: false,
        }
    }

    /// The same in this direction.
    pub fn going(self, direction: &'static str) -> Audio {
        Audio { direction, ..self }
    }

    /// The hold of RFC 2543.
    pub fn nowhere(self) -> Audio {
        Audio {
            nowhere: true,
            ..self
        }
    }

    fn sdp(self) -> String {
        let (ip, port) = self.media;
        let at = if self.nowhere {
            "0.0.0.0".to_owned()
        } else {
            ip.to_string()
        };
        format!(
            "v=0\no=test 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {at}\nt=0 0\nm=audio {port} RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\na={}\n",
            self.direction
        )
    }
}

/// A scenario as far as it is written.
pub struct Script {
    steps: String,
    /// From and To of requests within the dialog.
    parties: String,
    /// Of the last request sent.
    cseq: u32,
    to: String,
}

/// Takes the dialog's remote target and party from a message; the number of a provisional response, if it has one.
const LEARN: &str = "<action><ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"remote\"/><ereg regexp=\"sip:[^>]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"target\"/><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"RSeq:\" assign_to=\"rseq\"/></action>";
const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\nContact: <sip:peer@[local_ip]:[local_port]>\n";
const TAG: &str = "[pid]s[call_number]";

impl Script {
    /// Somebody who calls a number.
    pub fn caller(to: &str, from: &str) -> Script {
        Script {
            steps: String::new(),
            parties: format!("From: <sip:{from}@[local_ip]>;tag={TAG}\nTo:[$remote]\n"),
            cseq: 1,
            to: to.to_owned(),
        }
    }

    /// Somebody who is called; an INVITE has come.
    pub fn callee() -> Script {
        let learn = "<recv request=\"INVITE\"><action><ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"remote\"/><ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"local\"/><ereg regexp=\"sip:[^>]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"target\"/><ereg regexp=\"[0-9]+\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"rseq\"/></action></recv>\n<Reference variables=\"local\"/>\n";
        Script {
            steps: learn.to_owned(),
            parties: format!("From:[$local];tag={TAG}\nTo:[$remote]\n"),
            cseq: 0,
            to: String::new(),
        }
    }

    fn send(&mut self, retransmits: bool, head: &str, body: Option<Audio>) {
        let attribute = if retransmits { " retrans=\"500\"" } else { "" };
        let tail = match body {
            Some(audio) => format!(
                "Content-Type: application/sdp\nContent-Length: [len]\n\n{}",
                audio.sdp()
            ),
            None => "Content-Length: 0\n\n".to_owned(),
        };
        write!(
            self.steps,
            "<send{attribute}><![CDATA[\n{head}{tail}\n]]></send>\n"
        )
        .unwrap();
    }

    /// Sends the first INVITE, or one more in its place.
    pub fn invite(mut self, more: &str, body: Option<Audio>) -> Script {
        let to = &self.to;
        let from = self.parties.lines().next().unwrap();
        let head = format!(
            "INVITE sip:{to}@[remote_ip]:[remote_port] SIP/2.0\n{VIA}{from}\nTo: <sip:{to}@[remote_ip]>\nCall-ID: [call_id]\nCSeq: {} INVITE\n{more}",
            self.cseq
        );
        self.send(true, &head, body);
        self.steps += "<recv response=\"100\" optional=\"true\"/>\n";
        self
    }

    /// Waits for a response with a dialog in it, and takes that.
    pub fn dialog(mut self, code: u16) -> Script {
        writeln!(self.steps, "<recv response=\"{code}\">{LEARN}</recv>").unwrap();
        self
    }

    /// Ringing may come.
    pub fn may_ring(mut self) -> Script {
        self.steps += "<recv response=\"180\" optional=\"true\"/>\n<recv response=\"183\" optional=\"true\"/>\n";
        self
    }

    /// Waits for a response.
    pub fn expect(mut self, code: u16) -> Script {
        writeln!(self.steps, "<recv response=\"{code}\"/>").unwrap();
        self
    }

    /// Acknowledges the final response to the last INVITE.
    pub fn ack(mut self, body: Option<Audio>) -> Script {
        let head = self.head("ACK", "[$target]", "");
        self.send(false, &head, body);
        self
    }

    /// Acknowledges the 200 to the INVITE with this CSeq, other requests having been sent since.
    pub fn ack_of(mut self, cseq: u32) -> Script {
        let now = std::mem::replace(&mut self.cseq, cseq);
        let mut script = self.ack(None);
        script.cseq = now;
        script
    }

    /// Acknowledges a refusal of the first INVITE; the next one is another request.
    pub fn refused(mut self, branch_of: u32) -> Script {
        let to = self.to.clone();
        let from = self.parties.lines().next().unwrap().to_owned();
        let head = format!(
            "ACK sip:{to}@[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch-{branch_of}]\nMax-Forwards: 70\n{from}\n[last_To:]\nCall-ID: [call_id]\nCSeq: {} ACK\n",
            self.cseq
        );
        self.send(false, &head, None);
        self.cseq += 1;
        self
    }

    fn head(&self, method: &str, uri: &str, more: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\n{VIA}{}Call-ID: [call_id]\nCSeq: {} {method}\n{more}",
            self.parties, self.cseq
        )
    }

    /// Sends a request within the dialog.
    pub fn ask(mut self, method: &str, more: &str, body: Option<Audio>) -> Script {
        self.cseq += 1;
        let head = self.head(method, "[$target]", more);
        self.send(true, &head, body);
        if method == "INVITE" {
            self.steps += "<recv response=\"100\" optional=\"true\"/>\n";
        }
        self
    }

    /// A re-INVITE that is answered and acknowledged.
    pub fn reinvite(self, body: Audio) -> Script {
        self.ask("INVITE", "", Some(body)).expect(200).ack(None)
    }

    /// Waits for a request.
    pub fn hear(mut self, method: &str) -> Script {
        writeln!(self.steps, "<recv request=\"{method}\"/>").unwrap();
        self
    }

    /// Answers the request that came last.
    pub fn answer(mut self, status: &str, more: &str, body: Option<Audio>) -> Script {
        let head = format!(
            "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:peer@[local_ip]:[local_port]>\n{more}"
        );
        self.send(false, &head, body);
        self
    }

    /// Answers the first INVITE, with our tag.
    pub fn respond(mut self, status: &str, more: &str, body: Option<Audio>) -> Script {
        let head = format!(
            "SIP/2.0 {status}\n[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:];tag={TAG}\n[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:peer@[local_ip]:[local_port]>\n{more}"
        );
        self.send(status.starts_with('2'), &head, body);
        self
    }

    /// Answers the first INVITE after another request came in between.
    pub fn respond_late(mut self, status: &str, more: &str, body: Option<Audio>) -> Script {
        let head = format!(
            "SIP/2.0 {status}\nVia:[$via]\nFrom:[$remote]\nTo:[$local];tag={TAG}\n[last_Call-ID:]\nCSeq: [$rseq] INVITE\nContact: <sip:peer@[local_ip]:[local_port]>\n{more}"
        );
        self.send(status.starts_with('2'), &head, body);
        self
    }

    /// Keeps the Via of the first INVITE for `respond_late`.
    pub fn keep_via(mut self) -> Script {
        self.steps = self.steps.replacen(
            "<action>",
            "<action><ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"via\"/>",
            1,
        );
        self
    }

    /// Waits so many milliseconds.
    pub fn wait(mut self, millis: u64) -> Script {
        writeln!(self.steps, "<pause milliseconds=\"{millis}\"/>").unwrap();
        self
    }

    /// Hangs up.
    pub fn bye(self) -> Script {
        self.ask("BYE", "", None).expect(200)
    }

    /// The far side hangs up.
    pub fn wait_for_bye(self) -> Script {
        self.hear("BYE").answer("200 OK", "", None)
    }

    /// The scenario.
    pub fn xml(self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"script\">\n{}<Reference variables=\"remote,target,rseq\"/>\n</scenario>\n",
            self.steps
        )
    }
}
