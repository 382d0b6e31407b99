//! `[menus.*]`, `[hunts.*]`, `[schedules.*]`, `[forwards.*]`, `[announcements.*]`, `[voicemails.*]`, `[conferences.*]`.

use std::collections::BTreeMap;

use crate::audio::clip::Clip;
use crate::audio::tone;
use crate::dialplan::config::checker::Checker;
use crate::dialplan::config::entry::Entry;
use crate::dialplan::config::problem::nearest;
use crate::dialplan::config::tree::Value;
use crate::dialplan::config::values::Wrong;
use crate::dialplan::number::Country;
use crate::dialplan::plan::{
    Announcement, Conference, Destination, Forward, Hunt, Member, Menu, ScheduledChoice, Strategy,
    Voicemail,
};
use crate::dialplan::schedule::{Schedule, check_date, check_span};
use crate::ledger::id::Name;

pub(super) fn menu(entry: &Entry<'_>) -> Option<Menu> {
    let prompt = entry.sound("prompt");
    let keys = keypad(entry);
    let timeout = entry.duration("timeout");
    let attempts = entry.integer("attempts");
    let otherwise = entry.destination("otherwise");
    Some(Menu {
        name: Name::from(entry.name),
        prompt: prompt?,
        keys: keys?,
        timeout: timeout?,
        attempts: attempts?,
        otherwise: otherwise?,
    })
}

fn keypad(entry: &Entry<'_>) -> Option<BTreeMap<char, Destination>> {
    let table = entry.free_table("keys")?;
    let mut keys = BTreeMap::new();
    for item in &table.0 {
        let mut characters = item.key.chars();
        let key = match (characters.next(), characters.next()) {
            (Some(key @ ('0'..='9' | '*' | '#')), None) => Some(key),
            _ => {
                let wrong = Wrong::new(format!("a telephone has no key \"{}\"", item.key))
                    .hint("the keys are 0 to 9, \"*\" and \"#\"");
                entry.check.error(item.at, wrong);
                None
            }
        };
        let Value::Text(text) = &item.node.value else {
            let wrong = Wrong::new(format!(
                "a key takes a destination, not {}",
                item.node.value.describe()
            ));
            entry.check.error(item.node.at, wrong);
            continue;
        };
        match (key, entry.check.destination(text)) {
            (Some(key), Ok(to)) => {
                keys.insert(key, to);
            }
            (None, Ok(_)) => {}
            (_, Err(wrong)) => entry.check.error(item.node.at, wrong),
        }
    }
    if table.0.is_empty() {
        let wrong = Wrong::new(format!("the menu {} has no keys", entry.name))
            .hint("add one, such as keys = { 1 = \"hunt:sales\" }, or use an announcement");
        entry.check.error(entry.place("keys"), wrong);
    }
    (keys.len() == table.0.len()).then_some(keys)
}

pub(super) fn hunt(entry: &Entry<'_>) -> Option<Hunt> {
    let members = entry.some("members", |text| member(entry.check, text));
    let strategy = entry.word("strategy").map(|word| match word.as_str() {
        "linear" => Strategy::Linear,
        _ => Strategy::RingAll,
    });
    let ring = entry.duration("ring");
    let wait = entry.duration("wait");
    let music = entry.sound("music");
    let when_nobody = entry.destination("when_nobody");
    let otherwise = entry.destination("otherwise");
    Some(Hunt {
        name: Name::from(entry.name),
        members: members?,
        strategy: strategy?,
        ring: ring?,
        wait: wait?,
        music,
        when_nobody,
        otherwise: otherwise?,
    })
}

/// An operator's name, bare or behind `operator:`, or `forward:NAME`.
pub(super) fn member(check: &Checker<'_>, text: &str) -> Result<Member, Wrong> {
    let (kind, name) = text.split_once(':').unwrap_or(("operator", text));
    match kind {
        "operator" => check
            .name("operators", name)
            .map(Member::Operator)
            .map_err(|wrong| match check.defined("forwards", name) {
                Some(_) => Wrong {
                    hint: Some(format!("did you mean \"forward:{name}\"?")),
                    ..wrong
                },
                None => wrong,
            }),
        "forward" => {
            check
                .name("forwards", name)
                .map(Member::Forward)
                .map_err(|wrong| match nearest(name, check.names_of("forwards")) {
                    Some(near) => Wrong {
                        hint: Some(format!("did you mean \"forward:{near}\"?")),
                        ..wrong
                    },
                    None => wrong,
                })
        }
        _ => Err(Wrong::new(format!("\"{text}\" cannot be rung"))
            .hint("members are operators' names and \"forward:NAME\"")),
    }
}

pub(super) fn schedule(entry: &Entry<'_>) -> Option<ScheduledChoice> {
    let hint = "write it as \"mon-fri 09:00-21:00\"";
    let open = entry.some("open", |text| {
        check_span(text)
            .map(|()| text.to_owned())
            .map_err(|error| Wrong::new(error.to_string()).hint(hint))
    });
    let holidays = entry.list("holidays", |text| {
        check_date(text)
            .map(|()| text.to_owned())
            .map_err(|error| Wrong::new(error.to_string()))
    });
    let when_open = entry.destination("when_open");
    let when_closed = entry.destination("when_closed");
    let (open, holidays) = (open?, holidays?);
    let schedule = Schedule::read(
        open.iter().map(String::as_str),
        holidays.iter().map(String::as_str),
    );
    Some(ScheduledChoice {
        name: Name::from(entry.name),
        schedule: schedule.ok()?,
        when_open: when_open?,
        when_closed: when_closed?,
    })
}

pub(super) fn forward(entry: &Entry<'_>, country: Country) -> Option<Forward> {
    let to = entry.number("to", country);
    let trunk = entry.of("trunk");
    let ring = entry.duration("ring");
    let otherwise = entry.destination("otherwise");
    Some(Forward {
        name: Name::from(entry.name),
        to: to?,
        trunk: trunk?,
        ring: ring?,
        otherwise,
    })
}

pub(super) fn announcement(entry: &Entry<'_>) -> Option<Announcement> {
    let prompt = entry.sound("prompt");
    let then = entry.destination("then");
    Some(Announcement {
        name: Name::from(entry.name),
        prompt: prompt?,
        then: then?,
    })
}

pub(super) fn voicemail(entry: &Entry<'_>) -> Option<Voicemail> {
    let prompt = entry.sound("prompt");
    let max = entry.duration("max");
    let lamp = entry.list("lamp", |text| entry.check.name("operators", text));
    Some(Voicemail {
        name: Name::from(entry.name),
        prompt: prompt?,
        max: max?,
        lamp: lamp?,
    })
}

pub(super) fn conference(entry: &Entry<'_>) -> Option<Conference> {
    let prompt = entry.sound("prompt");
    let pin = entry.read("pin", |text| {
        let is_one = (4..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if is_one {
            return Ok(text.to_owned());
        }
        Err(Wrong::new("this is no pin").hint("write four to eight digits, such as \"4711\""))
    });
    let max_members = entry.integer("max_members");
    let beep = entry.boolean("beep");
    let extension = entry.read("extension", super::people::extension);
    let record = entry.boolean("record");
    if entry.has("pin") && !entry.has("prompt") {
        let wrong =
            Wrong::new("nothing asks the caller for the pin").hint("add a prompt that does");
        entry.check.error(entry.place("pin"), wrong);
    }
    let tones = beep?.then(|| {
        let clip = |name: &str, rising| Clip::from_samples(name, &tone::notes(rising));
        (clip("somebody comes", true), clip("somebody leaves", false))
    });
    Some(Conference {
        name: Name::from(entry.name),
        prompt,
        pin,
        max_members: max_members?,
        tones,
        extension,
        record: record?,
    })
}
