//! `brig system check`: whether this machine has what containers need. Looks, changes nothing.

use std::fs;
use std::path::Path;

use docker_api::brig::{Finding, Verdict};
use linux::cgroup::{Layout, Mode};
use linux::nftables::Socket;

/// The oldest kernel that has everything brig is built on: `cgroup.kill`, id-mapped mounts.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Everything that was looked at, good or not; `conflicts` are what the engine has found about
/// the firewalls of others.
pub(crate) fn findings(conflicts: Result<Vec<String>, String>) -> Vec<Finding> {
    vec![
        kernel(),
        cgroups(),
        namespaces(),
        user_namespaces(),
        overlay(),
        seccomp(),
        nftables(),
        forwarding(),
        foreign_drops(conflicts),
        bridge_filter(),
    ]
}

fn finding(name: &str, verdict: Verdict, detail: impl Into<String>, hint: &str) -> Finding {
    Finding { name: name.to_owned(), verdict, detail: detail.into(), hint: hint.to_owned() }
}

/// The trimmed text of a file of `/proc` or `/sys`; empty when it is not there.
fn text(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn kernel() -> Finding {
    let release = text("/proc/sys/kernel/osrelease");
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        return finding("kernel", Verdict::Good, release, "");
    }
    finding("kernel", Verdict::Warning, release, "brig is tested on Linux 5.15 and newer")
}

fn cgroups() -> Finding {
    let layout = match Layout::detect() {
        Ok(layout) => layout,
        Err(error) => {
            let hint = "mount the control groups, cgroup2 on /sys/fs/cgroup";
            return finding("cgroups", Verdict::Bad, stdx::chain(&error), hint);
        }
    };
    let mode = match layout.mode() {
        Mode::Unified => "version 2",
        Mode::Hybrid => "version 1 with version 2 beside it",
        Mode::Legacy => "version 1",
    };
    let missing: Vec<_> =
        ["cpu", "memory", "pids"].into_iter().filter(|name| layout.of(name).is_none()).collect();
    if missing.is_empty() {
        return finding("cgroups", Verdict::Good, mode, "");
    }
    let detail = format!("{mode}; without {}", missing.join(", "));
    finding("cgroups", Verdict::Warning, detail, "limits of what is missing will be refused")
}

fn namespaces() -> Finding {
    let missing: Vec<_> = ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    if missing.is_empty() {
        return finding("namespaces", Verdict::Good, "cgroup, ipc, mnt, net, pid, uts", "");
    }
    let detail = format!("without {}", missing.join(", "));
    finding("namespaces", Verdict::Bad, detail, "the kernel was built without them")
}

fn user_namespaces() -> Finding {
    let limit: u64 = text("/proc/sys/user/max_user_namespaces").parse().unwrap_or(0);
    if limit > 0 {
        return finding("user namespaces", Verdict::Good, format!("{limit} at most"), "");
    }
    let hint = "sysctl user.max_user_namespaces; needed only for remapped users";
    finding("user namespaces", Verdict::Warning, "none allowed", hint)
}

fn overlay() -> Finding {
    let known = text("/proc/filesystems").lines().any(|line| line.ends_with("\toverlay"));
    let module = || {
        let release = text("/proc/sys/kernel/osrelease");
        Path::new("/lib/modules").join(release).join("kernel/fs/overlayfs").exists()
    };
    if known {
        finding("overlay", Verdict::Good, "in the kernel", "")
    } else if module() {
        finding("overlay", Verdict::Good, "a module, loaded when first used", "")
    } else {
        finding("overlay", Verdict::Bad, "not in the kernel", "load the module overlay")
    }
}

fn seccomp() -> Finding {
    let actions = text("/proc/sys/kernel/seccomp/actions_avail");
    if actions.split(' ').any(|action| action == "errno") {
        return finding("seccomp", Verdict::Good, "filters", "");
    }
    let hint = "containers will run only with --security-opt seccomp=unconfined";
    finding("seccomp", Verdict::Bad, "not in the kernel", hint)
}

fn nftables() -> Finding {
    match Socket::open().and_then(|mut socket| socket.tables()) {
        Ok(tables) => finding("nftables", Verdict::Good, format!("{} tables", tables.len()), ""),
        Err(error) => {
            let hint = "load the module nf_tables; only --network host and none work without";
            finding("nftables", Verdict::Bad, stdx::chain(&error), hint)
        }
    }
}

fn forwarding() -> Finding {
    if text("/proc/sys/net/ipv4/ip_forward") == "1" {
        return finding("forwarding", Verdict::Good, "on", "");
    }
    let hint = "brig turns net.ipv4.ip_forward on when the first container needs it";
    finding("forwarding", Verdict::Warning, "off", hint)
}

/// An accept in brig's table does not save a packet that another table drops.
fn foreign_drops(conflicts: Result<Vec<String>, String>) -> Finding {
    let name = "other firewalls";
    match conflicts {
        Ok(conflicts) if conflicts.is_empty() => {
            finding(name, Verdict::Good, "none drops what is forwarded", "")
        }
        Ok(conflicts) => {
            let hint =
                "let brig's bridge pass there; a daemon that starts enters Docker's firewall";
            finding(name, Verdict::Warning, conflicts.join("; "), hint)
        }
        Err(error) => finding(name, Verdict::Warning, error, "their rules cannot be read"),
    }
}

fn bridge_filter() -> Finding {
    if text("/proc/sys/net/bridge/bridge-nf-call-iptables") != "1" {
        return finding("bridge filter", Verdict::Good, "off", "");
    }
    let hint = "a firewall that drops what is forwarded then cuts containers off from each other";
    finding("bridge filter", Verdict::Warning, "bridged packets pass the IP firewall", hint)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_finding_has_a_name_and_a_detail() {
        let findings = super::findings(Ok(Vec::new()));
        assert_eq!(findings.len(), 10);
        for finding in findings {
            assert!(!finding.name.is_empty() && !finding.detail.is_empty(), "{finding:?}");
        }
    }
}
