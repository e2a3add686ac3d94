//! Signals that reach the command and are meant for the container.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Signals that are passed on, by number and name.
const PASSED: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (18, "CONT"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
];

/// Signals that end a command that holds the terminal in raw mode.
const ENDING: &[i32] = &[1, 2, 3, 15];

/// Signals caught, as they come.
#[derive(Debug)]
pub(crate) struct Caught {
    receiver: mpsc::UnboundedReceiver<(i32, &'static str)>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Caught {
    /// Catches what is passed on to a container.
    pub(crate) fn passed() -> Self {
        Self::of(PASSED.iter().copied())
    }

    /// Catches what ends a command.
    pub(crate) fn ending() -> Self {
        Self::of(PASSED.iter().copied().filter(|(number, _)| ENDING.contains(number)))
    }

    fn of(kinds: impl Iterator<Item = (i32, &'static str)>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        for (number, name) in kinds {
            // A signal that cannot be caught keeps its usual effect.
            let Ok(mut stream) = signal(SignalKind::from_raw(number)) else { continue };
            let sender = sender.clone();
            let _task = tasks.spawn(async move {
                while stream.recv().await.is_some() && sender.send((number, name)).is_ok() {}
            });
        }
        Self { receiver, _tasks: tasks }
    }

    /// The next one, by number and name.
    pub(crate) async fn next(&mut self) -> (i32, &'static str) {
        match self.receiver.recv().await {
            Some(caught) => caught,
            None => std::future::pending().await,
        }
    }
}

/// Changes of the terminal's size; `None` where they cannot be told.
pub(crate) fn resizes() -> Option<Signal> {
    signal(SignalKind::window_change()).ok()
}
