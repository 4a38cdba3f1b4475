//! Which instances a request is about, of many: `runtimeStatus`, `createdTimeFrom`, `createdTimeTo`,
//! `instanceIdPrefix`.

use std::ops::Bound;
use std::time::SystemTime;

use durable_core::{InstanceQuery, RuntimeStatus};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::ApiError;
use crate::query::Query;

/// In the order of the numbers that stand for them, too.
const STATUSES: [(&str, RuntimeStatus); 8] = [
    ("Running", RuntimeStatus::Running),
    ("Completed", RuntimeStatus::Completed),
    ("ContinuedAsNew", RuntimeStatus::ContinuedAsNew),
    ("Failed", RuntimeStatus::Failed),
    ("Canceled", RuntimeStatus::Canceled),
    ("Terminated", RuntimeStatus::Terminated),
    ("Pending", RuntimeStatus::Pending),
    ("Suspended", RuntimeStatus::Suspended),
];

pub(super) fn of(query: &Query) -> Result<InstanceQuery, ApiError> {
    let from = time(query, "createdTimeFrom")?;
    let to = time(query, "createdTimeTo")?;
    let bound = |time: Option<SystemTime>| time.map_or(Bound::Unbounded, Bound::Included);
    let mut asked = InstanceQuery::new().created((bound(from), bound(to)));
    // To purge, too: the original passes it over there, and purges what was not meant.
    if let Some(prefix) = query.get("instanceidprefix") {
        asked = asked.id_prefix(prefix);
    }
    for status in statuses(query).unwrap_or_default() {
        asked = asked.status(status);
    }
    Ok(asked)
}

/// The statuses that are named, of which unknown ones are left out, as in Durable Functions; nothing
/// if no status is named.
pub(super) fn statuses(query: &Query) -> Option<Vec<RuntimeStatus>> {
    let names = query.get("runtimestatus")?;
    let known = |name: &str| {
        let by_name = STATUSES.iter().find(|(known, _)| *known == name);
        let by_number = || STATUSES.get(name.parse::<usize>().ok()?);
        by_name.or_else(by_number).map(|(_, status)| *status)
    };
    Some(names.split(',').map(str::trim).filter_map(known).collect())
}

/// A moment, of a name as it is documented: with an offset, or else in UTC.
pub(super) fn time(query: &Query, name: &str) -> Result<Option<SystemTime>, ApiError> {
    let Some(text) = query.get(&name.to_lowercase()) else {
        return Ok(None);
    };
    let text = text.trim();
    // A `+` in a query is a space, also where a client has forgotten to encode it.
    let parsed = parse(text).or_else(|| parse(&text.replace(' ', "+")));
    match parsed {
        Some(time) => Ok(Some(time)),
        None => Err(ApiError::BadRequest(format!("`{name}` is not a time"))),
    }
}

/// With zeros before the year if it has fewer than four digits: clients in Python leave them out.
fn parse(text: &str) -> Option<SystemTime> {
    let year = text.bytes().take_while(u8::is_ascii_digit).count();
    let zeros = if year == 0 {
        0
    } else {
        4_usize.saturating_sub(year)
    };
    let text = &format!("{}{text}", "0".repeat(zeros));
    let utc = || {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let time = text.parse().ok().or_else(utc)?;
    Some(SystemTime::from(time))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text))
    }

    #[test]
    fn statuses_are_names_or_numbers_and_unknown_ones_are_left_out() {
        use RuntimeStatus::{Completed, Failed, Running, Suspended};
        for (text, expected) in [
            ("", None),
            ("runtimeStatus=", None),
            ("runtimeStatus=Completed", Some(vec![Completed])),
            (
                "runtimeStatus=Completed,Failed",
                Some(vec![Completed, Failed]),
            ),
            (
                "RUNTIMESTATUS=Completed&runtimestatus=%20Failed%20",
                Some(vec![Completed, Failed]),
            ),
            ("runtimeStatus=completed", Some(vec![])),
            ("runtimeStatus=completed,Running", Some(vec![Running])),
            ("runtimeStatus=0,7", Some(vec![Running, Suspended])),
            ("runtimeStatus=8,-1", Some(vec![])),
        ] {
            assert_eq!(statuses(&query(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_time_has_an_offset_or_is_utc() {
        let expected = UNIX_EPOCH + Duration::from_secs(1_795_250_483);
        for text in [
            "2026-11-21T08:41:23Z",
            "2026-11-21T08:41:23.000Z",
            "2026-11-21T10:41:23%2B02:00",
            "2026-11-21T10:41:23+02:00",
            "2026-11-21T08:41:23",
            "%202026-11-21T08:41:23Z%20",
        ] {
            let parsed = time(
                &query(&format!("createdTimeFrom={text}")),
                "createdTimeFrom",
            );
            assert_eq!(parsed.expect(text), Some(expected), "{text}");
        }
        let day = time(&query("createdTimeTo=2026-11-21"), "createdTimeTo").expect("a day");
        assert_eq!(
            day,
            Some(expected - Duration::from_secs(8 * 3600 + 41 * 60 + 23))
        );
        for text in [
            "yesterday",
            "2026-13-01",
            "1795250483",
            "2026-11-21T08:41:23Zx",
        ] {
            let refused = time(
                &query(&format!("createdTimeFrom={text}")),
                "createdTimeFrom",
            );
            assert!(
                matches!(refused, Err(ApiError::BadRequest(_))),
                "{text}: {refused:?}"
            );
        }
        assert_eq!(
            time(&query("createdTimeFrom="), "createdTimeFrom").expect("blank"),
            None
        );
    }
}
