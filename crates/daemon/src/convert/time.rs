//! Times in queries: seconds with up to nine decimals, or RFC 3339.

use jiff::Timestamp;

use crate::http::Refusal;

/// Reads `since` and `until`; absent for an empty text and for `0`.
pub(crate) fn parse(text: &str) -> Result<Option<Timestamp>, Refusal> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let wrong = || Refusal::invalid(format!("invalid time: {text}"));
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Some(at));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = whole.parse().map_err(|_| wrong())?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    Timestamp::new(seconds, nanoseconds).map(Some).map_err(|_| wrong())
}

/// Reads `until` of a prune: a time, or how long ago (`24h`, `1h30m`).
pub(crate) fn cut_off(text: &str) -> Result<Timestamp, Refusal> {
    if let Ok(Some(at)) = parse(text) {
        return Ok(at);
    }
    let wrong = || Refusal::invalid(format!("invalid filter 'until={text}'"));
    let ago: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

/// With all nine digits, as Docker writes before lines of a log.
pub(crate) fn fixed(at: Timestamp) -> String {
    format!("{at:.9}")
}

#[cfg(test)]
mod tests {
    use super::{cut_off, fixed, parse};

    #[test]
    fn all_forms() {
        for (text, want) in [
            ("1700000000", Some("2023-11-14T22:13:20.000000000Z")),
            ("1700000000.5", Some("2023-11-14T22:13:20.500000000Z")),
            ("1700000000.000000001", Some("2023-11-14T22:13:20.000000001Z")),
            ("2023-11-14T23:13:20.25+01:00", Some("2023-11-14T22:13:20.250000000Z")),
            ("", None),
            ("0", None),
        ] {
            assert_eq!(parse(text).unwrap().map(fixed).as_deref(), want, "{text}");
        }
        assert!(parse("yesterday").is_err());
        assert!(parse("1.x").is_err());
    }

    #[test]
    fn spans_count_back_from_now() {
        let ago = jiff::Timestamp::now().as_second() - cut_off("1h30m").unwrap().as_second();
        assert!((5399..=5401).contains(&ago), "{ago}");
        assert!(cut_off("soon").is_err());
    }
}
