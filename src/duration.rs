//! Durations in Go's syntax, as Kubernetes and its users write them: `300ms`, `1m30s`, `1.5h`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A duration of zero or more, written in Go's syntax with the units `ns`, `us`, `ms`, `s`, `m` and `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is empty; write for example `30s`")]
    Empty,
    /// Less than zero makes no sense anywhere in this program.
    #[error("duration `{0}` is negative")]
    Negative(String),
    /// A number without a unit.
    #[error("duration `{0}` has no unit; write for example `{0}s`")]
    NoUnit(String),
    /// A unit that Go does not know.
    #[error("duration `{text}` has the unknown unit `{unit}`; units are ms, s, m and h")]
    UnknownUnit {
        /// What was written.
        text: String,
        /// The unit in it.
        unit: String,
    },
    /// Anything else.
    #[error("`{0}` is not a duration; write for example `1m30s`")]
    Malformed(String),
    /// Beyond what the program can count.
    #[error("duration `{0}` is too long")]
    TooLong(String),
}

impl GoDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let whole = || text.to_owned();
        match text {
            "" => return Err(DurationError::Empty),
            "0" => return Ok(Self::default()),
            _ if text.starts_with('-') => return Err(DurationError::Negative(whole())),
            _ => {}
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        let mut total = 0.0_f64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let value: f64 = number.parse().map_err(|_| DurationError::Malformed(whole()))?;
            let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, next) = tail.split_at(letters);
            total += value
                * match unit {
                    "" => return Err(DurationError::NoUnit(whole())),
                    "ns" => 1e-9,
                    "us" | "µs" | "μs" => 1e-6,
                    "ms" => 1e-3,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3600.0,
                    _ => return Err(DurationError::UnknownUnit { text: whole(), unit: unit.to_owned() }),
                };
            rest = next;
        }
        Duration::try_from_secs_f64(total).map(Self).map_err(|_| DurationError::TooLong(whole()))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let nanos = self.0.subsec_nanos();
        if seconds == 0 && nanos == 0 {
            return f.write_str("0s");
        }
        if seconds == 0 && nanos.is_multiple_of(1_000_000) {
            return write!(f, "{}ms", nanos / 1_000_000);
        }
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if nanos > 0 {
            let fraction = format!("{nanos:09}");
            write!(f, "{seconds}.{}s", fraction.trim_end_matches('0'))?;
        } else if seconds > 0 {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // The pattern makes the API server refuse nonsense at admission instead of a controller choking on it later.
        schemars::json_schema!({"type": "string", "pattern": r"^(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("300ms", 300),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("2h45m", 9_900_000),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().0.as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_hint() {
        for (text, message) in [
            ("", "a duration is empty; write for example `30s`"),
            ("30", "duration `30` has no unit; write for example `30s`"),
            ("-5s", "duration `-5s` is negative"),
            ("1d", "duration `1d` has the unknown unit `d`; units are ms, s, m and h"),
            ("soon", "`soon` is not a duration; write for example `1m30s`"),
            ("999999999999999999999h", "duration `999999999999999999999h` is too long"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["300ms", "1m30s", "1h30m", "0s", "10m", "2.5s", "24h"] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }
}
