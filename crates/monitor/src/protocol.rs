//! What engine, launcher and monitor say to one another.
//!
//! Each message is one `stdx::frame` holding one JSON document; descriptors ride on the frame's
//! first byte (`SCM_RIGHTS`), in the order in which the message names them.
//!
//! ```text
//! engine ──Request──▶ launcher            Launch, Store, Retrieve, Discard, Shutdown
//! engine ◀──Notice─── launcher            MonitorReplaced, MonitorLost
//! engine ──Command──▶ monitor             Exec, Attach, Resize, Signal, CloseStdin, Release
//! engine ◀──Event──── monitor             Snapshot first on a re-connection, then what happens
//! client ◀══bytes═══▶ monitor             the attach socket, see `Attach`
//! ```
//! Compatibility: a reader ignores fields it does not know; a monitor answers a command it does not
//! know with [`Event::Refused`]. A meaning that changes gets a new [`VERSION`]; a daemon speaks the
//! version of the monitor it adopts (it is in the snapshot), one version back.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version this code speaks.
pub const VERSION: u32 = 1;

/// The file in a container's run directory that tells how it ended: an [`Exit`] as JSON.
pub const EXIT_FILE: &str = "exit.json";

/// The monitor's socket in a container's run directory; mode 0600, peers of our own user only.
pub const SOCKET_FILE: &str = "monitor.sock";

/// Engine → launcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Fork a monitor for a container; descriptors as `fds` of the request lists them.
    Launch(Box<LaunchRequest>),
    /// Keep the descriptors sent along under this name, over a crash of the daemon; replaces what
    /// was there.
    Store {
        /// Chosen by the engine.
        key: String,
        /// How many descriptors are sent along.
        count: usize,
    },
    /// Answer on the socket sent along: one byte carrying the descriptors stored, then its end.
    Retrieve {
        /// As in `Store`.
        key: String,
    },
    /// Close what is stored.
    Discard {
        /// As in `Store`.
        key: String,
    },
    /// The daemon ends on purpose: drop what is stored, do not start it again, stay only while
    /// monitors live.
    Shutdown,
}

/// Launcher → engine, unasked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A monitor died before its container; another one has taken over log, stdio and exit status.
    /// Connect to [`SOCKET_FILE`] again. Attached clients and running execs' streams were cut.
    MonitorReplaced {
        /// The container.
        id: String,
        /// How the old one died, for the log.
        cause: String,
    },
    /// A monitor died and nothing could take over: end what is left of the container.
    MonitorLost {
        /// The container.
        id: String,
        /// How it died, and why no other took over.
        cause: String,
    },
}

/// Everything a launcher needs to fork a monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LaunchRequest {
    /// [`VERSION`] of the sender; a launcher refuses another one.
    pub version: u32,
    /// The container.
    pub launch: Launch,
    /// What each descriptor sent along is, in order.
    pub fds: Vec<FdRole>,
}

/// What a descriptor of a launch is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdRole {
    /// The monitor's end of a stream socket pair that carries commands and events.
    Control,
    /// The network namespace to join; without one the container's specification decides.
    NetworkNamespace,
    /// A bound socket, kept open as long as the container lives, so that nobody else takes its port.
    HeldPort,
    /// A listening stream socket: each connection is spliced to `target`, which is connected to
    /// from the host's network namespace.
    SpliceListener {
        /// The container's address and port.
        target: SocketAddr,
    },
    /// An attach socket that is there from the first byte on.
    Attach(AttachStreams),
}

/// One container, ready to be made and started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// 64 hex digits.
    pub id: String,
    /// Exists; holds [`SOCKET_FILE`] and, at the end, [`EXIT_FILE`].
    pub run_directory: PathBuf,
    /// The OCI configuration; its `root.path` is not used when `root` is given. `linux.cgroups_path`
    /// must be absolute; `process.terminal` tells whether there is a terminal.
    pub spec: oci::runtime::Spec,
    /// The root file system.
    pub root: storage::RootMount,
    /// Standard input.
    pub stdin: Stdin,
    /// The terminal's first size.
    pub size: Option<Size>,
    /// Where the output is logged; `None` keeps no log.
    pub log: Option<Log>,
    /// The group that monitors themselves live in (absolute, `/brig-<id6>/monitors`), so that
    /// nothing that ends the daemon's group ends them.
    pub monitor_cgroup: Option<String>,
}

/// What becomes of a process's standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Closed,
    /// A pipe that attached clients write to.
    Open {
        /// Close it when the first attached client that had it ends its input or goes; otherwise
        /// it stays open for the next one (Docker's `StdinOnce`).
        once: bool,
    },
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Where and how to log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The current file; rotated ones and the index lie beside it.
    pub path: PathBuf,
    /// Rotation.
    pub options: observe::log::LogOptions,
}

/// Which streams an attach socket carries.
///
/// Monitor → client: raw bytes when the process has a terminal, otherwise frames of
/// `[stream (1 stdout, 2 stderr), 0, 0, 0, length as big-endian u32]` and payload. Client → monitor:
/// raw standard input; shutting down the client's writing half ends the input. The monitor closes
/// the socket after the last byte of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachStreams {
    /// Take input from the client.
    pub stdin: bool,
    /// Send standard output (with a terminal: everything).
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
    /// What to do when the client does not read.
    pub when_slow: WhenSlow,
}

/// What happens when an attached client is a whole buffer (1 MiB) behind.
///
/// The log never loses anything: it has got every byte that was read from the container before any
/// client gets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenSlow {
    /// Stop reading from the container until the client catches up or goes (Docker's behavior;
    /// needed by `brig run … | less`).
    #[default]
    Wait,
    /// Close the client's connection.
    Drop,
}

/// Engine → monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Start one more process in the container. With `attach`, one attach socket is sent along.
    Exec(Box<Exec>),
    /// A client wants the streams: one attach socket is sent along.
    Attach {
        /// An exec's id; the container's main process without one.
        exec: Option<String>,
        /// Which streams.
        streams: AttachStreams,
    },
    /// The terminal's size changed.
    Resize {
        /// As in `Attach`.
        exec: Option<String>,
        /// The new size.
        size: Size,
    },
    /// Send a signal.
    Signal {
        /// As in `Attach`.
        exec: Option<String>,
        /// The signal's number.
        signal: i32,
    },
    /// End the standard input of the main process, whoever is attached.
    CloseStdin,
    /// Start a new log file now.
    RotateLog,
    /// The exit has been recorded: the monitor may go. Before the exit: this connection no longer
    /// wants the exit acknowledged.
    Release,
}

/// One more process in a running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// Unique within the container's life.
    pub id: String,
    /// What to run.
    pub process: oci::runtime::Process,
    /// Standard input.
    pub stdin: Stdin,
    /// The terminal's first size.
    pub size: Option<Size>,
    /// Whether an attach socket is sent along, and its streams. Without one the output is read and
    /// thrown away (a detached exec).
    pub attach: Option<AttachStreams>,
}

/// Monitor → engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first message on a connection to [`SOCKET_FILE`].
    Snapshot(Snapshot),
    /// The container's process has executed its program.
    Started(Started),
    /// It could not be started; nothing is left of it. The monitor goes.
    Failed(Failure),
    /// The main process has ended, its output is read to the end and logged, its cgroup is gone.
    Exited(Exit),
    /// An exec runs.
    ExecStarted {
        /// The exec.
        id: String,
        /// Its pid on the host.
        pid: u32,
    },
    /// An exec could not be started.
    ExecFailed {
        /// The exec.
        id: String,
        /// Why.
        failure: Failure,
    },
    /// An exec has ended; its output is read to the end.
    ExecExited {
        /// The exec.
        id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The kernel killed a process of the container because its memory ran out.
    OutOfMemory,
    /// A command could not be carried out; nothing changed.
    Refused {
        /// Which (`attach`, `resize`, `signal`, …).
        command: String,
        /// The exec it named.
        exec: Option<String>,
        /// Why.
        failure: Failure,
    },
}

/// The main process has been started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its pid on the host.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks after boot: with the pid it names the process
    /// for good.
    pub start_time: u64,
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// The monitor's own pid.
    pub monitor: u32,
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The whole chain, one line.
    pub message: String,
    /// What kind of error.
    pub kind: stdx::ErrorKind,
    /// 126 (not executable), 127 (no such command) or 125/128 for the rest, as Docker has it.
    pub exit_code: i32,
    /// What could be done about it.
    pub hint: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, or 128 + the signal's number.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of this container for memory at any time.
    pub oom_killed: bool,
    /// When, in nanoseconds since 1970.
    pub at: u64,
    /// What went wrong on the side (log lines lost, cgroup not removed, exit status unknown).
    pub warnings: Vec<String>,
}

/// The state of a container as its monitor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`VERSION`] of the monitor.
    pub version: u32,
    /// The container.
    pub id: String,
    /// `None` while it is being made.
    pub started: Option<Started>,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
    /// Running execs and their pids.
    pub execs: Vec<(String, u32)>,
    /// Bytes of output lost because the log could not be written, so far.
    pub log_bytes_lost: u64,
}
