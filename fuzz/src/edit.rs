//! Structure-aware changes of a JSON document: an input is read as a list of edits, each a way down
//! the tree and what is done there, so that every input is a document and most are nearly right.

use serde_json::{Map, Number, Value};

/// Strings of which some are right somewhere, and most are wrong everywhere.
const WORDS: &[&str] = &[
    "",
    "/",
    ".",
    "..",
    "/..",
    "/../../etc",
    "a/../../b",
    "//",
    "/proc",
    "/proc/self/fd/3",
    "/proc/self/exe",
    "/proc/1/root",
    "/proc/sys",
    "/proc/self/ns/mnt",
    "/proc/self/ns/net",
    "/proc/self/ns/pid",
    "/proc/self/ns/user",
    "/proc/self/ns/ipc",
    "/proc/1/ns/time",
    "/sys",
    "/sys/fs/cgroup",
    "/dev",
    "/dev/null",
    "/dev/console",
    "/dev/pts",
    "/dev/ptmx",
    "/dev/shm/x",
    "/link",
    "/link/below",
    "/loop",
    "/victim",
    "/victim/secret",
    "/shared",
    "/shared/file",
    "/shared/link",
    "/shared/deep/er",
    "/etc/passwd",
    "/tmp",
    "/fifo",
    "rootfs",
    "proc",
    "sysfs",
    "tmpfs",
    "bind",
    "rbind",
    "none",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "overlay",
    "ro",
    "rw",
    "rro",
    "rprivate",
    "rshared",
    "shared",
    "slave",
    "unbindable",
    "runbindable",
    "nosuid",
    "rnoexec",
    "nodev",
    "idmap",
    "ridmap",
    "tmpcopyup",
    "remount",
    "nosymfollow",
    "size=1k",
    "size=-1",
    "mode=9999",
    "mode=0777,size=1",
    "lowerdir=/",
    "dest=/x",
    "a=b=c",
    "mount",
    "network",
    "pid",
    "user",
    "time",
    "uts",
    "ipc",
    "monotonic",
    "c",
    "b",
    "p",
    "a",
    "u",
    "rwm",
    "rwmx",
    "LINUX32",
    "MPOL_PREFERRED",
    "MPOL_LOCAL",
    "SCHED_FIFO",
    "SCHED_DEADLINE",
    "SCHED_IDLE",
    "IOPRIO_CLASS_RT",
    "IOPRIO_CLASS_IDLE",
    "RLIMIT_AS",
    "RLIMIT_NPROC",
    "RLIMIT_X",
    "CAP_SYS_ADMIN",
    "CAP_",
    "cap_chown",
    "SCMP_ACT_KILL",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_CMP_NE",
    "SCMP_CMP_GT",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    "no_such_call",
    "net.core.somaxconn",
    "kernel.shmmax",
    "kernel.core_pattern",
    "net/../kernel/core_pattern",
    "fs.mqueue.msg_max",
    "kernel.hostname",
    "cgroup.procs",
    "cgroup.kill",
    "../cgroup.procs",
    "cgroup.subtree_control",
    "hugetlb.1GB.max",
    "1\n2",
    "+1",
    "-1",
    "0-",
    "0-9999",
    "4294967296",
    "1GB",
    "3MB",
    "lo",
    "fuzz0",
    "1.0",
    "2.0.0",
    "system.slice:x:y",
    "/brig-fuzz",
    "/brig-fuzz/d",
    "/brig-fuzz/../x",
    "with\0nul",
    "with\nline",
    "PATH=",
    "=",
    "true",
    "\u{7f}ä\u{202e}",
];

const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    38,
    100,
    255,
    256,
    1000,
    1001,
    4095,
    4096,
    65535,
    65536,
    1 << 20,
    1 << 31,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 32,
    -(1 << 31),
    i64::MAX,
    i64::MIN,
    1_000_000_000,
    999_999_999,
    262_144,
];

/// Applies the edits that the input describes.
pub fn apply(document: &mut Value, input: &[u8]) {
    let mut bytes = input.iter().copied();
    for _ in 0..16 {
        let Some(first) = bytes.next() else { return };
        edit(document, first, &mut bytes);
    }
}

/// Goes down by one byte a level; a byte that points past the children stops there.
fn edit(node: &mut Value, way: u8, bytes: &mut impl Iterator<Item = u8>) {
    let way = usize::from(way);
    match node {
        Value::Object(members)
            if !members.is_empty() && way % (members.len() + 1) < members.len() =>
        {
            let key = members.keys().nth(way % (members.len() + 1)).cloned().unwrap_or_default();
            match members.get_mut(&key) {
                Some(child) if is_branch(child) => edit(child, bytes.next().unwrap_or(255), bytes),
                _ => change_member(members, &key, bytes),
            }
        }
        Value::Array(elements)
            if !elements.is_empty() && way % (elements.len() + 1) < elements.len() =>
        {
            let index = way % (elements.len() + 1);
            match elements.get_mut(index) {
                Some(child) if is_branch(child) => edit(child, bytes.next().unwrap_or(255), bytes),
                _ => change_element(elements, index, bytes),
            }
        }
        other => change(other, bytes),
    }
}

fn is_branch(value: &Value) -> bool {
    matches!(value, Value::Object(members) if !members.is_empty())
        || matches!(value, Value::Array(elements) if !elements.is_empty())
}

fn change_member(
    members: &mut Map<String, Value>,
    key: &str,
    bytes: &mut impl Iterator<Item = u8>,
) {
    let operation = bytes.next().unwrap_or(0);
    match operation % 4 {
        0 => drop(members.remove(key)),
        1 => {
            let value = members.remove(key).unwrap_or_default();
            members.insert(word(bytes), value);
        }
        _ => drop(members.insert(key.to_owned(), value(bytes))),
    }
}

fn change_element(elements: &mut Vec<Value>, index: usize, bytes: &mut impl Iterator<Item = u8>) {
    match bytes.next().unwrap_or(0) % 5 {
        0 => drop(elements.remove(index)),
        1 => elements.push(elements[index].clone()),
        2 => elements.insert(index, value(bytes)),
        _ => elements[index] = value(bytes),
    }
}

fn change(node: &mut Value, bytes: &mut impl Iterator<Item = u8>) {
    match node {
        Value::Object(members) => drop(members.insert(word(bytes), value(bytes))),
        Value::Array(elements) if !bytes.next().unwrap_or(0).is_multiple_of(3) => {
            // Twice a neighbour, or something new.
            let copy = elements.last().cloned().unwrap_or_else(|| value(bytes));
            elements.push(copy);
        }
        _ => *node = value(bytes),
    }
}

fn value(bytes: &mut impl Iterator<Item = u8>) -> Value {
    match bytes.next().unwrap_or(0) % 10 {
        0 => Value::Null,
        1 => Value::Bool(bytes.next().unwrap_or(0).is_multiple_of(2)),
        2..=4 => {
            let number = NUMBERS[usize::from(bytes.next().unwrap_or(0)) % NUMBERS.len()];
            Value::Number(Number::from(number))
        }
        5 => Value::Array(vec![
            Value::String(word(bytes));
            1 + usize::from(bytes.next().unwrap_or(0) % 3)
        ]),
        6 => Value::Object(Map::from_iter([(word(bytes), Value::String(word(bytes)))])),
        7 => Value::String("x".repeat(1 << (bytes.next().unwrap_or(0) % 14))),
        _ => Value::String(word(bytes)),
    }
}

fn word(bytes: &mut impl Iterator<Item = u8>) -> String {
    WORDS[usize::from(bytes.next().unwrap_or(0)) % WORDS.len()].to_owned()
}
