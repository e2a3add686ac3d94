//! The default profile beside moby's own: the same meaning in every situation that can differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use oci::Digest;
use oci::runtime::{Seccomp, SeccompRule};

use super::with;
use crate::DEFAULT_CAPABILITIES;
use crate::seccomp::{Situation, default_seccomp, seccomp_from_profile};

/// Digest of the meaning of moby/profiles `seccomp/default.json` at commit 02e898b137ae.
///
/// It is taken of [`text`]: for each of [`situations`], in their order, a line that names it and
/// then the lines of [`meaning`], sorted, each with its line end. The constant came from moby's
/// file read by [`seccomp_from_profile`], not from the table. To compute it again, for this version
/// of the file or another, and to see what differs:
///
/// ```text
/// BRIG_MOBY_PROFILE=/path/to/default.json cargo test -p policy mobys_file_is
/// ```
const MEANING_OF_MOBYS_FILE: &str =
    "sha256:f4d71592cf2fe307ba8bcdb4d3e2892f11ec155fed954b2a3c7013d0edc18433";

/// Where the second test finds moby's file, which is not part of this repository.
const FILE_VARIABLE: &str = "BRIG_MOBY_PROFILE";

/// In Go's words: those that brig knows, and the others that moby's conditions name.
const ARCHITECTURES: [&str; 7] = ["amd64", "386", "arm64", "arm", "ppc64le", "riscv64", "s390x"];

/// Old, on both sides of moby's one boundary (4.8), and new.
const KERNELS: [&str; 5] = ["3.10", "4.7", "4.8", "5.15", "6.12"];

/// All that Linux knows (capabilities(7)), so that a condition on any of them is noticed.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[test]
fn the_default_profile_means_what_mobys_does() {
    let digest = Digest::of(text(&meanings(default_seccomp)).as_bytes());
    assert_eq!(digest.to_string(), MEANING_OF_MOBYS_FILE);
}

#[test]
fn mobys_file_is_what_the_digest_was_taken_of() {
    let Some(path) = std::env::var_os(FILE_VARIABLE) else {
        return testkit::skip("moby-profile");
    };
    let file = fs::read_to_string(path).unwrap();
    let theirs = meanings(|situation| seccomp_from_profile(&file, situation).unwrap().unwrap());
    let differences = differences(&meanings(default_seccomp), &theirs);
    let digest = Digest::of(text(&theirs).as_bytes());
    assert!(differences.is_empty(), "{differences}the file's digest: {digest}");
    assert_eq!(digest.to_string(), MEANING_OF_MOBYS_FILE);
}

/// A situation's name, and what a profile means in it.
type Meaning = (String, BTreeSet<String>);

fn meanings(decide: impl Fn(&Situation<'_>) -> Seccomp) -> Vec<Meaning> {
    let decided = situations().into_iter().map(|(architecture, kernel, capabilities)| {
        let name = format!("{architecture} {kernel} {}", capabilities.join(","));
        (name, meaning(&with(&capabilities, architecture, kernel, &decide)))
    });
    decided.collect()
}

/// Architecture, kernel and capabilities: none, one, Docker's and all, on everything.
fn situations() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let several = [Vec::new(), DEFAULT_CAPABILITIES.to_vec(), CAPABILITIES.to_vec()];
    let sets: Vec<_> = several.into_iter().chain(CAPABILITIES.map(|name| vec![name])).collect();
    let mut situations = Vec::new();
    for architecture in ARCHITECTURES {
        for kernel in KERNELS {
            situations.extend(sets.iter().map(|set| (architecture, kernel, set.clone())));
        }
    }
    situations
}

/// One line for the profile and one for each name of each rule, in whatever order and however often
/// they were written.
fn meaning(profile: &Seccomp) -> BTreeSet<String> {
    let general = format!(
        "default {} {:?} on {:?} with {:?} {:?} {:?}",
        profile.default_action,
        profile.default_errno_ret,
        profile.architectures,
        profile.flags,
        profile.listener_path,
        profile.listener_metadata,
    );
    profile.syscalls.iter().flat_map(lines).chain([general]).collect()
}

fn lines(rule: &SeccompRule) -> impl Iterator<Item = String> {
    let mut outcome = format!("{} {:?}", rule.action, rule.errno_ret);
    for argument in &rule.args {
        let (index, operator) = (argument.index, &argument.op);
        let (value, second) = (argument.value, argument.value_two);
        write!(outcome, " argument {index} {operator} {value} {second}").unwrap();
    }
    rule.names.iter().map(move |name| format!("{name} {outcome}"))
}

fn text(meanings: &[Meaning]) -> String {
    let mut text = String::new();
    for (situation, lines) in meanings {
        writeln!(text, "{situation}").unwrap();
        for line in lines {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

/// Lines that only one side has, each once, with the number of situations and the first of them.
fn differences(ours: &[Meaning], theirs: &[Meaning]) -> String {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for ((situation, ours), (_, theirs)) in ours.iter().zip(theirs) {
        let surplus = ours.difference(theirs).map(|line| format!("only the table: {line}"));
        let missing = theirs.difference(ours).map(|line| format!("only moby's file: {line}"));
        for difference in surplus.chain(missing) {
            found.entry(difference).or_default().push(situation);
        }
    }
    let mut report = String::new();
    for (difference, situations) in &found {
        let count = situations.len();
        writeln!(report, "{difference} (in {count} situations, as {})", situations[0]).unwrap();
    }
    report
}
