//! When to try again, and how long to wait before it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often and how patiently a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included, that may fail in a row without a byte of progress.
    pub attempts: u32,
    /// The wait before the second try; it doubles with each further one.
    pub first_delay: Duration,
    /// No wait of our own choice is longer.
    pub longest_delay: Duration,
    /// A `Retry-After` longer than this is reported instead of obeyed.
    pub longest_retry_after: Duration,
    /// Cuts of one blob that are resumed, whatever the progress between them.
    pub resumptions: u32,
    /// Times in a row that a blob's server, which has answered a moment ago, may be away: the
    /// first delays are short, the later ones long enough for a restart or another network.
    pub outages: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(250),
            longest_delay: Duration::from_secs(10),
            longest_retry_after: Duration::from_secs(60),
            resumptions: 100,
            outages: 10,
        }
    }
}

impl RetryPolicy {
    /// The wait after the `failures`-th failure in a row (1 is the first): exponential, with a
    /// jitter of ± 50 %, so that many clients do not come back at once.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let exponent = failures.saturating_sub(1).min(16);
        let full = self.first_delay.saturating_mul(1 << exponent).min(self.longest_delay);
        let [random] = stdx::random::bytes::<1>();
        full.mul_f64(0.5 + f64::from(random) / 255.0)
    }
}

/// Whether a status says that the same request may succeed later.
pub(crate) const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The wait that a `Retry-After` header asks for: seconds or an HTTP date (RFC 9110 §10.2.3).
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    let then = UNIX_EPOCH + Duration::from_secs(u64::try_from(date.timestamp().as_second()).ok()?);
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{RetryPolicy, parse_retry_after};

    #[test]
    fn delays_double_within_their_jitter_and_stop_growing() {
        let policy = RetryPolicy::default();
        for (failures, full) in [(1, 250), (2, 500), (3, 1000), (9, 10_000), (40, 10_000)] {
            let delay = policy.delay(failures);
            assert!(delay >= Duration::from_millis(full / 2), "{failures}: {delay:?}");
            assert!(delay <= Duration::from_millis(full * 3 / 2), "{failures}: {delay:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_767);
        assert_eq!(parse_retry_after("7", now), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(parse_retry_after(date, now), Some(Duration::from_secs(10)));
        assert_eq!(parse_retry_after(date, now + Duration::from_secs(60)), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
