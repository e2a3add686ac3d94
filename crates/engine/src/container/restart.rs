//! Whether and when a container that ended is started again.

use std::time::Duration;

use super::options::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(1);
/// A run at least this long makes the next delay the first one again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// The delay before the next start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    /// 100 ms, doubled at each call up to a minute; 100 ms again after a run of ten seconds.
    pub(crate) fn next(&mut self, ran: Duration) -> Duration {
        let delay = match self.last {
            Some(last) if ran < LONG_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(delay);
        delay
    }
}

/// What is known when a container's process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) exit_code: i32,
    /// Whether somebody asked for the end (stop, kill, remove).
    pub(crate) by_hand: bool,
    /// How often the policy has started it in a row.
    pub(crate) restarts: u32,
}

impl RestartPolicy {
    /// Whether the policy starts the container again.
    pub(crate) fn restarts(self, ended: Ended) -> bool {
        if ended.by_hand {
            return false;
        }
        match self {
            Self::No => false,
            Self::OnFailure { maximum } => {
                ended.exit_code != 0 && (maximum == 0 || ended.restarts < maximum)
            }
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// Whether a container which this daemon finds not running is started at the daemon's start.
    /// `was_running`: it ran when the machine or its monitor ended; `by_hand`: its last end was
    /// asked for.
    pub(crate) fn starts_with_daemon(self, was_running: bool, by_hand: bool) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::OnFailure { .. } => was_running && !by_hand,
            Self::UnlessStopped => was_running && !by_hand,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BackOff, Ended, RestartPolicy};

    #[test]
    fn delays_double_to_a_minute_and_start_anew() {
        let mut back_off = BackOff::default();
        let short = Duration::from_secs(1);
        let delays: Vec<u128> = (0..12).map(|_| back_off.next(short).as_millis()).collect();
        assert_eq!(
            delays,
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
        );
        assert_eq!(back_off.next(Duration::from_secs(10)).as_millis(), 100);
        assert_eq!(back_off.next(short).as_millis(), 200);
    }

    #[test]
    fn policies() {
        let ended = |exit_code, by_hand, restarts| Ended { exit_code, by_hand, restarts };
        let limited = RestartPolicy::OnFailure { maximum: 2 };
        let unlimited = RestartPolicy::OnFailure { maximum: 0 };
        for (policy, ended, expected) in [
            (RestartPolicy::No, ended(1, false, 0), false),
            (limited, ended(0, false, 0), false),
            (limited, ended(1, false, 1), true),
            (limited, ended(1, false, 2), false),
            (unlimited, ended(1, false, 900), true),
            (RestartPolicy::Always, ended(0, false, 3), true),
            (RestartPolicy::Always, ended(0, true, 3), false),
            (RestartPolicy::UnlessStopped, ended(137, false, 0), true),
            (RestartPolicy::UnlessStopped, ended(137, true, 0), false),
        ] {
            assert_eq!(policy.restarts(ended), expected, "{policy:?} {ended:?}");
        }
    }

    #[test]
    fn at_the_daemons_start() {
        assert!(RestartPolicy::Always.starts_with_daemon(false, true));
        assert!(!RestartPolicy::UnlessStopped.starts_with_daemon(false, true));
        assert!(RestartPolicy::UnlessStopped.starts_with_daemon(true, false));
        let on_failure = RestartPolicy::OnFailure { maximum: 0 };
        assert!(on_failure.starts_with_daemon(true, false));
        assert!(!on_failure.starts_with_daemon(true, true));
        // Its last start failed.
        assert!(RestartPolicy::Always.starts_with_daemon(false, false));
        assert!(!RestartPolicy::No.starts_with_daemon(true, false));
    }
}
