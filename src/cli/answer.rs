//! `vats answer`: an operator's phone that registers and takes calls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::phone::line::{Line, LineArgs};
use super::phone::{Happening, PATIENCE, Phone, interrupted};
use crate::ledger::id::LegId;
use crate::sdp::negotiate::Negotiation;
use crate::sip::auth::Credentials;
use crate::sip::dialog::contact_value;
use crate::sip::endpoint::SessionId;
use crate::sip::endpoint::command::{Command, Request};
use crate::sip::endpoint::event::{Event, RequestId};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Method, Name as HeaderName};

/// Arguments of `vats answer`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The operator: NAME of [operators.NAME]
    #[arg(long)]
    user: String,
    /// The operator's SIP password
    #[arg(long)]
    password: String,
    /// Where the PBX listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5060")]
    server: String,
    /// The operators' domain, server.domain of the configuration [default: the server's host]
    #[arg(long)]
    domain: Option<String>,
    /// Ring so long before answering
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = super::duration)]
    after: Duration,
    /// A WAV file to play to the caller, round and round
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// A WAV file to write what is heard to; each call overwrites it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    line: LineArgs,
    /// Hang up so long after the answer
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    length: Option<Duration>,
    /// Pass the caller on (REFER) so long after the answer: 102@5s
    #[arg(long, value_name = "TARGET@DURATION", value_parser = transfer)]
    transfer: Option<(String, Duration)>,
    /// Send every call elsewhere (302) instead of ringing
    #[arg(long, value_name = "NUMBER")]
    forward: Option<String>,
    /// Take one call and end
    #[arg(long)]
    once: bool,
}

/// What the phone asks the registrar for.
const EXPIRES: u32 = 120;
/// A failed registration is tried again after this time.
const RETRY: Duration = Duration::from_secs(5);

/// A lost connection is opened again after this time.
const RECONNECT: Duration = Duration::from_secs(1);

/// Registers and takes calls until interrupted. Exit code 1: the user or the password is wrong, or nothing is there.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    super::phone::run(answer(&args))
}

struct Desk<'a> {
    args: &'a Args,
    line: Line,
    after: Duration,
    length: Option<Duration>,
    cseq: u32,
    call_id: String,
    registered: bool,
    refresh_at: Instant,
    /// The server has answered something by then, or it is not there.
    patience: Option<Instant>,
    call: Option<Call>,
}

struct Call {
    leg: LegId,
    session: SessionId,
    negotiation: Negotiation,
    offer: Option<bytes::Bytes>,
    answer_at: Instant,
    answered: Option<Instant>,
    /// Passing the caller on was asked for, or will not be.
    passed_on: bool,
}

async fn answer(args: &Args) -> anyhow::Result<ExitCode> {
    let (host, port) = super::phone::host_port(&args.server)?;
    let line = args.line.to(args.line.transport(None), &host, port).await?;
    let mut phone = Phone::start(line.clone())?;
    phone.equip(
        args.line.codecs(),
        args.play.as_deref(),
        args.record.is_some(),
    )?;
    let call_id = phone.entropy.token();
    let mut desk = Desk {
        args,
        line,
        after: args.after,
        length: args.length,
        cseq: 1,
        call_id,
        registered: false,
        refresh_at: Instant::now(),
        patience: Some(Instant::now() + PATIENCE),
        call: None,
    };
    let outcome = desk.run(&mut phone).await;
    if desk.registered {
        desk.register(&mut phone, 0)?;
    }
    phone.stop(Duration::from_secs(2)).await;
    outcome
}

impl Desk<'_> {
    async fn run(&mut self, phone: &mut Phone) -> anyhow::Result<ExitCode> {
        let interrupted = interrupted();
        tokio::pin!(interrupted);
        loop {
            let deadline = self.deadline();
            let happening = tokio::select! {
                happening = phone.next(Some(deadline)) => happening,
                asked = &mut interrupted => {
                    asked?;
                    self.hang_up(phone)?;
                    return Ok(ExitCode::SUCCESS);
                }
            };
            match happening {
                Happening::Sip(event) => {
                    if let Some(code) = self.on_sip(phone, event).await? {
                        return Ok(code);
                    }
                }
                Happening::Media => {}
                Happening::Disconnected(why) => {
                    println!("the connection to the PBX is gone: {why}");
                    self.registered = false;
                    self.refresh_at = Instant::now() + RECONNECT;
                }
                Happening::Deadline => {
                    if let Some(code) = self.on_time(phone)? {
                        return Ok(code);
                    }
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        let call = self.call.as_ref().and_then(|call| match call.answered {
            None => Some(call.answer_at),
            Some(at) => {
                let transfer = self.args.transfer.as_ref();
                let transfer = transfer.filter(|_| !call.passed_on);
                let length = self.length.map(|length| at + length);
                let transfer = transfer.map(|(_, after)| at + *after);
                length.into_iter().chain(transfer).min()
            }
        });
        call.into_iter()
            .chain(self.patience)
            .chain([self.refresh_at])
            .min()
            .unwrap_or(self.refresh_at)
    }

    fn register(&mut self, phone: &mut Phone, expires: u32) -> anyhow::Result<()> {
        let args = self.args;
        let (host, _) = super::phone::host_port(&args.server)?;
        let domain = args.domain.clone().unwrap_or(host);
        let flow = phone.flow();
        let address = format!("<{}>", Uri::sip(Some(&args.user), &domain, None));
        let contact = contact_value(Some(&args.user), &flow);
        phone.command(Command::Request(Box::new(Request {
            id: RequestId(u64::from(self.cseq)),
            method: Method::Register,
            flow,
            uri: Uri::sip(None, &domain, None).as_str().to_owned(),
            from: address.clone(),
            to: address,
            call_id: Some(self.call_id.clone()),
            cseq: self.cseq,
            credentials: Some(Credentials {
                user: args.user.clone(),
                password: args.password.clone(),
                realm: None,
            }),
            headers: vec![
                (HeaderName::Contact, contact),
                (HeaderName::Expires, expires.to_string()),
            ],
        })));
        // A retry with credentials takes the next number.
        self.cseq += 10;
        self.refresh_at = Instant::now() + Duration::from_secs(u64::from(EXPIRES) * 3 / 4);
        Ok(())
    }

    fn on_time(&mut self, phone: &mut Phone) -> anyhow::Result<Option<ExitCode>> {
        let now = Instant::now();
        if self.patience.is_some_and(|patience| patience <= now) {
            bail!(self.line.nobody_there());
        }
        if self.refresh_at <= now {
            self.register(phone, EXPIRES)?;
        }
        let Some(call) = &mut self.call else {
            return Ok(None);
        };
        match call.answered {
            None if call.answer_at <= now => {
                if let Err(error) = call.accept(phone) {
                    let (session, leg) = (call.session, call.leg);
                    println!("cannot answer: {error}");
                    reject(phone, session, 488);
                    phone.finish(leg, None)?;
                    self.call = None;
                }
                Ok(None)
            }
            Some(at) if self.length.is_some_and(|length| at + length <= now) => self.hang_up(phone),
            Some(at) => {
                if let Some((target, after)) = &self.args.transfer
                    && !call.passed_on
                    && at + *after <= now
                {
                    call.passed_on = true;
                    println!("passes the caller on to {target}");
                    let (host, _) = super::phone::host_port(&self.args.server)?;
                    let domain = self.args.domain.as_deref().unwrap_or(&host);
                    phone.command(Command::Refer {
                        session: call.session,
                        to: format!("<{}>", Uri::sip(Some(target), domain, None)),
                        headers: Vec::new(),
                    });
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn on_sip(
        &mut self,
        phone: &mut Phone,
        event: Event,
    ) -> anyhow::Result<Option<ExitCode>> {
        match event {
            Event::Response { code, .. } => return Ok(self.on_registered(code)),
            Event::Incoming {
                session,
                flow,
                message,
            } => self.ring(phone, session, flow.remote, &message).await?,
            Event::Request { id, .. } => phone.command(Command::Reply {
                id,
                code: 200,
                headers: Vec::new(),
            }),
            Event::Cancelled { session } => {
                println!("the caller gave up, or another phone was quicker");
                return self.over(phone, session);
            }
            Event::Ended { session, .. } => {
                println!("the caller hung up");
                return self.over(phone, session);
            }
            Event::Acked {
                session,
                sdp: Some(sdp),
            } => {
                if let Some(call) = self.call.as_mut().filter(|call| call.session == session) {
                    let agreed = call.negotiation.accept_answer(&sdp)?;
                    phone.agree(call.leg, &agreed);
                }
            }
            Event::ReferAnswered { code, .. } if code >= 300 => {
                println!("passing on is refused ({code})");
            }
            Event::ReferReport { code, .. } => println!("the target: {code}"),
            Event::Offer { session, sdp } => {
                if let Some(call) = self.call.as_mut().filter(|call| call.session == session) {
                    call.answer_offer(phone, sdp.as_deref())?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn on_registered(&mut self, code: u16) -> Option<ExitCode> {
        self.patience = None;
        match code {
            200..=299 => {
                if !std::mem::replace(&mut self.registered, true) {
                    println!("registered as {}, waiting for calls", self.args.user);
                }
                None
            }
            401 | 403 | 407 => {
                println!("refused: the user or the password is wrong ({code})");
                Some(ExitCode::from(1))
            }
            _ => {
                self.registered = false;
                println!(
                    "not registered ({code}), trying again in {} s",
                    RETRY.as_secs()
                );
                self.refresh_at = Instant::now() + RETRY;
                None
            }
        }
    }

    async fn ring(
        &mut self,
        phone: &mut Phone,
        session: SessionId,
        remote: SocketAddr,
        invite: &Message,
    ) -> anyhow::Result<()> {
        if self.call.is_some() {
            println!("a second call is told busy");
            reject(phone, session, 486);
            return Ok(());
        }
        if let Some(target) = &self.args.forward {
            println!("a call from {} is sent to {target}", caller(invite));
            let domain = self.args.domain.as_deref().unwrap_or("localhost");
            let contact = format!("<{}>", Uri::sip(Some(target), domain, None));
            phone.command(Command::Reject {
                session,
                code: 302,
                headers: vec![(HeaderName::Contact, contact)],
            });
            return Ok(());
        }
        println!("ringing: a call from {}", caller(invite));
        if let Some(by) = invite.header(HeaderName::ReferredBy) {
            println!("passed on by {by}");
        }
        let leg = LegId::from_u128(session.0);
        let negotiation = phone.open(leg, remote.ip()).await?;
        phone.command(Command::Progress {
            session,
            code: 180,
            sdp: None,
        });
        self.call = Some(Call {
            leg,
            session,
            negotiation,
            offer: invite.body_of("application/sdp"),
            answer_at: Instant::now() + self.after,
            answered: None,
            passed_on: false,
        });
        Ok(())
    }

    fn hang_up(&mut self, phone: &mut Phone) -> anyhow::Result<Option<ExitCode>> {
        let Some(session) = self.call.as_ref().map(|call| call.session) else {
            return Ok(None);
        };
        println!("hung up");
        phone.command(Command::End {
            session,
            reason: None,
        });
        self.over(phone, session)
    }

    fn over(&mut self, phone: &mut Phone, session: SessionId) -> anyhow::Result<Option<ExitCode>> {
        let Some(call) = self.call.take_if(|call| call.session == session) else {
            return Ok(None);
        };
        phone.finish(call.leg, self.args.record.as_deref())?;
        Ok(self.args.once.then_some(ExitCode::SUCCESS))
    }
}

/// Who calls, for people: the name, the user, or the URI.
fn caller(invite: &Message) -> String {
    let from = invite.header(HeaderName::From).unwrap_or("unknown");
    let Ok(address) = NameAddr::parse(from) else {
        return from.to_owned();
    };
    let user = address.uri.user().map(|user| user.into_owned());
    match (address.display, user) {
        (Some(name), Some(user)) => format!("{name} ({user})"),
        (None, Some(user)) => user,
        _ => address.uri.to_string(),
    }
}

/// Reads `102@5s`.
fn transfer(text: &str) -> Result<(String, Duration), String> {
    let (target, after) = text
        .rsplit_once('@')
        .filter(|(target, _)| !target.is_empty())
        .ok_or("write TARGET@TIME such as 102@5s")?;
    Ok((target.to_owned(), super::duration(after)?))
}

fn reject(phone: &mut Phone, session: SessionId, code: u16) {
    phone.command(Command::Reject {
        session,
        code,
        headers: Vec::new(),
    });
}

impl Call {
    fn accept(&mut self, phone: &mut Phone) -> anyhow::Result<()> {
        let sdp = match &self.offer {
            Some(offer) => {
                let (answer, agreed) = self.negotiation.answer(offer)?;
                phone.agree(self.leg, &agreed);
                answer
            }
            None => self.negotiation.offer(),
        };
        println!("answered");
        self.answered = Some(Instant::now());
        phone.command(Command::Accept {
            session: self.session,
            sdp,
            headers: Vec::new(),
        });
        phone.begin(self.leg);
        Ok(())
    }

    fn answer_offer(&mut self, phone: &mut Phone, offer: Option<&[u8]>) -> anyhow::Result<()> {
        let sdp = match offer {
            Some(offer) => {
                let (answer, agreed) = self.negotiation.answer(offer)?;
                phone.agree(self.leg, &agreed);
                answer
            }
            None => self.negotiation.offer(),
        };
        let session = self.session;
        phone.command(Command::AnswerOffer { session, sdp });
        Ok(())
    }
}
