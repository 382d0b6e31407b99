//! Warning (RFC 3261 §20.43): the sentence that says why.

use super::params::{self, Quoted};

/// One Warning value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The three-digit code; 399 is a sentence of any kind.
    pub code: u16,
    /// The host that warns.
    pub agent: String,
    /// The sentence.
    pub text: String,
}

impl Warning {
    /// `399 agent "text"`.
    pub fn new(agent: &str, text: &str) -> Warning {
        Warning {
            code: 399,
            agent: agent.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Reads one value.
    pub fn parse(text: &str) -> Option<Warning> {
        let (code, rest) = text.trim().split_once(' ')?;
        let (agent, text) = rest.trim_start().split_once(' ')?;
        Some(Warning {
            code: code.parse().ok()?,
            agent: agent.to_owned(),
            text: params::unquote(text.trim()),
        })
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agent: String = self.agent.split_whitespace().collect();
        write!(f, "{:03} {agent} {}", self.code, Quoted(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_and_read() {
        let warning = Warning::new("pbx.shop.example", "Nobody is \"in\"");
        assert_eq!(
            warning.to_string(),
            "399 pbx.shop.example \"Nobody is \\\"in\\\"\""
        );
        assert_eq!(Warning::parse(&warning.to_string()), Some(warning));
        assert_eq!(Warning::parse("399"), None);
    }
}
