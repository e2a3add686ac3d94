//! What is said to CRIU and what it answers: the messages of its `images/rpc.proto`, as far as they
//! are used. The numbers are those of its fields.

use super::wire::{Message, Value, fields};

/// What is asked for (`criu_req_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Write all of a process tree to files.
    Dump = 1,
    /// Make a process tree from files.
    Restore = 2,
    /// Write the memory alone.
    PreDump = 4,
    /// Something has happened; the answer says whether to go on.
    Notify = 6,
    /// What this CRIU can do here.
    Features = 9,
    /// Which CRIU it is.
    Version = 10,
}

/// How CRIU treats control groups (`criu_cg_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManageGroups {
    /// Not at all.
    Ignore = 0,
    /// Limits of those that are not there, and no error for those that are.
    Soft = 3,
    /// Limits of all.
    Full = 4,
    /// None may be there.
    Strict = 5,
    /// CRIU's own default, which is [`ManageGroups::Soft`].
    #[default]
    Default = 6,
}

/// What is switched on by a flag (fields of `criu_opts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The container goes on after a checkpoint.
    LeaveRunning = 3,
    /// Unix sockets may have their other end outside.
    ExternalUnixSockets = 4,
    /// TCP connections are kept.
    TcpEstablished = 5,
    /// The session and terminal may be the caller's.
    ShellJob = 7,
    /// File locks are kept.
    FileLocks = 8,
    /// Memory that is in an earlier image is removed there.
    AutoDedup = 16,
    /// Open files without name get one for the time between.
    LinkRemap = 18,
    /// TCP connections that are being made are left out.
    TcpSkipInFlight = 46,
}

/// Options of a request (`criu_opts`).
#[derive(Debug, Default)]
pub(super) struct Options(Message);

impl Options {
    /// What every request has.
    pub(super) fn new(images: u32, log: &str, groups: ManageGroups) -> Self {
        const INFORM: u32 = 4;
        let mut options = Self::default();
        options.number(IMAGES_DIRECTORY, images).number(LOG_LEVEL, INFORM).text(LOG_FILE, log);
        // Without the first the second is not looked at.
        options.number(MANAGE_GROUPS, 1).number(MANAGE_GROUPS_MODE, groups as u32);
        options.number(NOTIFY_SCRIPTS, 1).number(ORPHAN_TERMINALS, 1);
        options.number(EMPTY_NAMESPACES, NEW_NETWORK).text(CONFIGURATION, "/etc/criu/runc.conf");
        options
    }

    pub(super) fn number(&mut self, field: u32, value: u32) -> &mut Self {
        self.0.number(field, value);
        self
    }

    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.0.text(field, text);
        self
    }

    pub(super) fn switches(&mut self, switches: &[Switch]) {
        for switch in switches {
            self.number(*switch as u32, 1);
        }
    }

    /// A mount that is not the container's own: when writing, where it is and how it is called; when
    /// reading, how it is called and what is to be mounted.
    pub(super) fn external_mount(&mut self, key: &str, value: &str) {
        self.pair(23, key, value);
    }

    /// A namespace to join, by its file.
    pub(super) fn join_namespace(&mut self, kind: &str, path: &str) {
        self.pair(39, kind, path);
    }

    /// A descriptor of CRIU's in place of what was called so.
    pub(super) fn inherit(&mut self, key: &str, descriptor: u32) {
        let mut message = Message::default();
        message.text(1, key).number(2, descriptor);
        self.0.message(27, &message);
    }

    /// Where the control groups of this controller (or hierarchy) begin.
    pub(super) fn group_root(&mut self, controller: &str, path: &str) {
        self.pair(25, controller, path);
    }

    /// Who takes the memory, instead of files.
    pub(super) fn page_server(&mut self, address: &str, port: u16) {
        let mut message = Message::default();
        message.text(1, address).number(2, u32::from(port));
        self.0.message(11, &message);
    }

    fn pair(&mut self, field: u32, key: &str, value: &str) {
        let mut message = Message::default();
        message.text(1, key).text(2, value);
        self.0.message(field, &message);
    }
}

const IMAGES_DIRECTORY: u32 = 1;
const LOG_LEVEL: u32 = 9;
const LOG_FILE: u32 = 10;
const NOTIFY_SCRIPTS: u32 = 12;
const MANAGE_GROUPS: u32 = 24;
const MANAGE_GROUPS_MODE: u32 = 34;
const EMPTY_NAMESPACES: u32 = 38;
const ORPHAN_TERMINALS: u32 = 50;
const CONFIGURATION: u32 = 51;
/// The process whose tree is written.
pub(super) const PROCESS: u32 = 2;
/// Devices that are not there any more are found by their numbers.
pub(super) const EVASIVE_DEVICES: u32 = 6;
/// The root, a mount point.
pub(super) const ROOT: u32 = 13;
/// Earlier images, relative to these.
pub(super) const PARENT: u32 = 14;
/// The kernel is to say from now on which memory changes.
pub(super) const TRACK_MEMORY: u32 = 15;
/// For the log and statistics.
pub(super) const WORK_DIRECTORY: u32 = 17;
/// The restored process is a child of CRIU's parent.
pub(super) const AS_SIBLING: u32 = 26;
/// A namespace that is not the container's own.
pub(super) const EXTERNAL: u32 = 37;
/// The group by which processes are stopped.
pub(super) const FREEZE_GROUP: u32 = 44;
/// A profile instead of the one written down.
pub(super) const LSM_PROFILE: u32 = 53;
/// A context of mounts instead of the one written down.
pub(super) const LSM_MOUNT_CONTEXT: u32 = 63;
/// How packets are kept out meanwhile.
pub(super) const NETWORK_LOCK: u32 = 64;
/// By nftables instead of iptables.
pub(super) const BY_NFTABLES: u32 = 2;
/// `CLONE_NEWNET`: devices and addresses are for whoever made them to make again.
const NEW_NETWORK: u32 = 0x4000_0000;

/// A request with these options.
pub(super) fn request(kind: Kind, options: &Options) -> Message {
    let mut message = Message::default();
    message.number(1, kind as u32).message(2, &options.0);
    message
}

/// A request without any.
pub(super) fn question(kind: Kind) -> Message {
    let mut message = Message::default();
    message.number(1, kind as u32);
    if kind == Kind::Features {
        let mut wanted = Message::default();
        wanted.number(1, 1);
        message.message(5, &wanted);
    }
    message
}

/// The word to go on after a [`Notice`], or not to.
pub(super) fn go_on(is_well: bool) -> Message {
    let mut message = Message::default();
    message.number(1, Kind::Notify as u32).number(3, u32::from(is_well));
    message
}

/// What happens on the way, and must be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// `setup-namespaces`, `post-restore`, ….
    pub(super) script: String,
    /// The container's first process.
    pub(super) process: i32,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether it went well.
    pub(super) success: bool,
    /// If it is not the last one.
    pub(super) notice: Option<Notice>,
    /// CRIU's error number, 0 when it has none to tell.
    pub(super) errno: i32,
    /// Its words.
    pub(super) message: Option<String>,
    /// Major × 10000 + minor × 100 + sublevel.
    pub(super) version: u64,
    /// Whether the kernel can say which memory changes.
    pub(super) tracks_memory: bool,
}

impl Answer {
    /// Reads one; `None` when it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut answer = Self::default();
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (2, Value::Number(value)) => answer.success = value != 0,
                (5, Value::Bytes(bytes)) => answer.notice = Some(Notice::read(bytes)?),
                (7, Value::Number(value)) => answer.errno = signed(value),
                (8, Value::Bytes(bytes)) => {
                    answer.tracks_memory = fields(bytes)?.contains(&(1, Value::Number(1)));
                }
                (9, Value::Bytes(bytes)) => answer.message = Some(text(bytes)),
                (10, Value::Bytes(bytes)) => answer.version = version(bytes)?,
                _ => {}
            }
        }
        Some(answer)
    }

    /// One that says why there will be no other.
    pub(super) fn failed(reason: &str) -> Message {
        let mut message = Message::default();
        message.number(1, 0).number(2, 0).text(9, reason);
        message
    }
}

impl Notice {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut notice = Self { script: String::new(), process: 0 };
        for (field, value) in fields(bytes)? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => notice.script = text(bytes),
                (2, Value::Number(value)) => notice.process = signed(value),
                _ => {}
            }
        }
        Some(notice)
    }
}

/// A later commit than a release counts as the next one (`gitid`).
fn version(bytes: &[u8]) -> Option<u64> {
    let mut version = 0;
    for (field, value) in fields(bytes)? {
        match (field, value) {
            (1, Value::Number(major)) => version += major.checked_mul(10000)?,
            (2, Value::Number(minor)) => version += minor.checked_mul(100)?,
            (4, Value::Number(sublevel)) => version += sublevel,
            _ => {}
        }
    }
    Some(version)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `int32` is sent as 64 bits.
fn signed(value: u64) -> i32 {
    i32::try_from(value.cast_signed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Kind, ManageGroups, Notice, Options, Switch, go_on, question, request};

    #[test]
    fn requests() {
        assert_eq!(question(Kind::Version).as_bytes(), [0x08, 10]);
        assert_eq!(question(Kind::Features).as_bytes(), [0x08, 9, 0x2a, 2, 0x08, 1]);
        assert_eq!(go_on(true).as_bytes(), [0x08, 6, 0x18, 1]);
        let mut options = Options::default();
        options.switches(&[Switch::LeaveRunning, Switch::TcpSkipInFlight]);
        options.inherit("pipe:[1]", 2);
        let bytes = request(Kind::Dump, &options);
        let inner = b"\x18\x01\xf0\x02\x01\xda\x01\x0c\x0a\x08pipe:[1]\x10\x02";
        assert_eq!(&bytes.as_bytes()[4..], inner);
        assert_eq!(bytes.as_bytes()[..4], [0x08, 1, 0x12, 20]);
    }

    #[test]
    fn common_options_name_what_criu_must_know() {
        let options = Options::new(7, "dump.log", ManageGroups::Default);
        let fields = super::fields(options.0.as_bytes()).unwrap();
        assert!(fields.contains(&(1, super::Value::Number(7))));
        assert!(fields.contains(&(34, super::Value::Number(6))));
        assert!(fields.contains(&(10, super::Value::Bytes(b"dump.log"))));
    }

    #[test]
    fn answers() {
        let notify = b"\x08\x06\x10\x01\x2a\x10\x0a\x0cpost-restore\x10\x2a";
        let answer = Answer::read(notify).unwrap();
        let notice = Notice { script: "post-restore".to_owned(), process: 42 };
        assert_eq!(answer.notice, Some(notice));
        assert!(answer.success);
        let version = Answer::read(b"\x08\x0a\x10\x01\x52\x06\x08\x03\x10\x11\x20\x01").unwrap();
        assert_eq!(version.version, 31701);
        let features = Answer::read(b"\x08\x09\x10\x01\x42\x02\x08\x01").unwrap();
        assert!(features.tracks_memory);
        let failed = Answer::read(Answer::failed("no such file").as_bytes()).unwrap();
        assert_eq!((failed.success, failed.message.as_deref()), (false, Some("no such file")));
        assert_eq!(Answer::read(&[0x12]), None);
        assert_eq!(Answer::read(b"\x2a\x01\x0a"), None);
    }
}
