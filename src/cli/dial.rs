//! `vats dial`: a caller with keys, sound and a recording.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use super::phone::line::{Line, LineArgs};
use super::phone::script::Script;
use super::phone::{Happening, PATIENCE, Phone, interrupted};
use crate::ledger::id::LegId;
use crate::sdp::negotiate::Negotiation;
use crate::sip::auth::Credentials;
use crate::sip::endpoint::command::{Command, Invite, Routing, Usage};
use crate::sip::endpoint::event::Event;
use crate::sip::endpoint::{SessionId, Transport};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::uri::Uri;
use crate::sip::wire::Name;

/// Arguments of `vats dial`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whom to call: sip:+74951000001@127.0.0.1:5060
    uri: String,
    /// Who calls [default: sip:+79160000000@ and this machine]
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// The password, when calling as an operator (the user of --from)
    #[arg(long)]
    password: Option<String>,
    /// Keys and when they are pressed after the answer: 1@2s,#@5s
    #[arg(long, default_value = "", hide_default_value = true)]
    keys: String,
    /// A WAV file to play to the far side, round and round
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// A WAV file to write what is heard to
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    line: LineArgs,
    /// Hang up so long after the answer
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    length: Option<Duration>,
}

/// Places the call. Exit code 0: it was answered and has ended; 1: refused, not answered, or nothing is there.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    super::phone::run(call(&args))
}

/// A call that is being placed or held.
struct Call {
    leg: LegId,
    session: SessionId,
    line: Line,
    with_password: bool,
    negotiation: Negotiation,
    answered: Option<Instant>,
    script: Script,
    length: Option<Duration>,
}

async fn call(args: &Args) -> anyhow::Result<ExitCode> {
    let uri = Uri::parse(&args.uri)
        .with_context(|| format!("{} is no SIP URI; write sip:NUMBER@HOST:PORT", args.uri))?;
    let script = Script::parse(&args.keys)?;
    let transport = args.line.transport(Transport::of_uri(&uri));
    let line = args.line.to(transport, uri.host(), uri.port()).await?;
    let remote = line.remote;
    let mut phone = Phone::start(line.clone())?;
    phone.equip(
        args.line.codecs(),
        args.play.as_deref(),
        args.record.is_some(),
    )?;
    let leg = LegId::new(phone.clock.now().wall, &mut phone.entropy);
    let mut negotiation = phone.open(leg, remote.ip()).await?;
    let invite = invite(args, &uri, &mut phone, leg, &mut negotiation)?;
    println!("calling {uri}");
    phone.command(Command::Invite(Box::new(invite)));
    let mut call = Call {
        leg,
        session: SessionId(leg.as_u128()),
        line,
        with_password: args.password.is_some(),
        negotiation,
        answered: None,
        script,
        length: args.length,
    };
    let outcome = call.run(&mut phone).await;
    phone.finish(leg, args.record.as_deref())?;
    phone.stop(Duration::from_secs(5)).await;
    outcome
}

fn invite(
    args: &Args,
    uri: &Uri,
    phone: &mut Phone,
    leg: LegId,
    negotiation: &mut Negotiation,
) -> anyhow::Result<Invite> {
    let flow = phone.flow();
    let from = match &args.from {
        Some(text) => {
            NameAddr::parse(text).with_context(|| format!("--from {text} is no SIP URI"))?
        }
        None => NameAddr {
            display: None,
            uri: Uri::sip(
                Some("+79160000000"),
                &flow.advertised.ip().to_string(),
                None,
            ),
            params: Vec::new(),
        },
    };
    let user = from.uri.user().map(|user| user.into_owned());
    let credentials = match (&args.password, &user) {
        (Some(password), Some(user)) => Some(Credentials {
            user: user.clone(),
            password: password.clone(),
            realm: None,
        }),
        (Some(_), None) => bail!("--password needs a user in --from: sip:anna@HOST"),
        (None, _) => None,
    };
    Ok(Invite {
        session: SessionId(leg.as_u128()),
        flow,
        routing: Routing::Dialog,
        uri: uri.as_str().to_owned(),
        from: from.to_string(),
        to: format!("<{uri}>"),
        contact_user: user,
        call_id: phone.entropy.token(),
        sdp: negotiation.offer(),
        credentials,
        max_forwards: 70,
        headers: Vec::new(),
        other_headers: Vec::new(),
        give_up_after: Some(PATIENCE),
        usage: Usage::default(),
    })
}

impl Call {
    async fn run(&mut self, phone: &mut Phone) -> anyhow::Result<ExitCode> {
        let interrupted = interrupted();
        tokio::pin!(interrupted);
        loop {
            let deadline = self.deadline();
            let happening = tokio::select! {
                happening = phone.next(deadline) => happening,
                asked = &mut interrupted => {
                    asked?;
                    println!("hung up");
                    return self.hang_up(phone);
                }
            };
            match happening {
                Happening::Sip(event) => {
                    if let Some(code) = self.on_sip(phone, event)? {
                        return Ok(code);
                    }
                }
                Happening::Media => {}
                Happening::Disconnected(why) => {
                    println!("the connection to the PBX is gone: {why}")
                }
                Happening::Deadline => {
                    let since = self.answered.map_or(Duration::ZERO, |at| at.elapsed());
                    while let Some(key) = self.script.due(since) {
                        println!("key {key}");
                        phone.press(self.leg, key);
                    }
                    if self.answered.is_some() && self.length.is_some_and(|length| length <= since)
                    {
                        println!("hung up after {:.1} s", since.as_secs_f64());
                        return self.hang_up(phone);
                    }
                }
            }
        }
    }

    /// When the next key is pressed, or the call is hung up.
    fn deadline(&self) -> Option<Instant> {
        let answered = self.answered?;
        [self.script.next_at(), self.length]
            .into_iter()
            .flatten()
            .min()
            .map(|at| answered + at)
    }

    fn on_sip(&mut self, phone: &mut Phone, event: Event) -> anyhow::Result<Option<ExitCode>> {
        let session = self.session;
        match event {
            Event::Progress { code, sdp, .. } => {
                if code > 100 {
                    println!("{} ({code})", progress(code));
                }
                if let Some(agreed) = sdp.and_then(|sdp| self.negotiation.accept_answer(&sdp).ok())
                {
                    phone.agree(self.leg, &agreed);
                    phone.listen(self.leg);
                }
            }
            Event::Answered { sdp, .. } => {
                println!("answered");
                match sdp {
                    Some(sdp) => phone.agree(self.leg, &self.negotiation.accept_answer(&sdp)?),
                    None if self.negotiation.agreed().is_some() => {}
                    None => bail!("the 200 carries no session description"),
                }
                self.answered = Some(Instant::now());
                phone.begin(self.leg);
            }
            Event::Refused {
                responded: false, ..
            } => bail!(self.line.nobody_there()),
            Event::Refused {
                code,
                reason,
                message,
                ..
            } => {
                println!("refused: {code} {reason}");
                let why = message.as_ref().and_then(|it| it.header(Name::Warning));
                if let Some(why) = why.and_then(quoted) {
                    println!("  {why}");
                }
                if matches!(code, 401 | 407) {
                    println!("  {}", self.credentials_hint());
                }
                return Ok(Some(ExitCode::from(1)));
            }
            Event::Offer { sdp, .. } => {
                let answer = match sdp {
                    Some(offer) => {
                        let (answer, agreed) = self.negotiation.answer(&offer)?;
                        phone.agree(self.leg, &agreed);
                        answer
                    }
                    None => self.negotiation.offer(),
                };
                phone.command(Command::AnswerOffer {
                    session,
                    sdp: answer,
                });
            }
            Event::Acked { sdp: Some(sdp), .. } => {
                phone.agree(self.leg, &self.negotiation.accept_answer(&sdp)?)
            }
            Event::Ended { .. } => {
                println!("the far side hung up");
                return Ok(Some(ExitCode::SUCCESS));
            }
            _ => {}
        }
        Ok(None)
    }

    /// What to do about a call that no trunk and no operator may place.
    fn credentials_hint(&self) -> &'static str {
        match self.with_password {
            true => "the user of --from or the password is wrong; --from is sip:OPERATOR@DOMAIN",
            false => "this address is no trunk's: call as an operator with --from and --password",
        }
    }

    fn hang_up(&self, phone: &mut Phone) -> anyhow::Result<ExitCode> {
        let session = self.session;
        phone.command(Command::End {
            session,
            reason: None,
        });
        Ok(if self.answered.is_some() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

fn progress(code: u16) -> &'static str {
    match code {
        180 => "ringing",
        181 => "forwarded",
        182 => "waiting in line",
        _ => "in progress",
    }
}

/// The sentence of a Warning (RFC 3261 §20.43): what stands in its quotes.
fn quoted(warning: &str) -> Option<&str> {
    let (_, rest) = warning.split_once('"')?;
    rest.rsplit_once('"').map(|(sentence, _)| sentence)
}
