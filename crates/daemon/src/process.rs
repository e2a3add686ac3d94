//! What a daemon that was started on demand changes about its own process, so that nothing of the
//! command that started it reaches it: not its terminal, not its limits, not its cgroup.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use linux::cgroup::Layout;
use linux::process::{
    Namespaces, Pid, PidFd, Resource, SingleThreaded, join_of, new_session, resource_limit,
    set_resource_limit,
};
use rustix::fs::Mode;

use crate::{Error, Result};

/// Names of limits as `/proc/1/limits` has them.
const LIMITS: &[(&str, Resource)] = &[
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];
/// Descriptors a daemon with many containers needs.
const DESCRIPTORS: u64 = 1 << 20;
/// What the first process has everywhere: files of ours are readable, and writable by us only.
const UMASK: u32 = 0o022;

/// Makes a process of its own out of one that a command started: session, descriptors, limits,
/// umask, cgroups, namespaces. Called before the launcher is forked, which inherits all of it.
/// (Environment, directory and signals are set by [`crate::start_on_demand`].)
///
/// `paths` are those that must be the same after the move to the first process's namespaces.
/// Every descriptor but the standard three is closed: nothing may be open yet.
///
/// # Errors
/// When the kernel refuses a new session.
pub fn detach(token: &SingleThreaded, paths: &[&Path]) -> Result<()> {
    new_session().map_err(Error::Kernel)?;
    // Whatever else the command had open must not live as long as we do.
    linux::inherit::close_all_but(token, &[]).map_err(Error::Kernel)?;
    for (resource, soft, hard) in limits(&fs::read_to_string("/proc/1/limits").unwrap_or_default())
    {
        limit(resource, soft, hard);
    }
    limit(Resource::Nofile, Some(DESCRIPTORS), Some(DESCRIPTORS));
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    leave_cgroups();
    leave_namespaces(paths);
    Ok(())
}

/// Moves this process to the namespaces of the first one, so that the network, say, that a command
/// was given by hand does not become the daemon's. It stays where that is refused, and where the
/// paths lead to something else there: the command could not find us, and it may well be in a
/// container that shares nothing but its processes.
fn leave_namespaces(paths: &[&Path]) {
    if !paths.iter().all(|path| is_same_at_first_process(path)) {
        return;
    }
    let mut others = Namespaces::default();
    for kind in [Namespaces::MOUNT, Namespaces::NETWORK, Namespaces::UTS, Namespaces::IPC] {
        if is_another(kind) {
            others |= kind;
        }
    }
    if let Some(first) = Pid::from_raw(1).filter(|_| !others.is_empty()) {
        let _stays = PidFd::open(first).and_then(|first| join_of(&first, others));
    }
}

/// Whether this process and the first one are known to have different namespaces of a kind.
fn is_another(kind: Namespaces) -> bool {
    let of =
        |process: &str| file(&Path::new("/proc").join(process).join("ns").join(kind.file_name()));
    of("self").zip(of("1")).is_some_and(|(own, first)| own != first)
}

fn is_same_at_first_process(path: &Path) -> bool {
    let there = Path::new("/proc/1/root").join(path.strip_prefix("/").unwrap_or(path));
    file(path).zip(file(&there)).is_some_and(|(here, there)| here == there)
}

/// What makes a file one: device and inode.
fn file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Sets a limit. Without the capability the hard one stays as it was, and the soft one comes as
/// near as it lets it.
fn limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) {
    if set_resource_limit(resource, soft, hard).is_ok() {
        return;
    }
    let (_, own) = resource_limit(resource);
    let soft = match (soft, own) {
        (Some(soft), Some(own)) => Some(soft.min(own)),
        (soft, own) => soft.or(own),
    };
    let _unchanged = set_resource_limit(resource, soft, own);
}

/// Soft and hard limits of a `limits` file; `None` is no limit.
fn limits(text: &str) -> Vec<(Resource, Option<u64>, Option<u64>)> {
    let line = |(name, resource): &(&str, Resource)| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut words = line.split_whitespace();
        let mut limit = || match words.next()? {
            "unlimited" => Some(None),
            number => number.parse().ok().map(Some),
        };
        Some((*resource, limit()?, limit()?))
    };
    LIMITS.iter().filter_map(line).collect()
}

/// Moves this process to the root of every cgroup hierarchy, so that the end of a session or unit
/// does not end the daemon. What cannot be left (a delegated subtree) is left to its fate.
pub(crate) fn leave_cgroups() {
    let process_id = std::process::id().to_string();
    let hierarchies = Layout::detect().map(Layout::hierarchies).unwrap_or_default();
    for hierarchy in hierarchies {
        let _stays = fs::write(hierarchy.mount_point.join("cgroup.procs"), &process_id);
    }
}

#[cfg(test)]
mod tests {
    use linux::process::Resource;

    use super::limits;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             95917                unlimited            processes \n\
                    Max open files            1024                 4096                 files     \n";
        assert_eq!(
            limits(text),
            [(Resource::Nproc, Some(95917), None), (Resource::Nofile, Some(1024), Some(4096)),]
        );
    }
}
