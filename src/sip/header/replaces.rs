//! Replaces: which dialog a new one takes the place of (RFC 3891 §6.1).

use std::fmt;

use super::params;
use crate::sip::wire::scan;

/// The dialog that is to be replaced, as the sender of the header sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of whoever gets the request.
    pub to_tag: String,
    /// The tag of whoever that one talks with.
    pub from_tag: String,
    /// Only while it is early: a call that was answered meanwhile is left alone.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a value; `None` when a part is missing or written twice.
    pub fn parse(text: &str) -> Option<Replaces> {
        let end = text.find(';')?;
        let call_id = text.get(..end)?.trim();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for (name, value) in params::read(text, end)? {
            let place = match name.as_str() {
                "to-tag" => &mut to_tag,
                "from-tag" => &mut from_tag,
                "early-only" => {
                    early_only = true;
                    continue;
                }
                _ => continue,
            };
            if place.replace(value?).is_some() {
                return None;
            }
        }
        let is_one = !call_id.is_empty()
            && call_id
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b';'));
        is_one.then_some(Replaces {
            call_id: call_id.to_owned(),
            to_tag: to_tag.filter(|tag| is_tag(tag))?,
            from_tag: from_tag.filter(|tag| is_tag(tag))?,
            early_only,
        })
    }
}

fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(scan::is_token)
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, from) = (&self.to_tag, &self.from_tag);
        write!(f, "{};to-tag={to};from-tag={from}", self.call_id)?;
        if self.early_only {
            f.write_str(";early-only")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named() {
        let text = "425928@bobster.example.org;to-tag=7743;from-tag=6472";
        let replaces = Replaces::parse(text).unwrap();
        assert_eq!(replaces.call_id, "425928@bobster.example.org");
        assert_eq!((&*replaces.to_tag, &*replaces.from_tag), ("7743", "6472"));
        assert!(!replaces.early_only);
        assert_eq!(replaces.to_string(), text);
        let early = Replaces::parse("a@b ; from-tag=1;to-tag=2 ;early-only").unwrap();
        assert!(early.early_only);
        assert_eq!(Replaces::parse(&early.to_string()), Some(early));
    }

    #[test]
    fn what_names_none_is_refused() {
        for text in [
            "",
            "a@b",
            "a@b;to-tag=1",
            "a@b;to-tag=1;from-tag=",
            "a@b;to-tag=1;to-tag=2;from-tag=3",
            ";to-tag=1;from-tag=2",
            "a@b;to-tag=1;from-tag=2, c@d;to-tag=1;from-tag=2",
        ] {
            assert_eq!(Replaces::parse(text), None, "{text}");
        }
    }
}
