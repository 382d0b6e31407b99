//! Keys to be pressed in a call: `1@2s` is key 1 two seconds after the answer, `1@2s,#@5s` a second one later.

use std::time::Duration;

/// Keys and when each is pressed, counted from the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script {
    keys: Vec<(Duration, char)>,
}

/// Why a script does not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no key with a time; write KEY@TIME such as 1@2s, several with commas: 1@2s,#@5s")]
pub struct ScriptError(String);

impl Script {
    /// Reads `KEYS@TIME` items separated by commas. Several keys before one `@` follow each other by 300 ms.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let mut keys = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let wrong = || ScriptError(item.to_owned());
            let (pressed, at) = item.split_once('@').ok_or_else(wrong)?;
            let mut at = duration(at.trim()).ok_or_else(wrong)?;
            if pressed.is_empty() {
                return Err(wrong());
            }
            for key in pressed.chars().map(|key| key.to_ascii_uppercase()) {
                if !matches!(key, '0'..='9' | '*' | '#' | 'A'..='D') {
                    return Err(wrong());
                }
                keys.push((at, key));
                at += BETWEEN_KEYS;
            }
        }
        keys.sort_by_key(|(at, _)| *at);
        Ok(Script { keys })
    }

    /// The next key that is due `since` the answer.
    pub fn due(&mut self, since: Duration) -> Option<char> {
        let (at, key) = *self.keys.first()?;
        (at <= since).then(|| {
            self.keys.remove(0);
            key
        })
    }

    /// When the next key is due, counted from the answer.
    pub fn next_at(&self) -> Option<Duration> {
        self.keys.first().map(|(at, _)| *at)
    }
}

/// Reads `500ms`, `3s`, `2m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" | "" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

const BETWEEN_KEYS: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_of_their_times() {
        let mut script = Script::parse("#@5s, 12@2s").unwrap();
        assert_eq!(script.due(Duration::from_secs(1)), None);
        assert_eq!(script.due(Duration::from_secs(2)), Some('1'));
        assert_eq!(script.next_at(), Some(Duration::from_millis(2300)));
        assert_eq!(script.due(Duration::from_secs(9)), Some('2'));
        assert_eq!(script.due(Duration::from_secs(9)), Some('#'));
        assert_eq!(script.due(Duration::from_secs(9)), None);
    }

    #[test]
    fn a_wrong_item_is_named() {
        assert!(
            Script::parse("x@1s")
                .unwrap_err()
                .to_string()
                .contains("x@1s")
        );
        assert!(Script::parse("1@soon").is_err());
        assert!(Script::parse("1").is_err());
    }

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("10"), Some(Duration::from_secs(10)));
        assert_eq!(duration("2d"), None);
        assert_eq!(duration("-1s"), None);
    }
}
