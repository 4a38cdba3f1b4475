//! Durations as .NET writes them: `[days.]hours:minutes:seconds[.fraction]`; numbers are seconds.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(f64),
    Text(String),
}

#[expect(clippy::ref_option, reason = "it is what serde calls")]
pub(super) fn serialize<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_str(&text(*duration)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let duration = match Option::<Written>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Written::Seconds(seconds)) => Duration::try_from_secs_f64(seconds).ok(),
        Some(Written::Text(text)) => parse(&text),
    };
    let wrong = || D::Error::custom("not a duration such as \"00:01:30\", or a number of seconds");
    duration.ok_or_else(wrong).map(Some)
}

fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / DAY, seconds % DAY / HOUR);
    let (minutes, seconds) = (seconds % HOUR / MINUTE, seconds % MINUTE);
    let mut text = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if days > 0 {
        text = format!("{days}.{text}");
    }
    let nanos = duration.subsec_nanos();
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text = format!("{text}.{}", fraction.trim_end_matches('0'));
    }
    text
}

fn parse(text: &str) -> Option<Duration> {
    let digits = |text: &str| -> Option<u64> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok())?
    };
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let fits = fraction.len() <= 9 && !fraction.is_empty();
    let nanos = digits(&format!("{fraction:0<9}")).filter(|_| fits)?;
    let (hours, minutes, seconds) = (digits(hours)?, digits(minutes)?, digits(seconds)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = digits(days)?.checked_mul(DAY)?;
    let whole = days.checked_add(hours * HOUR + minutes * MINUTE + seconds)?;
    Some(Duration::new(whole, u32::try_from(nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_dotnet_does_and_read_back() {
        for (duration, expected) in [
            (Duration::ZERO, "00:00:00"),
            (Duration::from_secs(100), "00:01:40"),
            (Duration::from_millis(2_500), "00:00:02.5"),
            (Duration::new(6 * DAY + HOUR, 1), "6.01:00:00.000000001"),
            (Duration::MAX, "213503982334601.07:00:15.999999999"),
        ] {
            assert_eq!(text(duration), expected);
            assert_eq!(parse(expected), Some(duration));
        }
        assert_eq!(
            parse("00:00:01.2500000"),
            Some(Duration::from_millis(1_250))
        );
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "1:2",
            "24:00:00",
            "00:60:00",
            "00:00:60",
            "-00:00:01",
            "00:00:01.",
            "00:00:00.1234567891",
            "a:b:c",
            "999999999999999999999.00:00:00",
            "+1:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
