//! Keys by INFO: `application/dtmf-relay` (`Signal=5`) and `application/dtmf` (`5`).

use crate::sip::wire::Message;

/// The key that an INFO carries, if it carries one.
pub fn key(message: &Message) -> Option<char> {
    if let Some(body) = message.body_of("application/dtmf-relay") {
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("signal")
                .then(|| value.trim().to_owned())
        })?;
        return single_key(&value);
    }
    let body = message.body_of("application/dtmf")?;
    single_key(String::from_utf8_lossy(&body).trim())
}

fn single_key(text: &str) -> Option<char> {
    match text {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => {
            let mut chars = text.chars();
            let key = chars.next()?.to_ascii_uppercase();
            (chars.next().is_none() && matches!(key, '0'..='9' | '*' | '#' | 'A'..='D'))
                .then_some(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_events() {
        assert_eq!(single_key("5"), Some('5'));
        assert_eq!(single_key("11"), Some('#'));
        assert_eq!(single_key("x"), None);
        assert_eq!(single_key("55"), None);
    }
}
