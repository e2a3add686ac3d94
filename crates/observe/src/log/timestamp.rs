//! Times as Go's `time.RFC3339Nano` writes them: UTC, the fraction without trailing zeros.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `2026-11-21T07:08:09.1Z`
pub(super) fn format(time: u64) -> String {
    let (seconds, nanoseconds) = (time / SECOND, time % SECOND);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanoseconds > 0 {
        let fraction = format!(".{nanoseconds:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The reverse; other offsets than `Z` are taken too. `None` for what is no time after 1970.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    parse_utc(text).or_else(|| parse_any(text))
}

fn parse_any(text: &[u8]) -> Option<u64> {
    let time: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

fn parse_utc(text: &[u8]) -> Option<u64> {
    let (body, rest) = text.split_at_checked(19)?;
    let is_shaped = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .all(|(at, expected)| body[*at] == *expected);
    if !is_shaped {
        return None;
    }
    let number = |from: usize, to: usize| digits(&body[from..to]);
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let nanoseconds = match rest {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let missing = u32::try_from(9 - fraction.len()).ok()?;
            digits(fraction)? * 10_u64.pow(missing)
        }
        _ => return None,
    };
    seconds.checked_mul(SECOND)?.checked_add(nanoseconds)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |sum: u64, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// Year, month and day of a day after 1970-01-01 (Gregorian), counted in years from March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The day after 1970-01-01 of a date; the reverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn as_go_writes_them() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_210_096_500_000_000, "2024-02-29T12:34:56.5Z"),
            (1_709_210_096_000_000_001, "2024-02-29T12:34:56.000000001Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ];
        for (time, text) in cases {
            assert_eq!(format(time), text);
            assert_eq!(parse(text.as_bytes()), Some(time));
        }
        assert_eq!(parse(b"1970-01-01T01:00:01+01:00"), Some(1_000_000_000));
        for wrong in ["", "1969-12-31T23:59:59Z", "2024-13-01T00:00:00Z", "2024-01-01 00:00:00"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn agrees_with_the_calendar_library() {
        for step in 0..5000_u64 {
            let time = step * 864_123_456_789_123 % 4_000_000_000_000_000_000;
            let theirs = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap();
            assert_eq!(format(time), theirs.to_string());
            assert_eq!(parse(format(time).as_bytes()), Some(time));
        }
    }
}
