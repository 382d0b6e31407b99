//! What the plan says of how a provider is spoken to: the account, how numbers are written, which headers name the caller.

use super::number::{Country, E164};
use super::plan::Secret;

/// What answers a provider's challenges.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// The user in credentials.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The only realm that is answered; `None`: whichever the provider names.
    pub realm: Option<String>,
}

/// How numbers are written towards a provider.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum NumberFormat {
    /// `+74951000001`.
    #[default]
    International,
    /// `74951000001`.
    Digits,
    /// As dialled within the trunk's country: `84951000001`, abroad `810…`.
    Dialled,
    /// Without any prefix: `4951000001`; numbers of other countries as `Digits`.
    National,
}

impl NumberFormat {
    /// Writes a number; what is no number, such as an operator's name, stays as it is.
    pub fn write(self, number: &str, country: Country) -> String {
        match E164::read(number, country) {
            Some(read) if number.starts_with('+') => self.write_number(&read, country),
            _ => number.to_owned(),
        }
    }

    fn write_number(self, number: &E164, country: Country) -> String {
        let digits = number.as_str().trim_start_matches('+');
        let national = country.national_part(number);
        match (self, national) {
            (NumberFormat::International, _) => number.as_str().to_owned(),
            (NumberFormat::Digits, _) | (NumberFormat::National, None) => digits.to_owned(),
            (NumberFormat::National, Some(national)) => national.to_owned(),
            (NumberFormat::Dialled, _) => country.dialled(number),
        }
    }
}

/// A header that names the caller.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum IdentityHeader {
    /// From.
    From,
    /// P-Asserted-Identity (RFC 3325 §9.1).
    PAssertedIdentity,
    /// P-Preferred-Identity (RFC 3325 §9.2).
    PPreferredIdentity,
    /// Remote-Party-ID (draft-ietf-sip-privacy-04), which many switches still speak.
    RemotePartyId,
}

/// A header that says that a call is a forwarded one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DiversionHeader {
    /// Diversion (RFC 5806).
    Diversion,
    /// History-Info (RFC 7044).
    HistoryInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_all_forms() {
        let write = |format: NumberFormat, number, country| {
            format.write(number, Country::parse(country).unwrap())
        };
        let (here, abroad) = ("+74951000001", "+442071838750");
        for (format, ours, foreign) in [
            (NumberFormat::International, here, abroad),
            (NumberFormat::Digits, "74951000001", "442071838750"),
            (NumberFormat::Dialled, "84951000001", "810442071838750"),
            (NumberFormat::National, "4951000001", "442071838750"),
        ] {
            assert_eq!(write(format, here, "RU"), ours);
            assert_eq!(write(format, abroad, "RU"), foreign);
        }
        assert_eq!(write(NumberFormat::Dialled, abroad, "GB"), "02071838750");
        assert_eq!(write(NumberFormat::Dialled, here, "GB"), "0074951000001");
        assert_eq!(
            write(NumberFormat::Dialled, "+12025550173", "US"),
            "2025550173"
        );
        assert_eq!(write(NumberFormat::Dialled, here, "US"), "01174951000001");
    }

    #[test]
    fn names_stay() {
        assert_eq!(NumberFormat::Dialled.write("anna", Country::RU), "anna");
        assert_eq!(NumberFormat::Dialled.write("101", Country::RU), "101");
    }

    /// What we write, a provider of that country reads as the same number.
    #[test]
    fn what_is_written_is_read_back() {
        for code in ["RU", "GB", "DE", "US", "FR", "KZ"] {
            let country = Country::parse(code).unwrap();
            for number in [
                "+74951000001",
                "+442071838750",
                "+4930123456",
                "+12025550173",
            ] {
                for format in [NumberFormat::International, NumberFormat::Dialled] {
                    let written = format.write(number, country);
                    let read = E164::read(&written, country).unwrap();
                    assert_eq!(read.as_str(), number, "{written} in {code}");
                }
            }
        }
    }
}
