//! Requests to a container that exists, and their answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Whether a running one is killed first.
    pub force: bool,
    /// Whether its anonymous volumes go too.
    pub volumes: bool,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// Its process has ended; at once when it does not run.
    #[default]
    NotRunning,
    /// Its process ends the next time.
    NextExit,
    /// It is removed.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitOutcome {
    /// The exit status: 0 to 255, 128 + signal when killed.
    pub exit_code: i32,
    /// What went wrong in waiting, or in starting.
    pub error: Option<String>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// What a client wants to be attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Whether the log so far is sent first.
    pub logs: bool,
    /// Whether streams are attached at all, or only the log sent.
    pub stream: bool,
    /// Its standard input.
    pub stdin: bool,
    /// Its standard output.
    pub stdout: bool,
    /// Its standard error.
    pub stderr: bool,
    /// Keys that detach (`ctrl-p,ctrl-q` when absent; only with a terminal and standard input).
    pub detach_keys: Option<String>,
}

/// A process to be run in a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=value`, besides the container's.
    pub environment: Vec<String>,
    /// The container's when absent.
    pub working_directory: Option<String>,
    /// The container's when absent.
    pub user: Option<String>,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its standard input is attached.
    pub stdin: bool,
    /// Whether its standard output is attached.
    pub stdout: bool,
    /// Whether its standard error is attached.
    pub stderr: bool,
    /// Keys that detach.
    pub detach_keys: Option<String>,
}

/// How an exec is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStart {
    /// Whether nobody attaches.
    pub detach: bool,
    /// The terminal's size.
    pub size: Option<TerminalSize>,
}

/// What is known of an exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecInspect {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its container's id.
    pub container_id: String,
    /// What was asked for.
    pub spec: ExecSpec,
    /// Whether it runs.
    pub running: bool,
    /// Its exit status once it has ended.
    pub exit_code: Option<i32>,
    /// Its process id on the host; 0 when it does not run.
    pub pid: u32,
    /// Whether it can be resized.
    pub can_remove: bool,
}

/// Which lines of a log are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// None older than this.
    pub since: Option<Timestamp>,
    /// None younger than this.
    pub until: Option<Timestamp>,
    /// Only the last so many.
    pub tail: Option<u64>,
    /// Whether lines to come are sent too, until the container ends.
    pub follow: bool,
}

/// One entry of a log: a line, or a part of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was written.
    pub time: Timestamp,
    /// By which stream.
    pub source: LogSource,
    /// The bytes, with their line feed if there was one.
    pub bytes: Vec<u8>,
}

/// An output stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The processes of a container as a table, in the form of ps(1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// Column titles.
    pub titles: Vec<String>,
    /// One row per process, as many cells as titles.
    pub rows: Vec<Vec<String>>,
}
