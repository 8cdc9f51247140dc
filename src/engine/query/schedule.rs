//! Cron schedules: `0 3 * * 1-5`, `@daily`, `TZ=Europe/Berlin 30 2 * * *`.

use std::fmt;

use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::suggest;

/// A compiled schedule: minute, hour, day of the month, month and day of the week, in UTC unless it names a time zone.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// crontab has five fields.
    #[error(
        "schedule `{schedule}` has {count} fields; write five: minute, hour, day of the month, month, day of the week"
    )]
    Fields {
        /// What was written.
        schedule: String,
        /// The number of fields.
        count: usize,
    },
    /// One field is wrong.
    #[error(
        "schedule `{schedule}`: the {field} is `{text}`: {why}; it may be {allowed}, with `*`, `,`, `-` and `/`"
    )]
    Field {
        /// What was written.
        schedule: String,
        /// Which field.
        field: &'static str,
        /// What is in it.
        text: String,
        /// What is wrong with it.
        why: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A name that crontab does not know.
    #[error(
        "schedule `{0}` is unknown; there are @yearly, @monthly, @weekly, @daily and @hourly; for a fixed interval use `resyncPeriod`"
    )]
    Nickname(String),
    /// There is no such time zone.
    #[error("schedule `{schedule}`: there is no time zone `{zone}`; {hint}")]
    Zone {
        /// What was written.
        schedule: String,
        /// The name of the time zone.
        zone: String,
        /// A similar one, or what they look like.
        hint: String,
    },
    /// There is no such day.
    #[error("schedule `{0}` never fires: no month of those has such a day")]
    Never(String),
}

/// What each field is and what it may be.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
];

impl Schedule {
    /// Compiles a schedule: five fields as in a crontab or a name such as `@daily`, behind `TZ=` or `CRON_TZ=` and the
    /// name of a time zone where it is not UTC.
    ///
    /// # Errors
    /// Which field is wrong and why; also where no day ever fits, such as 30 February.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let (zone, fields) = zone(text)?;
        let expression = if fields.starts_with('@') { nickname(fields, text)? } else { fields };
        let cron = match parser().parse(expression) {
            _ if expression.split_whitespace().count() != FIELDS.len() => {
                let count = expression.split_whitespace().count();
                return Err(ScheduleError::Fields { schedule: text.to_owned(), count });
            }
            Err(error) => return Err(field_error(text, expression, &error)),
            Ok(cron) => cron,
        };
        let schedule = Self { text: text.to_owned(), cron, zone };
        // There is nothing special about this time: the calendar repeats long before the search gives up.
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }

    /// When it fires next, later than `now`. `None` only some thousand years from now.
    ///
    /// Where clocks go forward, a fixed time that they leave out fires when they have gone forward; where they go back,
    /// a fixed time that comes twice fires once. A schedule with `*` or steps in its minute or hour follows the clock.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok()?;
        Some(next.timestamp())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schedule").field(&self.text).finish()
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// The time zone before a schedule and the rest.
fn zone(text: &str) -> Result<(TimeZone, &str), ScheduleError> {
    let trimmed = text.trim();
    let Some(rest) = trimmed.strip_prefix("TZ=").or_else(|| trimmed.strip_prefix("CRON_TZ=")) else {
        return Ok((TimeZone::UTC, trimmed));
    };
    let (name, fields) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    // The compiled-in rules: the same on every machine, and no file is read.
    let zones = TimeZoneDatabase::bundled();
    if let Ok(zone) = zones.get(name) {
        return Ok((zone, fields.trim_start()));
    }
    let names: Vec<String> = zones.available().map(|zone| zone.as_str().to_owned()).collect();
    let hint = match suggest::closest(name, names.iter().map(String::as_str)) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "write for example `Europe/Berlin`".to_owned(),
    };
    Err(ScheduleError::Zone { schedule: text.to_owned(), zone: name.to_owned(), hint })
}

fn nickname(name: &str, text: &str) -> Result<&'static str, ScheduleError> {
    match name {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        _ => Err(ScheduleError::Nickname(text.to_owned())),
    }
}

/// Says which field is wrong: the first that is wrong among stars.
fn field_error(text: &str, expression: &str, error: &CronError) -> ScheduleError {
    let fields = expression.split_whitespace();
    let wrong = FIELDS.into_iter().zip(fields).enumerate().find_map(|(index, (kind, field))| {
        let mut alone = ["*"; FIELDS.len()];
        alone[index] = field;
        let error = parser().parse(&alone.join(" ")).err()?;
        Some((kind, field, reason(&error)))
    });
    let ((field, allowed), written, why) =
        wrong.unwrap_or((("whole", "five fields"), expression, reason(error)));
    ScheduleError::Field { schedule: text.to_owned(), field, text: written.to_owned(), why, allowed }
}

/// The parser's sentence in our form.
fn reason(error: &CronError) -> String {
    let message = match error {
        CronError::IllegalCharacters(_) => "it has a character that does not belong there".to_owned(),
        CronError::InvalidPattern(why) | CronError::ComponentError(why) => why.clone(),
        other => other.to_string(),
    };
    let mut chars = message.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The next times, as UTC.
    fn nexts(schedule: &str, now: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule).unwrap_or_else(|error| panic!("{error}"));
        let mut now: Timestamp = now.parse().unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            now = schedule.next_after(now).unwrap();
            times.push(now.to_string());
        }
        times
    }

    #[test]
    fn fires_strictly_after_now() {
        for (schedule, now, expected) in [
            ("* * * * *", "2026-01-01T10:00:00Z", "2026-01-01T10:01:00Z"),
            ("* * * * *", "2026-01-01T10:00:00.5Z", "2026-01-01T10:01:00Z"),
            ("* * * * *", "2026-01-01T09:59:59.999Z", "2026-01-01T10:00:00Z"),
            ("*/15 * * * *", "2026-01-01T10:16:00Z", "2026-01-01T10:30:00Z"),
            ("0 3 * * 1-5", "2026-01-02T03:00:00Z", "2026-01-05T03:00:00Z"),
            ("0 3 * * mon,wed", "2026-01-05T03:00:00Z", "2026-01-07T03:00:00Z"),
            ("0 3 * jan,MAR *", "2026-01-31T03:00:00Z", "2026-03-01T03:00:00Z"),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            // Either day, as in a crontab.
            ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"),
            ("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"),
            ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@annually", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@midnight", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
            (" TZ=Asia/Tokyo  0 9 * * * ", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("CRON_TZ=America/New_York @daily", "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"),
            ("TZ=UTC 0 9 * * *", "2026-01-01T00:00:00Z", "2026-01-01T09:00:00Z"),
        ] {
            assert_eq!(nexts(schedule, now, 1), [expected], "{schedule} after {now}");
        }
    }

    #[test]
    fn daylight_saving_time_neither_loses_nor_doubles_a_fixed_time() {
        for (schedule, now, expected) in [
            // On 2026-03-29 at 02:00 Berlin's clocks go to 03:00, which is 01:00 UTC.
            (
                "30 2 * * *",
                "2026-03-28T00:00:00Z",
                &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"][..],
            ),
            ("30 3 * * *", "2026-03-28T12:00:00Z", &["2026-03-29T01:30:00Z"]),
            (
                "30 * * * *",
                "2026-03-29T00:00:00Z",
                &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"],
            ),
            ("*/30 2 * * *", "2026-03-28T01:30:00Z", &["2026-03-30T00:00:00Z"]),
            // On 2026-10-25 at 03:00 they go back to 02:00, which is 01:00 UTC.
            ("30 2 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
            ("30 2 * * *", "2026-10-25T01:00:00Z", &["2026-10-26T01:30:00Z"]),
            (
                "30 * * * *",
                "2026-10-25T00:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
            ),
            ("0 3 * * *", "2026-10-24T12:00:00Z", &["2026-10-25T02:00:00Z"]),
        ] {
            let found = nexts(&format!("TZ=Europe/Berlin {schedule}"), now, expected.len());
            assert_eq!(found, expected, "{schedule} after {now}");
        }
    }

    #[test]
    fn errors_say_which_field_and_what_to_do() {
        let five = "write five: minute, hour, day of the month, month, day of the week";
        for (schedule, expected) in [
            ("", format!(" has 0 fields; {five}")),
            ("* * * *", format!(" has 4 fields; {five}")),
            ("0 * * * * *", format!(" has 6 fields; {five}")),
            ("TZ=UTC", format!(" has 0 fields; {five}")),
            ("60 * * * *", ": the minute is `60`: number out of bounds; it may be 0 to 59, with `*`, `,`, `-` and `/`".to_owned()),
            ("0 a * * *", ": the hour is `a`: it has a character that does not belong there; it may be 0 to 23, with `*`, `,`, `-` and `/`".to_owned()),
            ("0 0 30 2 *", " never fires: no month of those has such a day".to_owned()),
            ("0 0 31 4,6 *", " never fires: no month of those has such a day".to_owned()),
            ("@every 1h", " is unknown; there are @yearly, @monthly, @weekly, @daily and @hourly; for a fixed interval use `resyncPeriod`".to_owned()),
            ("TZ=Europe/Berln * * * * *", ": there is no time zone `Europe/Berln`; did you mean `Europe/Berlin`?".to_owned()),
            ("TZ=Nowhere! * * * * *", ": there is no time zone `Nowhere!`; write for example `Europe/Berlin`".to_owned()),
        ] {
            let error = Schedule::parse(schedule).unwrap_err().to_string();
            assert_eq!(error, format!("schedule `{schedule}`{expected}"));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*", likely in "(TZ=UTC |@)?[0-9*/,L#W?+ -]{0,16}") {
            for text in [text, likely] {
                if let Ok(schedule) = Schedule::parse(&text) {
                    let now = Timestamp::UNIX_EPOCH;
                    prop_assert!(schedule.next_after(now).is_some_and(|next| next > now));
                }
            }
        }

        #[test]
        fn five_numbers_fire_when_they_say(
            minute in 0_i8..60, hour in 0_i8..24, day in 1_i8..29, month in 1_i8..13, now in 0_i64..4_000_000_000,
        ) {
            let schedule = Schedule::parse(&format!("{minute} {hour} {day} {month} *")).unwrap();
            let now = Timestamp::from_second(now).unwrap();
            let next = schedule.next_after(now).unwrap();
            let found = next.to_zoned(TimeZone::UTC);
            prop_assert_eq!((found.minute(), found.hour(), found.day(), found.month()), (minute, hour, day, month));
            prop_assert!(next > now && next.duration_since(now).as_hours() <= 366 * 24);
        }
    }
}
