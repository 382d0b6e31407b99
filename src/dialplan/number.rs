//! Telephone numbers: E.164 (ITU-T E.164), and how national forms become it.
//!
//! Lengths decide, not lists of assigned ranges: a number that a provider delivers is a number. Short codes and extensions are not.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, Region,
};

/// A number in E.164 with its plus sign, `+74951000001`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct E164(String);

/// An ISO 3166 country whose national numbers are read (`RU`: 8… = +7…).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Country([u8; 2]);

impl E164 {
    /// The number with its plus sign.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a number as written in `country`: E.164 with or without plus, international or national prefix, punctuation. `None` when it is not a telephone number.
    /// What stands behind a semicolon are parameters (RFC 3966 §3) and not looked at.
    pub fn read(text: &str, country: Country) -> Option<E164> {
        let (digits, plus) = Digits::read(text)?;
        if plus {
            return digits.international();
        }
        match country.prefixes() {
            Prefixes::Russian => digits.russian(),
            Prefixes::Other => None,
        }
        .or_else(|| digits.by_metadata(country))
    }
}

impl std::fmt::Display for E164 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for E164 {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Country {
    /// Russia, the default.
    pub const RU: Country = Country(*b"RU");

    /// The country with this two-letter code, in either case; `None` when its numbers are not known.
    pub fn parse(code: &str) -> Option<Country> {
        let &[first, second] = code.as_bytes() else {
            return None;
        };
        let country = Country([first.to_ascii_uppercase(), second.to_ascii_uppercase()]);
        PHONE_NUMBER_UTIL
            .get_country_code_for_region(country.region()?)
            .map(|_| country)
    }

    /// The two-letter code in capitals.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// What is dialled within the country for a number: digits, with its prefix for long-distance or foreign calls.
    pub fn dialled(self, number: &E164) -> String {
        let digits = number.as_str().trim_start_matches('+');
        if let (Prefixes::Russian, Some(national)) = (self.prefixes(), digits.strip_prefix('7')) {
            return format!("8{national}");
        }
        if let Prefixes::Russian = self.prefixes() {
            return format!("810{digits}");
        }
        let util = &*PHONE_NUMBER_UTIL;
        let read = util.parse(number.as_str(), None).ok();
        let written = read.zip(self.region()).map(|(read, region)| {
            if self.is_at_home(number) {
                util.format(&read, PhoneNumberFormat::National).into_owned()
            } else {
                util.format_out_of_country_calling_number(&read, region)
                    .into_owned()
            }
        });
        let only_digits = |text: String| text.chars().filter(char::is_ascii_digit).collect();
        written.map_or_else(|| digits.to_owned(), only_digits)
    }

    /// The number without the country's calling code; `None`: it is another country's.
    pub fn national_part(self, number: &E164) -> Option<&str> {
        let code = self.calling_code()?.to_string();
        number.as_str().strip_prefix('+')?.strip_prefix(&code)
    }

    fn is_at_home(self, number: &E164) -> bool {
        self.national_part(number).is_some()
    }

    fn calling_code(self) -> Option<i32> {
        PHONE_NUMBER_UTIL.get_country_code_for_region(self.region()?)
    }

    fn region(self) -> Option<Region> {
        Region::from_code(self.as_str()).ok()
    }

    fn prefixes(self) -> Prefixes {
        match &self.0 {
            b"RU" | b"KZ" => Prefixes::Russian,
            _ => Prefixes::Other,
        }
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Loads the numbering metadata now (about 10 ms), so that no call waits for it.
pub fn warm_up() {
    let _ = E164::read("020 7183 8750", Country(*b"GB"));
}

/// Which fast reading a country has.
enum Prefixes {
    /// 8 national, 8 10 international.
    Russian,
    /// By the metadata.
    Other,
}

/// The digits of a dialled text, punctuation taken out, behind a plus sign.
struct Digits {
    text: [u8; 1 + Digits::MOST],
    length: usize,
}

impl Digits {
    /// Fifteen digits and the longest international prefix (Brazil's 00 with carrier, Japan's) before them.
    const MOST: usize = 24;

    /// The digits, and whether a plus sign came first. `None`: something that no number has in it, or too much of it.
    fn read(text: &str) -> Option<(Digits, bool)> {
        let text = text.split(';').next().unwrap_or("").trim();
        let (plus, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut digits = Digits {
            text: [b'+'; 1 + Digits::MOST],
            length: 0,
        };
        for character in rest.chars() {
            match character {
                '0'..='9' => digits.push(character as u8)?,
                ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2010}'..='\u{2013}' => {}
                _ => return None,
            }
        }
        Some((digits, plus))
    }

    fn push(&mut self, digit: u8) -> Option<()> {
        *self.text.get_mut(1 + self.length)? = digit;
        self.length += 1;
        Some(())
    }

    fn bytes(&self) -> &[u8] {
        self.text.get(1..=self.length).unwrap_or(&[])
    }

    /// The digits as they are, behind a plus sign.
    fn with_plus(&self) -> &str {
        self.text
            .get(..=self.length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("+")
    }

    fn without_plus(&self) -> &str {
        self.with_plus().trim_start_matches('+')
    }

    /// The digits are an international number.
    fn international(&self) -> Option<E164> {
        e164(&[self.bytes()])
    }

    /// Russia and Kazakhstan: eleven digits behind 8 or 7, ten without, and both international prefixes.
    fn russian(&self) -> Option<E164> {
        match self.bytes() {
            [b'8', b'1', b'0', rest @ ..] | [b'0', b'0', rest @ ..] => e164(&[rest]),
            [b'7' | b'8', rest @ ..] if rest.len() == 10 => e164(&[b"7", rest]),
            rest @ [b'3' | b'4' | b'7' | b'8' | b'9', ..] if rest.len() == 10 => {
                e164(&[b"7", rest])
            }
            _ => None,
        }
    }

    /// Any country, by libphonenumber's metadata: the reading with a possible length. When both the national one and E.164 without its plus sign have one,
    /// the national one, unless only the other is in use.
    fn by_metadata(&self, country: Country) -> Option<E164> {
        if self.length < 7 {
            return None;
        }
        let util = &*PHONE_NUMBER_UTIL;
        let possible = |number: &PhoneNumber| {
            matches!(
                util.is_possible_number_with_reason(number),
                Ok(NumberLengthType::IsPossible)
            )
        };
        let national = country
            .region()
            .and_then(|region| util.parse(self.without_plus(), Some(region)).ok())
            .filter(possible);
        // No E.164 number begins with 0, so there is nothing to weigh.
        if self.bytes().first() == Some(&b'0') {
            return national.as_ref().and_then(written);
        }
        let international = util.parse(self.with_plus(), None).ok().filter(possible);
        match (national, international) {
            (Some(number), Some(other)) => {
                if !util.is_valid_number(&number) && util.is_valid_number(&other) {
                    written(&other)
                } else {
                    written(&number)
                }
            }
            (Some(number), None) | (None, Some(number)) => written(&number),
            (None, None) => None,
        }
    }
}

/// The pieces as one number, if they have an E.164 number's length and do not begin with 0.
fn e164(pieces: &[&[u8]]) -> Option<E164> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let first = pieces.iter().find_map(|piece| piece.first())?;
    if !(7..=15).contains(&length) || *first == b'0' {
        return None;
    }
    let mut number = String::with_capacity(1 + length);
    number.push('+');
    number.extend(pieces.iter().copied().flatten().map(|&byte| byte as char));
    Some(E164(number))
}

fn written(number: &PhoneNumber) -> Option<E164> {
    let mut text = format!("{}", number.country_code);
    text.push_str(&number.get_national_significant_number());
    e164(&[text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, country: &str) -> Option<String> {
        E164::read(text, Country::parse(country).unwrap()).map(|number| number.0)
    }

    #[test]
    fn russian_forms_are_one_number() {
        for form in [
            "+74951000001",
            "84951000001",
            "74951000001",
            "8 (495) 100-00-01",
            "+7 495 100 00 01",
            "4951000001",
            "0074951000001",
            "81074951000001",
            " 8-495-100.00.01 ",
            "+74951000001;npdi",
        ] {
            assert_eq!(read(form, "RU").as_deref(), Some("+74951000001"), "{form}");
        }
        assert_eq!(read("+79990000000", "RU").as_deref(), Some("+79990000000"));
        assert_eq!(
            read("8 10 44 20 7183 8750", "RU").as_deref(),
            Some("+442071838750")
        );
        assert_eq!(read("442071838750", "RU").as_deref(), Some("+442071838750"));
    }

    #[test]
    fn a_plus_is_always_e164() {
        for text in ["+15550100", "+74951000001", "+123456789012345"] {
            assert_eq!(read(text, "RU").as_deref(), Some(text));
            assert_eq!(read(text, "US").as_deref(), Some(text));
        }
    }

    #[test]
    fn national_forms_elsewhere() {
        assert_eq!(
            read("020 7183 8750", "GB").as_deref(),
            Some("+442071838750")
        );
        assert_eq!(
            read("0044 20 7183 8750", "DE").as_deref(),
            Some("+442071838750")
        );
        assert_eq!(read("030 12345678", "DE").as_deref(), Some("+493012345678"));
        assert_eq!(
            read("(202) 555-0173", "US").as_deref(),
            Some("+12025550173")
        );
        assert_eq!(
            read("1 202 555 0173", "us").as_deref(),
            Some("+12025550173")
        );
        assert_eq!(
            read("06 12 34 56 78", "FR").as_deref(),
            Some("+33612345678")
        );
        assert_eq!(read("06 6982 0000", "IT").as_deref(), Some("+390669820000"));
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            "+",
            "101",
            "112",
            "*72",
            "#31#",
            "anna",
            "+0123456789",
            "+123456",
            "8800",
            "0000",
            "+1234567890123456",
            "12345678901234567890123456789",
            "+7495100000x",
            "1-800-FLOWERS",
        ] {
            assert_eq!(read(text, "RU"), None, "{text}");
        }
    }

    #[test]
    fn countries() {
        assert_eq!(Country::parse("ru"), Some(Country::RU));
        for code in ["", "R", "XX", "RUS", "ZZ", "Я", "é"] {
            assert_eq!(Country::parse(code), None, "{code}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}", number in "[+0-9 ()-]{0,30}") {
            for country in ["RU", "US", "DE", "IT", "BR", "AR"] {
                let country = Country::parse(country).unwrap();
                let _ = E164::read(&text, country);
                if let Some(read) = E164::read(&number, country) {
                    prop_assert_eq!(E164::read(read.as_str(), country), Some(read));
                }
            }
        }
    }
}
