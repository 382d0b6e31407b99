//! A call walked through the plan without placing it: `vats route`, and the `[[test]]` blocks of `vats check`.
//!
//! The semantics are those of DESIGN.md section 5, with people for whom one thing is fixed: busy, offline, or there and answering. Time passes as it would
//! for the caller (prompts, timeouts, waits), so that a schedule met later may have closed.

use std::time::Duration;

use super::number::E164;
use super::plan::{Conference, Destination, Hunt, Member, Menu, Plan, PlanTest};
use super::routing::{self, Entry};
use super::trace::{Step, Trace};
use crate::ledger::clock::Wall;
use crate::ledger::id::Name;

/// The call to be walked.
#[derive(Clone, PartialEq, Debug)]
pub struct DryRun {
    /// The dialled text.
    pub to: String,
    /// The calling number, or an operator's name: then what it dialled is read as an operator's.
    pub from: Option<String>,
    /// When it arrives.
    pub at: Wall,
    /// Keys in order; `-` lets a menu time out; when they run out menus time out.
    pub keys: String,
    /// Busy operators, and `forward:NAME`.
    pub busy: Vec<Name>,
    /// Operators who are not registered, and `forward:NAME` that cannot be reached.
    pub offline: Vec<Name>,
}

/// Where it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// A person takes the call.
    Person(Destination),
    /// The caller leaves a message.
    Message(Destination),
    /// The caller talks with whoever is there too.
    Conference(Destination),
    /// The caller hears himself.
    Echo,
    /// The call is ended.
    Hangup,
    /// An outside number is dialled for an operator.
    Outside(E164),
    /// The number is not ours.
    Unknown,
    /// This operator may not dial it.
    NotAllowed(String),
    /// It went round for longer than a call may last.
    Endless,
}

/// What came of a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Each rule tried, in order.
    pub steps: Vec<Step>,
    /// Where it ended.
    pub end: End,
    /// How long the caller had been there when it did.
    pub after: Duration,
}

impl End {
    /// As a test's `expect` writes it.
    pub fn written(&self) -> String {
        match self {
            End::Person(destination) | End::Message(destination) | End::Conference(destination) => {
                destination.to_string()
            }
            End::Echo => Destination::Echo.to_string(),
            End::Hangup => Destination::Hangup.to_string(),
            End::Outside(number) => number.to_string(),
            End::Unknown => UNKNOWN.to_owned(),
            End::NotAllowed(_) => "not allowed".to_owned(),
            End::Endless => "no end".to_owned(),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Person(Destination::Forward(_)) => {
                write!(f, "{}: the outside number answers", self.written())
            }
            End::Person(_) => write!(f, "{}: a person answers", self.written()),
            End::Message(_) => write!(f, "{}: the caller leaves a message", self.written()),
            End::Conference(_) => write!(f, "{}: the caller is in the conference", self.written()),
            End::Echo => f.write_str("echo: the caller hears himself"),
            End::Hangup => f.write_str("hangup: the call is ended"),
            End::Outside(number) => write!(f, "{number}: dialled outside"),
            End::Unknown => f.write_str("unknown: the number is not ours, the caller gets 404"),
            End::NotAllowed(why) => write!(f, "not allowed, the caller gets 603: {why}"),
            End::Endless => f.write_str("no end: the call goes round until server.max_call"),
        }
    }
}

/// The call of a `[[test]]`; `now` where it names no time.
pub fn of_test(plan: &Plan, test: &PlanTest, now: Wall) -> DryRun {
    DryRun {
        to: test.to.clone(),
        from: test.from.clone(),
        at: test.at.and_then(|at| wall(plan, at)).unwrap_or(now),
        keys: test.keys.clone(),
        busy: test.busy.clone(),
        offline: test.offline.clone(),
    }
}

/// A local time of the plan's zone; one that a clock change skips is taken as later by the gap.
pub fn wall(plan: &Plan, at: jiff::civil::DateTime) -> Option<Wall> {
    let timestamp = plan.server.time_zone.to_timestamp(at).ok()?;
    Some(Wall::from_micros(timestamp.as_microsecond()))
}

/// The first character of a test's `keys` that no telephone has, and that is not `-`.
pub fn not_a_key(keys: &str) -> Option<char> {
    keys.chars()
        .find(|key| !matches!(key, '0'..='9' | '*' | '#' | '-'))
}

/// Walks the call.
pub fn walk(plan: &Plan, run: &DryRun) -> Outcome {
    let mut walk = Walk {
        plan,
        run,
        keys: run.keys.chars().collect(),
        steps: Vec::new(),
        after: Duration::ZERO,
    };
    let end = walk.begin();
    Outcome {
        steps: walk.steps,
        end,
        after: walk.after,
    }
}

/// How often a caller may type the pin of a conference.
pub const PIN_ATTEMPTS: u32 = 3;
/// What `expect` says of a number that is not ours.
pub const UNKNOWN: &str = "unknown";

struct Walk<'a> {
    plan: &'a Plan,
    run: &'a DryRun,
    keys: std::collections::VecDeque<char>,
    steps: Vec<Step>,
    after: Duration,
}

enum Next {
    To(Destination),
    End(End),
}

impl<'a> Walk<'a> {
    fn begin(&mut self) -> End {
        let operator = self
            .run
            .from
            .as_deref()
            .and_then(|from| self.plan.operators.get_key_value(from));
        let entry = match operator {
            Some((operator, _)) => {
                routing::from_operator_traced(self.plan, operator, &self.run.to, &mut self.steps).0
            }
            None => self.arrive(),
        };
        match entry {
            Entry::Number(number) => match self.plan.numbers.get(&number) {
                Some(found) => self.follow(found.to.clone()),
                None => End::Unknown,
            },
            Entry::Operator(name) => self.follow(Destination::Operator(name)),
            Entry::Outbound { number, .. } => End::Outside(number),
            Entry::Echo => End::Echo,
            Entry::NotAllowed { why } => End::NotAllowed(why),
            Entry::Unknown | Entry::PickUp(_) | Entry::Slot(_) | Entry::Supervise(..) => {
                End::Unknown
            }
            Entry::Destination(to) => self.follow(to),
        }
    }

    /// From outside: over the number's own trunk, or any.
    fn arrive(&mut self) -> Entry {
        let text = &self.run.to;
        let Some(number) = E164::read(text, self.plan.server.country) else {
            self.say("numbers", false, format!("{text} is no telephone number"));
            return Entry::Unknown;
        };
        let Some(found) = self.plan.numbers.get(&number) else {
            self.say("numbers", false, format!("{number} is none of [numbers.*]"));
            return Entry::Unknown;
        };
        let page = found.landing_page.as_deref().unwrap_or("no landing page");
        let trunk = match &found.trunk {
            Some(trunk) => format!("over the trunk {trunk} only"),
            None => "over any trunk".to_owned(),
        };
        let why = format!(
            "{number} is ours ({page}, {trunk}); it goes to {}",
            found.to
        );
        self.say("numbers", true, why);
        Entry::Number(number)
    }

    fn follow(&mut self, first: Destination) -> End {
        let mut here = first;
        // Each round takes time or comes nearer to an end: the checker refuses circles without a wait.
        for _ in 0..MOST_STEPS {
            if self.after > self.plan.server.max_call {
                break;
            }
            match self.visit(&here) {
                Next::To(next) => here = next,
                Next::End(end) => return end,
            }
        }
        End::Endless
    }

    fn visit(&mut self, here: &Destination) -> Next {
        let plan = self.plan;
        let missing = Next::End(End::Hangup);
        match here {
            Destination::Menu(name) => match plan.menus.get(name) {
                Some(menu) => self.menu(here, menu),
                None => missing,
            },
            Destination::Hunt(name) => match plan.hunts.get(name) {
                Some(hunt) => self.hunt(here, hunt),
                None => missing,
            },
            Destination::Operator(name) => match plan.operators.get(name) {
                Some(operator) => self.one(here, name.as_str(), Some(&operator.otherwise)),
                None => missing,
            },
            Destination::Forward(name) => match plan.forwards.get(name) {
                Some(forward) => {
                    let id = here.to_string();
                    self.one(here, &id, forward.otherwise.as_ref())
                }
                None => missing,
            },
            Destination::Voicemail(_) => {
                self.say(here, true, "a message can be left".to_owned());
                Next::End(End::Message(here.clone()))
            }
            Destination::Announcement(name) => match plan.announcements.get(name) {
                Some(announcement) => {
                    self.pass(Duration::from_millis(announcement.prompt.duration_ms()));
                    let why = format!("the prompt is played, then {}", announcement.then);
                    self.say(here, true, why);
                    Next::To(announcement.then.clone())
                }
                None => missing,
            },
            Destination::Schedule(name) => match plan.schedules.get(name) {
                Some(choice) => {
                    let at = self.run.at + self.after;
                    let open = choice.schedule.is_open(at, &plan.server.time_zone);
                    let (word, to) = match open {
                        true => ("open", &choice.when_open),
                        false => ("closed", &choice.when_closed),
                    };
                    let local = plan.server.time_zone.to_datetime(at.timestamp());
                    let day = local.strftime("%a %Y-%m-%d %H:%M");
                    self.say(here, open, format!("it is {word} on {day}: {to}"));
                    Next::To(to.clone())
                }
                None => missing,
            },
            Destination::Conference(name) => match plan.conferences.get(name) {
                Some(conference) => self.conference(here, conference),
                None => missing,
            },
            Destination::Echo => Next::End(End::Echo),
            Destination::Hangup => {
                self.say(here, true, "the call is ended".to_owned());
                Next::End(End::Hangup)
            }
        }
    }

    fn conference(&mut self, here: &Destination, conference: &Conference) -> Next {
        let Some(pin) = &conference.pin else {
            self.say(here, true, "the caller comes in".to_owned());
            return Next::End(End::Conference(here.clone()));
        };
        for attempt in 1..=PIN_ATTEMPTS {
            let mut typed = String::new();
            while typed.len() < pin.len()
                && let Some(key) = self.keys.pop_front().filter(|key| key.is_ascii_digit())
            {
                typed.push(key);
            }
            if typed == *pin {
                self.say(
                    here,
                    true,
                    "the pin is right: the caller comes in".to_owned(),
                );
                return Next::End(End::Conference(here.clone()));
            }
            let why = format!("a wrong pin, or none (attempt {attempt} of {PIN_ATTEMPTS})");
            self.say(here, false, why);
        }
        Next::End(End::Hangup)
    }

    fn menu(&mut self, here: &Destination, menu: &'a Menu) -> Next {
        for attempt in 1..=menu.attempts {
            let key = self.keys.pop_front().filter(|key| *key != '-');
            match key {
                Some(key) => {
                    if let Some(to) = menu.keys.get(&key) {
                        self.say(here, true, format!("key {key} goes to {to}"));
                        return Next::To(to.clone());
                    }
                    let why = format!(
                        "key {key} is none of its keys (attempt {attempt} of {})",
                        menu.attempts
                    );
                    self.say(here, false, why);
                }
                None => {
                    self.pass(Duration::from_millis(menu.prompt.duration_ms()) + menu.timeout);
                    let why = format!("no key in time (attempt {attempt} of {})", menu.attempts);
                    self.say(here, false, why);
                }
            }
        }
        self.say(here, true, format!("no choice: {}", menu.otherwise));
        Next::To(menu.otherwise.clone())
    }

    fn hunt(&mut self, here: &Destination, hunt: &'a Hunt) -> Next {
        let mut present = false;
        for member in &hunt.members {
            let id = match member {
                Member::Operator(name) => name.to_string(),
                Member::Forward(name) => format!("forward:{name}"),
            };
            if named(&self.run.offline, &id) {
                self.say(here, false, format!("{id} is not registered"));
            } else if named(&self.run.busy, &id) {
                present = true;
                self.say(here, false, format!("{id} is busy"));
            } else {
                self.say(here, true, format!("{id} is available and answers"));
                return Next::End(End::Person(here.clone()));
            }
        }
        let (why, to) = match (present, &hunt.when_nobody) {
            (true, _) => {
                self.pass(hunt.wait);
                let waited = hunt.wait.as_secs_f64();
                (
                    format!("nobody became free within {waited} s"),
                    &hunt.otherwise,
                )
            }
            (false, Some(to)) => ("nobody is registered".to_owned(), to),
            (false, None) => ("nobody is registered".to_owned(), &hunt.otherwise),
        };
        self.say(here, true, format!("{why}: {to}"));
        Next::To(to.clone())
    }

    /// One operator or one outside number.
    fn one(&mut self, here: &Destination, id: &str, otherwise: Option<&Destination>) -> Next {
        let state = if named(&self.run.offline, id) {
            "cannot be reached"
        } else if named(&self.run.busy, id) {
            "is busy"
        } else {
            self.say(here, true, format!("{id} is available and answers"));
            return Next::End(End::Person(here.clone()));
        };
        match otherwise {
            Some(to) => {
                self.say(here, false, format!("{id} {state}: {to}"));
                Next::To(to.clone())
            }
            None => {
                self.say(
                    here,
                    false,
                    format!("{id} {state}, and there is no otherwise"),
                );
                Next::End(End::Hangup)
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.after = self.after.saturating_add(time);
    }

    fn say(&mut self, rule: impl ToString, matched: bool, why: String) {
        self.steps
            .tried(&rule.to_string(), matched, &|| why.clone());
    }
}

fn named(names: &[Name], id: &str) -> bool {
    names.iter().any(|name| name.as_str() == id)
}

/// More destinations than any call passes within `server.max_call`.
const MOST_STEPS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::config::tests::plan;

    const PLAN: &str = r##"
[server]
time_zone = "Europe/Moscow"
[trunks.acme]
peer = "127.0.0.1:5070"
[operators.anna]
password = "x"
otherwise = "voicemail:own"
[operators.boris]
password = "x"
[numbers."+74951000001"]
to = "menu:main"
[numbers."+74951000002"]
to = "hunt:sales"
[numbers."+74951000003"]
to = "schedule:office"
[menus.main]
prompt = "a.wav"
keys = { 1 = "hunt:sales", 9 = "menu:main" }
timeout = "10s"
attempts = 2
otherwise = "menu:main"
[hunts.sales]
members = ["anna", "boris"]
when_nobody = "announcement:closed"
otherwise = "schedule:office"
[schedules.office]
open = ["mon-fri 09:00-21:00"]
when_open = "operator:anna"
when_closed = "announcement:closed"
[announcements.closed]
prompt = "a.wav"
then = "hangup"
[voicemails.own]
prompt = "a.wav"
"##;

    fn run(to: &str, keys: &str, busy: &[&str], offline: &[&str], at: &str) -> Outcome {
        let plan = plan(PLAN);
        let names = |names: &[&str]| names.iter().map(|name| Name::from(*name)).collect();
        let run = DryRun {
            to: to.into(),
            from: None,
            at: wall(&plan, at.parse().unwrap()).unwrap(),
            keys: keys.into(),
            busy: names(busy),
            offline: names(offline),
        };
        walk(&plan, &run)
    }

    const MONDAY: &str = "2026-03-09T10:00";

    #[test]
    fn people_and_states() {
        let end = |busy: &[&str], offline: &[&str]| {
            run("+74951000002", "", busy, offline, MONDAY).end.written()
        };
        assert_eq!(end(&[], &[]), "hunt:sales");
        assert_eq!(end(&["anna"], &[]), "hunt:sales");
        assert_eq!(end(&["anna", "boris"], &[]), "voicemail:own");
        assert_eq!(end(&["boris"], &["anna"]), "voicemail:own");
        assert_eq!(end(&[], &["anna", "boris"]), "hangup");
    }

    #[test]
    fn time_passes_while_the_caller_waits() {
        // The hunt's 20 s carry the call over closing time.
        let end = |at| {
            run("+74951000002", "", &["anna", "boris"], &[], at)
                .end
                .written()
        };
        assert_eq!(end("2026-03-09T20:59:30"), "voicemail:own");
        assert_eq!(end("2026-03-09T20:59:50"), "hangup");
        let outcome = run("+74951000003", "", &[], &[], "2026-03-08T10:00");
        assert_eq!(
            (outcome.end, outcome.after),
            (End::Hangup, Duration::from_millis(10))
        );
    }

    #[test]
    fn menus_and_keys() {
        let menu = |keys| run("+74951000001", keys, &[], &[], MONDAY);
        assert_eq!(menu("1").end.written(), "hunt:sales");
        assert_eq!(menu("51").end.written(), "hunt:sales");
        assert_eq!(menu("-9--1").end.written(), "hunt:sales");
        assert_eq!(menu("-9--1").after, Duration::from_millis(3 * 10_010));
        assert_eq!(menu("").end, End::Endless);
        assert!(menu("").after > Duration::from_secs(4 * 3600));
    }

    #[test]
    fn numbers_that_are_not_ours() {
        assert_eq!(run("+74959999999", "", &[], &[], MONDAY).end, End::Unknown);
        assert_eq!(run("anna", "", &[], &[], MONDAY).end, End::Unknown);
    }
}
