//! The states of a container.

use serde::{Deserialize, Serialize};

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Made and never started.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its process ended; the restart policy starts it again after a delay.
    Restarting,
    /// Being removed.
    Removing,
    /// Its process ended.
    Exited,
    /// A removal failed half way; only another removal is possible.
    Dead,
}

impl Status {
    /// The word used by every container tool.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Created,
            Self::Running,
            Self::Paused,
            Self::Restarting,
            Self::Removing,
            Self::Exited,
            Self::Dead,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }

    /// Whether a process of the container exists (running or frozen).
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
