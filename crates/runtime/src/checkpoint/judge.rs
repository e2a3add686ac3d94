//! Whether what CRIU has made is what the configuration says; seen while nothing of it runs yet.
//!
//! A checkpoint names the rights of its processes. One that was written by somebody else can name
//! any: so none may be more than a process of this configuration could have. A process that was
//! given more by `exec` is refused with the rest.

use std::collections::BTreeSet;
use std::fs;

use linux::cgroup::{Group, Layout, Version};
use linux::process::{Namespaces, Pid, PidFd};
use oci::runtime::Spec;

use super::judge_mount;
use crate::Error;
use crate::exec::identity;
use crate::plan::Plan;

/// What is wrong, in words.
pub(super) type Reason = String;

/// What holds for every process.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    spec: &'a Spec,
    plan: &'a Plan,
    group: &'a Group,
    rights: Rights,
    label: Option<String>,
}

/// The most that a process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    capabilities: u64,
    no_new_privileges: bool,
    is_filtered: bool,
    /// The user it can never cease to be.
    user: Option<u32>,
}

const SET_USER: u64 = 1 << 7;
pub(super) const SYSTEM_ADMINISTRATION: u64 = 1 << 21;

impl<'a> Judge<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        plan: &'a Plan,
        group: &'a Group,
        label: Option<&str>,
    ) -> Result<Self, Error> {
        let process = &plan.process;
        let sets = process.credentials.capabilities;
        let capabilities = sets.bounding.bits() | sets.permitted.bits() | sets.inheritable.bits();
        let is_held = process.no_new_privileges && sets.permitted.bits() & SET_USER == 0;
        let user = process.credentials.user;
        let rights = Rights {
            capabilities,
            no_new_privileges: process.no_new_privileges,
            is_filtered: process.seccomp.is_some(),
            user: Some(user).filter(|user| is_held && *user != 0),
        };
        let configured = process.apparmor.as_ref().or(process.selinux.as_ref());
        let named = configured.and_then(|text| text.split_whitespace().last());
        let label = label.or(named).map(str::to_owned);
        Ok(Self { spec, plan, group, rights, label })
    }

    /// All processes of the container whose first this is; `criu` has made them. If one is not as it
    /// must be, none lives on: CRIU itself would let them go now, whatever it is told.
    pub(super) fn all(&self, criu: &PidFd, process: &PidFd) -> Result<(), Error> {
        let first = process.pid().as_raw_nonzero().get();
        let own = criu.pid().as_raw_nonzero().get();
        let everyone = self.everyone(first, own)?;
        let verdict = everyone.iter().try_for_each(|pid| {
            self.one(*pid, own)
                .map_err(|reason| format!("process {pid} ({}): {reason}", name_of(*pid)))
        });
        let is_admin = self.rights.capabilities & SYSTEM_ADMINISTRATION != 0;
        let verdict =
            verdict.and_then(|()| judge_mount::all(self.spec, self.plan, first, is_admin));
        verdict.map_err(|reason| {
            for process in everyone.iter().filter_map(|pid| PidFd::open(Pid::from_raw(*pid)?).ok())
            {
                // One that has ended needs no signal.
                drop(process.signal(9));
            }
            // With it CRIU, which would wait for those that have gone.
            drop(self.group.kill());
            Error::Unfit { reason }
        })
    }

    /// Descendants of the first, and whoever is in the group; but not CRIU, which leaves it when it
    /// ends.
    fn everyone(&self, first: i32, criu: i32) -> Result<BTreeSet<i32>, Error> {
        let mut all: BTreeSet<i32> = BTreeSet::new();
        descend(first, &mut all);
        all.extend(self.group.processes()?.iter().map(|pid| pid.as_raw_nonzero().get()));
        all.remove(&criu);
        Ok(all)
    }

    fn one(&self, pid: i32, criu: i32) -> Result<(), Reason> {
        let threads = format!("/proc/{pid}/task");
        let statuses = entries(&threads).into_iter().map(|thread| {
            let status = read(&format!("{threads}/{thread}/status"))?;
            Ok((thread, status))
        });
        let statuses: Vec<_> = statuses.collect::<Result<_, Reason>>()?;
        if !statuses.is_empty() && statuses.iter().all(|(_, status)| has_ended(status)) {
            // It does nothing any more, and has no namespaces: its parent has not asked for it yet.
            return Ok(());
        }
        self.namespaces(pid, criu)?;
        self.groups(pid)?;
        for (thread, status) in &statuses {
            self.rights.judge(status)?;
            if let Some(wanted) = &self.label {
                let label = read(&format!("{threads}/{thread}/attr/current")).unwrap_or_default();
                judge_label(wanted, label.trim_end_matches(['\0', '\n']))?;
            }
        }
        Ok(())
    }

    /// Where the container has a namespace of its own, nobody may be in the caller's, or in CRIU's.
    fn namespaces(&self, pid: i32, criu: i32) -> Result<(), Reason> {
        let namespaces = &self.plan.namespaces;
        let text = |error: Error| stdx::chain(&error);
        for kind in KINDS {
            let here = identity(&pid.to_string(), kind).map_err(text)?;
            let outside = [
                identity("self", kind).map_err(text)?,
                identity(&criu.to_string(), kind).map_err(text)?,
            ];
            let is_follower = kind == Namespaces::NETWORK && namespaces.network_follows;
            let is_own = namespaces.new.contains(kind) || is_follower;
            if is_own && outside.contains(&here) {
                return Err(format!("it is in the host's {} namespace", kind.file_name()));
            }
            let joined = namespaces.joined.iter().find(|(joined, _)| *joined == kind);
            if let Some((_, wanted)) = joined {
                let wanted = rustix::fs::fstat(wanted).map_err(|errno| errno.to_string())?;
                if here != Some(wanted.st_ino) {
                    return Err(format!("it is not in the {} namespace named", kind.file_name()));
                }
            }
        }
        Ok(())
    }

    fn groups(&self, pid: i32) -> Result<(), Reason> {
        let text = read(&format!("/proc/{pid}/cgroup"))?;
        let layout = Layout::detect().map_err(|error| stdx::chain(&error))?;
        let is_known = |controllers: &str| {
            layout.hierarchies().iter().any(|hierarchy| match hierarchy.version {
                Version::V1 => hierarchy.controllers.join(",") == controllers,
                Version::V2 => controllers.is_empty(),
            })
        };
        match text.lines().find_map(|line| stray(line, self.group.path(), &is_known)) {
            Some(path) => Err(format!("it is in the control group {path}")),
            None => Ok(()),
        }
    }
}

const KINDS: [Namespaces; 6] = [
    Namespaces::MOUNT,
    Namespaces::PID,
    Namespaces::NETWORK,
    Namespaces::IPC,
    Namespaces::UTS,
    Namespaces::CGROUP,
];

/// Whether a thread is a zombie, by its `/proc/PID/status`.
fn has_ended(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| state.trim_start().starts_with('Z'))
}

/// The path of a line of `/proc/PID/cgroup`, if it is not in the container's group.
fn stray<'a>(line: &'a str, group: &str, is_known: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let below = path.strip_prefix(group);
    let is_inside = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (is_known(controllers) && !is_inside).then_some(path)
}

impl Rights {
    /// Of one thread, by its `/proc/PID/status` (proc(5)).
    fn judge(&self, status: &str) -> Result<(), Reason> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).ok_or_else(|| format!("its status has no {name}"))
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let bits = u64::from_str_radix(field(set)?, 16).map_err(|error| error.to_string())?;
            let more = bits & !self.capabilities;
            if more != 0 {
                return Err(format!(
                    "it has capabilities that are not configured ({set} {more:x})"
                ));
            }
        }
        if self.no_new_privileges && field("NoNewPrivs")? != "1" {
            return Err("it could gain privileges, and process.noNewPrivileges forbids it".into());
        }
        if self.is_filtered && field("Seccomp")? != "2" {
            return Err("it has no filter of system calls, and linux.seccomp wants one".into());
        }
        if let Some(user) = self.user {
            let wanted = user.to_string();
            if field("Uid")?.split_whitespace().any(|id| id != wanted) {
                return Err(format!("it is another user than {user}, and could not become one"));
            }
        }
        Ok(())
    }
}

/// `AppArmor` adds the mode: `name (enforce)`.
fn judge_label(wanted: &str, label: &str) -> Result<(), Reason> {
    // CRIU's option names the module first.
    let wanted = wanted.split_once(':').map_or(wanted, |(module, rest)| {
        if matches!(module, "apparmor" | "selinux") { rest } else { wanted }
    });
    let bare = label.split_once(" (").map_or(label, |(bare, _)| bare);
    let is_unconfined = wanted == "unconfined" && label.is_empty();
    if bare == wanted || is_unconfined {
        return Ok(());
    }
    Err(format!("its label is {label:?} and not {wanted:?}"))
}

/// A process and its descendants; those whose parent has ended are the first process's, or in the
/// group.
fn descend(pid: i32, all: &mut BTreeSet<i32>) {
    if !all.insert(pid) {
        return;
    }
    let threads = format!("/proc/{pid}/task");
    for thread in entries(&threads) {
        let children = read(&format!("{threads}/{thread}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            descend(child, all);
        }
    }
}

fn entries(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn read(path: &str) -> Result<String, Reason> {
    fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"))
}

fn name_of(pid: i32) -> String {
    Pid::from_raw(pid)
        .and_then(|pid| read(&format!("/proc/{}/comm", pid.as_raw_nonzero())).ok())
        .map_or_else(String::new, |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Rights, judge_label, stray};

    const STATUS: &str = "Name:\tsh\nUid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000401\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn rights() -> Rights {
        Rights { capabilities: 0x401, no_new_privileges: true, is_filtered: true, user: Some(1000) }
    }

    #[test]
    fn nobody_has_more_than_the_configuration_gives() {
        assert_eq!(rights().judge(STATUS), Ok(()));
        for (from, to, reason) in [
            ("CapBnd:\t0000000000000401", "CapBnd:\t000001ffffffffff", "CapBnd"),
            ("CapEff:\t0000000000000400", "CapEff:\t0000000000200400", "CapEff 200000"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "noNewPrivileges"),
            ("Seccomp:\t2", "Seccomp:\t0", "filter"),
            ("1000\t1000\n", "1000\t0\n", "another user"),
            ("CapAmb:\t0000000000000000\n", "", "no CapAmb"),
        ] {
            assert!(STATUS.contains(from), "{from}");
            let error = rights().judge(&STATUS.replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let free = Rights {
            capabilities: u64::MAX,
            no_new_privileges: false,
            is_filtered: false,
            user: None,
        };
        let other = STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0").replace("1000", "0");
        assert_eq!(free.judge(&other), Ok(()));
    }

    #[test]
    fn groups_outside() {
        let is_known = |controllers: &str| controllers != "rdma";
        assert_eq!(stray("0::/a/b", "/a/b", &is_known), None);
        assert_eq!(stray("0::/a/b/c", "/a/b", &is_known), None);
        assert_eq!(stray("0::/a/bc", "/a/b", &is_known), Some("/a/bc"));
        assert_eq!(stray("3:cpu,cpuacct:/", "/a/b", &is_known), Some("/"));
        assert_eq!(stray("3:rdma:/", "/a/b", &is_known), None);
    }

    #[test]
    fn labels() {
        for (wanted, label) in [
            ("brig", "brig (enforce)"),
            ("apparmor:brig", "brig (complain)"),
            ("unconfined", ""),
            ("system_u:system_r:container_t:s0", "system_u:system_r:container_t:s0"),
        ] {
            assert_eq!(judge_label(wanted, label), Ok(()));
        }
        for label in ["", "unconfined", "brig2 (enforce)"] {
            assert!(judge_label("brig", label).is_err());
        }
    }
}
