//! The life of a container as a pure function: state and step give the next state or a refusal.
//!
//! ```text
//!            start           pause
//! created ──────────▶ running ◀──────▶ paused
//!                     │  ▲  ▲  unpause   │
//!        exit, policy ▼  │  └─start──────│──────── exited
//!               restarting               └──exit───▶ ▲
//!                     │ stop ─────────────────────────┘
//! anything not alive ── remove ──▶ removing ── fails ──▶ dead ── remove ──▶ removing
//! ```

use super::status::Status;

/// Something that is to happen, or has happened, to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its program has been executed.
    Started,
    /// Its processes are to be frozen.
    Pause,
    /// They are to be thawed.
    Unpause,
    /// Its process has ended, and stays so.
    Ended,
    /// Its process has ended, and the restart policy will start it again.
    EndedAndRestarts,
    /// The wait for the restart was called off.
    RestartCancelled,
    /// It is to be removed.
    Remove,
    /// A removal failed half way.
    RemoveFailed,
}

/// Why a step cannot be taken, as the rest of a sentence about the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is that already.
    Already,
    /// It does not run.
    NotRunning,
    /// It is paused.
    Paused,
    /// It is not paused.
    NotPaused,
    /// It waits to be started again.
    Restarting,
    /// It runs.
    Running,
    /// It is being removed.
    Removing,
    /// A removal failed half way.
    Dead,
}

/// The state after the step.
///
/// # Errors
/// Why the step cannot be taken in this state.
pub(crate) const fn next(status: Status, step: Step) -> Result<Status, Refusal> {
    match step {
        Step::Started => started(status),
        Step::Pause => match status {
            Status::Running => Ok(Status::Paused),
            Status::Paused => Err(Refusal::Already),
            Status::Restarting => Err(Refusal::Restarting),
            _ => Err(Refusal::NotRunning),
        },
        Step::Unpause => match status {
            Status::Paused => Ok(Status::Running),
            _ => Err(Refusal::NotPaused),
        },
        Step::Ended => match status {
            Status::Removing | Status::Dead => Ok(status),
            _ => Ok(Status::Exited),
        },
        Step::EndedAndRestarts => match status {
            Status::Running | Status::Paused | Status::Restarting => Ok(Status::Restarting),
            Status::Removing | Status::Dead => Ok(status),
            _ => Err(Refusal::NotRunning),
        },
        Step::RestartCancelled => match status {
            Status::Restarting => Ok(Status::Exited),
            _ => Err(Refusal::Already),
        },
        Step::Remove => match status {
            Status::Running | Status::Restarting => Err(Refusal::Running),
            Status::Paused => Err(Refusal::Paused),
            Status::Removing => Err(Refusal::Removing),
            Status::Created | Status::Exited | Status::Dead => Ok(Status::Removing),
        },
        Step::RemoveFailed => Ok(Status::Dead),
    }
}

const fn started(status: Status) -> Result<Status, Refusal> {
    match status {
        Status::Created | Status::Exited | Status::Restarting => Ok(Status::Running),
        Status::Running => Err(Refusal::Already),
        Status::Paused => Err(Refusal::Paused),
        Status::Removing => Err(Refusal::Removing),
        Status::Dead => Err(Refusal::Dead),
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Status, Step, next};

    /// One row per state, one column per step, in the order of `STEPS`.
    const STEPS: [Step; 8] = [
        Step::Started,
        Step::Pause,
        Step::Unpause,
        Step::Ended,
        Step::EndedAndRestarts,
        Step::RestartCancelled,
        Step::Remove,
        Step::RemoveFailed,
    ];

    fn check(status: Status, expected: [Result<Status, Refusal>; 8]) {
        for (step, expected) in STEPS.into_iter().zip(expected) {
            assert_eq!(next(status, step), expected, "{status} {step:?}");
        }
    }

    #[test]
    fn of_a_container_that_never_ran() {
        check(
            Status::Created,
            [
                Ok(Status::Running),
                Err(Refusal::NotRunning),
                Err(Refusal::NotPaused),
                Ok(Status::Exited),
                Err(Refusal::NotRunning),
                Err(Refusal::Already),
                Ok(Status::Removing),
                Ok(Status::Dead),
            ],
        );
    }

    #[test]
    fn of_one_that_runs_or_is_frozen() {
        check(
            Status::Running,
            [
                Err(Refusal::Already),
                Ok(Status::Paused),
                Err(Refusal::NotPaused),
                Ok(Status::Exited),
                Ok(Status::Restarting),
                Err(Refusal::Already),
                Err(Refusal::Running),
                Ok(Status::Dead),
            ],
        );
        check(
            Status::Paused,
            [
                Err(Refusal::Paused),
                Err(Refusal::Already),
                Ok(Status::Running),
                Ok(Status::Exited),
                Ok(Status::Restarting),
                Err(Refusal::Already),
                Err(Refusal::Paused),
                Ok(Status::Dead),
            ],
        );
    }

    #[test]
    fn of_one_that_ended() {
        check(
            Status::Restarting,
            [
                Ok(Status::Running),
                Err(Refusal::Restarting),
                Err(Refusal::NotPaused),
                Ok(Status::Exited),
                Ok(Status::Restarting),
                Ok(Status::Exited),
                Err(Refusal::Running),
                Ok(Status::Dead),
            ],
        );
        check(
            Status::Exited,
            [
                Ok(Status::Running),
                Err(Refusal::NotRunning),
                Err(Refusal::NotPaused),
                Ok(Status::Exited),
                Err(Refusal::NotRunning),
                Err(Refusal::Already),
                Ok(Status::Removing),
                Ok(Status::Dead),
            ],
        );
    }

    #[test]
    fn of_one_that_goes() {
        check(
            Status::Removing,
            [
                Err(Refusal::Removing),
                Err(Refusal::NotRunning),
                Err(Refusal::NotPaused),
                Ok(Status::Removing),
                Ok(Status::Removing),
                Err(Refusal::Already),
                Err(Refusal::Removing),
                Ok(Status::Dead),
            ],
        );
        check(
            Status::Dead,
            [
                Err(Refusal::Dead),
                Err(Refusal::NotRunning),
                Err(Refusal::NotPaused),
                Ok(Status::Dead),
                Ok(Status::Dead),
                Err(Refusal::Already),
                Ok(Status::Removing),
                Ok(Status::Dead),
            ],
        );
    }
}
