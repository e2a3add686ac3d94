//! What a daemon that was started on demand changes about its own process, so that nothing of the
//! command that started it reaches it: not its terminal, not its limits, not its cgroup.

use std::fs;

use linux::cgroup::Layout;
use linux::process::{Resource, SingleThreaded, new_session, set_resource_limit};

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

/// Makes a process of its own out of one that a command started: session, descriptors, limits,
/// cgroups. Called before the launcher is forked, which inherits all of it. (Environment, directory
/// and signal mask are set by [`crate::start_on_demand`].)
///
/// Every descriptor but the standard three is closed: nothing may be open yet.
///
/// # Errors
/// When the kernel refuses a new session.
pub fn detach(token: &SingleThreaded) -> Result<()> {
    new_session().map_err(Error::Kernel)?;
    // Whatever else the command had open must not live as long as we do.
    linux::inherit::close_all_but(token, &[]).map_err(Error::Kernel)?;
    for (resource, soft, hard) in limits(&fs::read_to_string("/proc/1/limits").unwrap_or_default())
    {
        // Without the capability a limit stays as it was.
        let _unchanged = set_resource_limit(resource, soft, hard);
    }
    let _unchanged = set_resource_limit(Resource::Nofile, Some(DESCRIPTORS), Some(DESCRIPTORS));
    leave_cgroups();
    Ok(())
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
