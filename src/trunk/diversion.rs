//! What a forward tells the provider about the call that it goes on from: Diversion (RFC 5806), History-Info (RFC 7044, RFC 4458).

use crate::dialplan::plan::Trunk;
use crate::dialplan::provider::DiversionHeader;
use crate::ledger::cause::Cause;
use crate::sip::endpoint::command::Headers;
use crate::sip::uri::Uri;
use crate::sip::wire::Name;

/// A call that goes on to an outside number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diverted {
    /// The number of ours that was called.
    pub number: String,
    /// Why nobody here took it; `None`: the plan sends it on without asking.
    pub why: Option<Cause>,
}

/// The trunk's `diversion` headers. `domain` is ours, `target` the Request-URI.
pub fn headers(trunk: &Trunk, domain: &str, diverted: &Diverted, target: &str) -> Headers {
    let number = trunk.number_format.write(&diverted.number, trunk.country);
    let ours = Uri::sip(Some(&number), domain, None);
    let (reason, cause) = words(diverted.why);
    trunk
        .diversion
        .iter()
        .map(|header| match header {
            DiversionHeader::Diversion => (
                Name::Diversion,
                format!("<{ours}>;reason={reason};counter=1"),
            ),
            DiversionHeader::HistoryInfo => {
                let next = with_cause(target, cause);
                (
                    Name::HistoryInfo,
                    format!("<{ours}>;index=1, <{next}>;index=1.1;mp=1"),
                )
            }
        })
        .collect()
}

/// RFC 4458 §2: the reason stands in the new target's URI.
fn with_cause(target: &str, cause: u16) -> String {
    format!("{target};cause={cause}")
}

/// Diversion's reason and History-Info's cause.
const fn words(why: Option<Cause>) -> (&'static str, u16) {
    match why {
        Some(Cause::AllBusy) => ("user-busy", 486),
        Some(Cause::NoAnswer | Cause::WaitLimit) => ("no-answer", 408),
        Some(Cause::NoOperators | Cause::Unreachable) => ("unavailable", 503),
        Some(Cause::Closed) => ("time-of-day", 302),
        _ => ("unconditional", 302),
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify::tests::trunk;
    use super::*;

    fn told(why: Option<Cause>, kinds: &[DiversionHeader]) -> Vec<String> {
        let mut acme = trunk("acme", None, &[]);
        acme.diversion = kinds.to_vec();
        let diverted = Diverted {
            number: "+74951000001".into(),
            why,
        };
        let target = "sip:+79990000000@sip.acme.example";
        headers(&acme, "pbx.example", &diverted, target)
            .into_iter()
            .map(|(name, value)| format!("{}: {value}", name.as_str()))
            .collect()
    }

    #[test]
    fn both_headers_and_none() {
        let both = [DiversionHeader::Diversion, DiversionHeader::HistoryInfo];
        assert_eq!(
            told(Some(Cause::WaitLimit), &both),
            [
                "Diversion: <sip:+74951000001@pbx.example>;reason=no-answer;counter=1",
                "History-Info: <sip:+74951000001@pbx.example>;index=1, <sip:+79990000000@sip.acme.example;cause=408>;index=1.1;mp=1"
            ]
        );
        assert!(told(None, &[]).is_empty());
        assert!(told(None, &both)[0].contains("reason=unconditional"));
    }
}
