//! Reason (RFC 3326, RFC 6432): why a session ended or was refused.

use super::params::{self, Quoted};

/// One Reason value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850` …
    pub protocol: String,
    /// The status or cause in the protocol's numbers.
    pub cause: Option<u16>,
    /// The sentence for people.
    pub text: Option<String>,
}

impl Reason {
    /// A SIP status as the reason.
    pub fn sip(status: u16, text: &str) -> Reason {
        Reason::new("SIP", status, text)
    }

    /// A cause of ITU-T Q.850 as the reason.
    pub fn q850(cause: u16, text: &str) -> Reason {
        Reason::new("Q.850", cause, text)
    }

    fn new(protocol: &str, cause: u16, text: &str) -> Reason {
        Reason {
            protocol: protocol.to_owned(),
            cause: Some(cause),
            text: Some(text.to_owned()).filter(|text| !text.is_empty()),
        }
    }

    /// Reads one value.
    pub fn parse(text: &str) -> Option<Reason> {
        let text = text.trim();
        let end = text.find(';').unwrap_or(text.len());
        let protocol = text.get(..end)?.trim();
        let params = params::read(text, end)?;
        (!protocol.is_empty()).then(|| Reason {
            protocol: protocol.to_owned(),
            cause: params::find(&params, "cause").and_then(|cause| cause.parse().ok()),
            text: params::find(&params, "text").map(str::to_owned),
        })
    }

    /// Reads a comma-separated list; values that are none are left out.
    pub fn parse_list(text: &str) -> Vec<Reason> {
        params::elements(text)
            .unwrap_or_default()
            .into_iter()
            .filter_map(Reason::parse)
            .collect()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", Quoted(text)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_and_read() {
        let reason = Reason::sip(200, "Call completed elsewhere");
        assert_eq!(
            reason.to_string(),
            "SIP;cause=200;text=\"Call completed elsewhere\""
        );
        let list = Reason::parse_list(
            "Q.850 ;cause=16 ;text=\"a, b\", SIP;cause=200;text=\"Call completed elsewhere\", ;x",
        );
        assert_eq!(list, [Reason::q850(16, "a, b"), reason]);
    }
}
