//! Opening hours: `mon-fri 09:00-21:00`, also over midnight, with holidays that are closed all day.

use jiff::civil::{Date, Weekday};

use crate::ledger::clock::Wall;

/// Opening hours with holidays, in a time zone that the caller names.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {
    spans: Vec<Span>,
    holidays: Vec<Date>,
}

/// The same hours on some days of the week.
#[derive(Clone, PartialEq, Debug)]
struct Span {
    /// By days since Monday.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight; not after `from`: of the next day.
    until: u16,
}

/// Why a text is no opening time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Not days, a space and hours.
    #[error("opening hours are days and times, as in \"mon-fri 09:00-21:00\"")]
    Shape,
    /// Not a day of the week.
    #[error("\"{0}\" is no day of the week: use mon tue wed thu fri sat sun")]
    Day(String),
    /// Not a time of day.
    #[error("\"{0}\" is no time of day: write it as 09:00, from 00:00 to 24:00")]
    Time(String),
    /// Opens when it closes.
    #[error("it opens and closes at the same time: 00:00-24:00 is the whole day")]
    Empty,
    /// Not a date.
    #[error("\"{0}\" is no date: write it as 2026-01-01")]
    Date(String),
}

impl Schedule {
    /// Reads the entries of `open` and `holidays`; `check_span` and `check_date` say of one entry what is wrong with it.
    pub fn read<'a>(
        open: impl IntoIterator<Item = &'a str>,
        holidays: impl IntoIterator<Item = &'a str>,
    ) -> Result<Schedule, ScheduleError> {
        Ok(Schedule {
            spans: open.into_iter().map(read_span).collect::<Result<_, _>>()?,
            holidays: holidays
                .into_iter()
                .map(read_date)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether it is open at `at`.
    pub fn is_open(&self, at: Wall, zone: &jiff::tz::TimeZone) -> bool {
        let local = zone.to_datetime(at.timestamp());
        let today = local.date();
        if self.holidays.contains(&today) {
            return false;
        }
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let day = today.weekday();
        // Hours over midnight belong to the day on which they begin; a holiday has none.
        let carried_over = today
            .yesterday()
            .is_ok_and(|yesterday| !self.holidays.contains(&yesterday));
        self.spans.iter().any(|span| {
            let crosses = span.until <= span.from;
            (span.on(day) && minute >= span.from && (crosses || minute < span.until))
                || (crosses && carried_over && span.on(day.previous()) && minute < span.until)
        })
    }
}

impl Span {
    fn on(&self, day: Weekday) -> bool {
        self.days
            .get(day.to_monday_zero_offset() as usize)
            .copied()
            .unwrap_or(false)
    }
}

/// Checks one entry of `open`.
pub fn check_span(text: &str) -> Result<(), ScheduleError> {
    read_span(text).map(|_| ())
}

/// Checks one entry of `holidays`.
pub fn check_date(text: &str) -> Result<(), ScheduleError> {
    read_date(text).map(|_| ())
}

fn read_span(text: &str) -> Result<Span, ScheduleError> {
    let (days, hours) = text
        .trim()
        .split_once(char::is_whitespace)
        .ok_or(ScheduleError::Shape)?;
    let (from, until) = hours.trim().split_once('-').ok_or(ScheduleError::Shape)?;
    let (from, until) = (read_time(from)?, read_time(until)?);
    if from == until || from == DAY {
        return Err(ScheduleError::Empty);
    }
    Ok(Span {
        days: read_days(days)?,
        from,
        until,
    })
}

fn read_days(text: &str) -> Result<[bool; 7], ScheduleError> {
    let mut days = [false; 7];
    for piece in text.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = (read_day(first)?, read_day(last)?);
        let mut day = first;
        loop {
            if let Some(set) = days.get_mut(day) {
                *set = true;
            }
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Ok(days)
}

fn read_day(text: &str) -> Result<usize, ScheduleError> {
    let lower = text.trim().to_ascii_lowercase();
    DAYS.iter()
        .position(|(short, long)| lower == *short || lower == *long)
        .ok_or_else(|| ScheduleError::Day(text.trim().to_owned()))
}

fn read_time(text: &str) -> Result<u16, ScheduleError> {
    let bad = || ScheduleError::Time(text.trim().to_owned());
    let (hour, minute) = text.trim().split_once(':').ok_or_else(bad)?;
    let digits = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) || minute.len() != 2 {
        return Err(bad());
    }
    let hour: u16 = hour.parse().map_err(|_| bad())?;
    let minute: u16 = minute.parse().map_err(|_| bad())?;
    let time = hour * 60 + minute;
    if minute > 59 || time > DAY {
        return Err(bad());
    }
    Ok(time)
}

fn read_date(text: &str) -> Result<Date, ScheduleError> {
    text.trim()
        .parse()
        .map_err(|_| ScheduleError::Date(text.trim().to_owned()))
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

const DAYS: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(schedule: &Schedule, at: &str) -> bool {
        let zone = jiff::tz::TimeZone::get("Europe/Moscow").unwrap();
        let at: jiff::civil::DateTime = at.parse().unwrap();
        let at = zone.to_timestamp(at).unwrap();
        schedule.is_open(Wall::from_micros(at.as_microsecond()), &zone)
    }

    #[test]
    fn week_days_and_saturday() {
        let office =
            Schedule::read(["mon-fri 09:00-21:00", "sat 10:00-18:00"], ["2026-01-01"]).unwrap();
        assert!(open(&office, "2026-03-09T09:00"));
        assert!(!open(&office, "2026-03-09T08:59"));
        assert!(open(&office, "2026-03-09T20:59"));
        assert!(!open(&office, "2026-03-09T21:00"));
        assert!(open(&office, "2026-03-07T10:00"));
        assert!(!open(&office, "2026-03-08T12:00"));
        assert!(!open(&office, "2026-01-01T12:00"));
        assert!(open(&office, "2026-01-02T12:00"));
    }

    #[test]
    fn over_midnight_belongs_to_the_day_it_begins_on() {
        let night = Schedule::read(["fri,sat 22:00-06:00"], ["2026-03-14"]).unwrap();
        assert!(open(&night, "2026-03-06T23:00"));
        assert!(open(&night, "2026-03-07T05:59"));
        assert!(!open(&night, "2026-03-07T06:00"));
        assert!(open(&night, "2026-03-08T02:00"));
        assert!(!open(&night, "2026-03-09T02:00"));
        assert!(!open(&night, "2026-03-14T02:00"));
        assert!(!open(&night, "2026-03-15T02:00"));
    }

    #[test]
    fn whole_days_and_wrapped_ranges() {
        let always = Schedule::read(["mon-sun 00:00-24:00"], []).unwrap();
        assert!(open(&always, "2026-03-08T00:00") && open(&always, "2026-03-08T23:59"));
        let weekend = Schedule::read(["sat-mon 9:00-18:00"], []).unwrap();
        assert!(open(&weekend, "2026-03-08T10:00") && open(&weekend, "2026-03-09T10:00"));
        assert!(!open(&weekend, "2026-03-10T10:00"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| check_span(text).unwrap_err();
        assert_eq!(error("09:00-21:00"), ScheduleError::Shape);
        assert_eq!(
            error("mon-fre 09:00-21:00"),
            ScheduleError::Day("fre".into())
        );
        assert_eq!(
            error("mon 09:00-25:00"),
            ScheduleError::Time("25:00".into())
        );
        assert_eq!(error("mon 9-17"), ScheduleError::Time("9".into()));
        assert_eq!(error("mon 09:00-09:00"), ScheduleError::Empty);
        assert_eq!(error("mon 09:00"), ScheduleError::Shape);
        assert!(check_date("2026-02-30").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,30}", at in any::<i32>()) {
            let _ = check_date(&text);
            if let Ok(schedule) = Schedule::read([text.as_str()], []) {
                let _ = schedule.is_open(Wall::from_micros(i64::from(at) * 1_000_000), &jiff::tz::TimeZone::UTC);
            }
        }
    }
}
