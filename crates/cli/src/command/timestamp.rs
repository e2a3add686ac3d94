//! Times as `--since` and `--until` take them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Seconds since the epoch with nine decimals, as the API takes times. `text` is a span before
/// `now` (`10m`), a number of seconds, or a date with or without time and zone.
///
/// # Errors
/// A message about a text that is none of these.
pub(super) fn parameter(text: &str, now: Timestamp) -> Result<String, String> {
    if let Ok(span) = crate::options::value::duration(text)
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
    {
        let at = now.as_nanosecond() - i128::from(span);
        return Ok(decimal(at));
    }
    if text.split_once('.').unwrap_or((text, "0")).0.parse::<i64>().is_ok() && !text.contains('-') {
        return Ok(text.to_owned());
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(decimal(at.as_nanosecond()));
    }
    let local = text
        .parse::<DateTime>()
        .ok()
        .and_then(|civil| civil.to_zoned(TimeZone::system()).ok())
        .ok_or_else(|| format!("failed to parse value as time or duration: {text:?}"))?;
    Ok(decimal(local.timestamp().as_nanosecond()))
}

fn decimal(nanoseconds: i128) -> String {
    format!(
        "{}.{:09}",
        nanoseconds.div_euclid(1_000_000_000),
        nanoseconds.rem_euclid(1_000_000_000)
    )
}

/// An instant as Go's `Time.String` prints it in the caller's zone:
/// `2026-11-21 07:34:00 +0000 UTC`.
pub(super) fn go_time(seconds: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_second(seconds) else { return String::new() };
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// An instant as Go prints it, with its fraction: `2026-11-21 07:34:00.5 +0000 UTC`.
pub(super) fn go_instant(time: docker_api::Time) -> String {
    let Some(at) = time.0 else { return "0001-01-01 00:00:00 +0000 UTC".to_owned() };
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// An instant in RFC 3339 as Go writes it: `Z` in place of no offset.
pub(super) fn rfc_3339(at: Timestamp, zone: &TimeZone, with_fraction: bool) -> String {
    let pattern = if with_fraction { "%Y-%m-%dT%H:%M:%S.%9f" } else { "%Y-%m-%dT%H:%M:%S" };
    let zoned = at.to_zoned(zone.clone());
    let offset = match zoned.offset().seconds() {
        0 => "Z".to_owned(),
        _ => zoned.strftime("%:z").to_string(),
    };
    zoned.strftime(pattern).to_string() + &offset
}

/// `3 minutes ago`.
pub(super) fn ago(seconds: i64, now: Timestamp) -> String {
    let span = u64::try_from(now.as_second().saturating_sub(seconds)).unwrap_or_default();
    format!("{} ago", stdx::units::format_span(span))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{ago, go_instant, go_time, parameter, rfc_3339};

    #[test]
    fn times_are_read() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(parameter("10m", now).unwrap(), "999400.000000000");
        assert_eq!(parameter("1.5s", now).unwrap(), "999998.500000000");
        assert_eq!(parameter("1234.5", now).unwrap(), "1234.5");
        assert_eq!(parameter("1970-01-01T00:00:01Z", now).unwrap(), "1.000000000");
        assert_eq!(parameter("1970-01-01T01:00:01.5+01:00", now).unwrap(), "1.500000000");
        assert!(parameter("1970-01-02", now).is_ok());
        for text in ["", "yesterday", "1970-13-01"] {
            assert!(parameter(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written() {
        assert_eq!(go_time(0, &TimeZone::UTC), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(go_instant(docker_api::Time(None)), "0001-01-01 00:00:00 +0000 UTC");
        let half = Timestamp::from_millisecond(1500).unwrap();
        assert_eq!(go_instant(half.into()), "1970-01-01 00:00:01.5 +0000 UTC");
        assert_eq!(rfc_3339(half, &TimeZone::UTC, true), "1970-01-01T00:00:01.500000000Z");
        let east = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(rfc_3339(half, &east, false), "1970-01-01T01:00:01+01:00");
        assert_eq!(ago(0, Timestamp::from_second(120).unwrap()), "2 minutes ago");
    }
}
