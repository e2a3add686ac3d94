//! Sizes and spans of time as people write and read them.

/// Parses a size such as `512`, `64k`, `1.5g`, `10MiB`; every unit is a power of 1024, as Docker's
/// memory options have it. Bytes.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.is_empty() || unit == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    scale(number, 1_u64 << shift)
}

/// `number` may have a fraction; done in integers so that `0.1g` does not depend on rounding modes.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = u128::from(whole) * u128::from(unit);
    if !fraction.is_empty() {
        let digits: u64 = fraction.parse().ok()?;
        let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        total += u128::from(digits) * u128::from(unit) / divisor;
    }
    u64::try_from(total).ok()
}

/// Three significant digits with powers of 1000: `1.23MB`, as Docker shows image sizes.
#[must_use]
pub fn format_bytes_decimal(bytes: u64) -> String {
    format_bytes(bytes, 1000, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// Four significant digits with powers of 1024: `1.207MiB`, as Docker shows memory.
#[must_use]
pub fn format_bytes_binary(bytes: u64) -> String {
    format_bytes(bytes, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

#[expect(clippy::cast_precision_loss, reason = "a few significant digits are shown")]
fn format_bytes(bytes: u64, step: u64, units: &[&str], significant: usize) -> String {
    let mut unit = 0;
    let mut divisor = 1_u64;
    while unit + 1 < units.len() && bytes / divisor >= step {
        divisor = divisor.saturating_mul(step);
        unit += 1;
    }
    let value = bytes as f64 / divisor as f64;
    let before = if value >= 1000.0 {
        4
    } else if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let mut text = format!("{value:.*}", significant.saturating_sub(before));
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + units[unit]
}

/// A span of seconds in Docker's words: `Less than a second`, `5 seconds`, `About a minute`,
/// `3 hours`, `2 weeks`.
#[must_use]
pub fn format_span(seconds: u64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::{format_bytes_binary, format_bytes_decimal, format_span, parse_bytes};

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64k", 64 << 10),
            ("1.5g", 3 << 29),
            ("10MiB", 10 << 20),
            ("2GB", 2 << 30),
            (" 7 m ", 7 << 20),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "x", "-1", "1.2.3", "1x", "i", "99999999999g", "."] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(format_bytes_decimal(0), "0B");
        assert_eq!(format_bytes_decimal(999), "999B");
        assert_eq!(format_bytes_decimal(1_234_567), "1.23MB");
        assert_eq!(format_bytes_decimal(125_000_000), "125MB");
        assert_eq!(format_bytes_binary(1_265_664), "1.207MiB");
        assert_eq!(format_bytes_binary(1 << 30), "1GiB");
    }

    #[test]
    fn spans_are_written() {
        assert_eq!(format_span(0), "Less than a second");
        assert_eq!(format_span(59), "59 seconds");
        assert_eq!(format_span(61), "About a minute");
        assert_eq!(format_span(7200), "2 hours");
        assert_eq!(format_span(86_400 * 3), "3 days");
    }
}
