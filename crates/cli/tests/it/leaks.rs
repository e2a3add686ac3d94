//! A thousand containers come and go; the host stays as it was.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testkit::Brig;
use testkit::process::eventually;

use crate::BRIG;

const CYCLES: usize = 1000;

/// The most networks that a daemon keeps prepared: the number follows the demand.
const PREPARED: usize = 32;

/// What one brig holds: everything of its instance on the host, and what its daemon uses, without
/// prepared networks, each of which is a namespace, its descriptor and a link.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    host: OnHost,
    processes: usize,
    descriptors: usize,
    files: usize,
}

/// What an instance holds on the host beside its root and its daemon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OnHost {
    mounts: usize,
    loops: usize,
    links: usize,
    groups: usize,
    /// Processes in its groups: monitors, containers.
    inhabitants: usize,
    elements: usize,
}

#[test]
fn a_thousand_cycles_leave_the_host_as_it_was() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let mark = mark(&brig);
    // As many at once as later: threads, their memory and prepared networks are then there.
    cycles(&brig, 200);
    let before = settled(&brig, &mark);
    let memory = resident(brig.daemon_id().unwrap());
    cycles(&brig, CYCLES);
    eventually("the host is as it was", Duration::from_secs(30), || {
        let now = look(&brig, &mark);
        now.is_within(&before).then_some(()).or_else(|| {
            eprintln!("before {before:?}\nnow    {now:?}");
            None
        })
    });
    let grown = resident(brig.daemon_id().unwrap()).saturating_sub(memory);
    assert!(grown < 4096, "the daemon grew by {grown} KiB");
}

impl Holdings {
    /// Whether nothing is more than it was: what was still going away then may be less now.
    fn is_within(&self, before: &Self) -> bool {
        self.host.is_within(&before.host)
            && self.processes <= before.processes
            && self.descriptors <= before.descriptors
            && self.files <= before.files
    }
}

impl OnHost {
    /// Whether nothing is more than it was.
    pub(crate) fn is_within(&self, before: &Self) -> bool {
        let counts =
            |of: &Self| [of.mounts, of.loops, of.links, of.groups, of.inhabitants, of.elements];
        counts(self).iter().zip(counts(before)).all(|(now, before)| *now <= before)
    }
}

/// What everything of a brig on the host is called by.
pub(crate) fn mark(brig: &Brig) -> String {
    let instance = brig.ok(&["info", "--format", "{{.ID}}"]);
    format!("brig-{}", instance.get(..6).unwrap())
}

/// That many containers come and go, four at a time; now and then one with company.
fn cycles(brig: &Brig, count: usize) {
    let one = |number: usize| {
        if number.is_multiple_of(25) {
            company(brig);
        }
        let status = brig
            .command(&["run", "--rm", "-p", "0:80", "busybox", "true"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..count / 4).for_each(one));
        }
    });
}

/// A container in which further processes run, and whose clients leave without a word.
fn company(brig: &Brig) {
    let id = brig.ok(&["run", "-d", "-i", "busybox", "sh", "-c", "echo begun; cat"]);
    assert_eq!(brig.ok(&["exec", &id, "echo", "inside"]), "inside");
    for words in [["logs", "-f", &id], ["attach", "--no-stdin", &id]] {
        let mut client = brig.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        if words[0] == "logs" {
            client.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
        }
        client.kill().unwrap();
        _ = client.wait().unwrap();
    }
    drop(brig.ok(&["rm", "-f", &id]));
}

/// Looks until two looks in a row agree: links of ended containers go behind the scenes.
fn settled(brig: &Brig, mark: &str) -> Holdings {
    let mut last = look(brig, mark);
    eventually("the host settles", Duration::from_secs(30), || {
        std::thread::park_timeout(Duration::from_millis(300));
        let now = look(brig, mark);
        let same = now == last;
        last = now;
        same.then_some(())
    });
    last
}

fn look(brig: &Brig, mark: &str) -> Holdings {
    let daemon = brig.daemon_id().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count();
    Holdings {
        host: on_host(brig, mark),
        processes: children(daemon),
        descriptors: descriptors.saturating_sub(namespaces(daemon)),
        files: files(&brig.root()),
    }
}

/// Looks at what an instance holds on the host, without prepared networks.
pub(crate) fn on_host(brig: &Brig, mark: &str) -> OnHost {
    let root = brig.root();
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let rules =
        stdx::process::output(stdx::process::command("nft").args(["list", "ruleset"])).unwrap();
    let links = stdx::process::output(stdx::process::command("ip").args(["-d", "link"])).unwrap();
    let links = String::from_utf8_lossy(&links.stdout).matches(mark).count();
    let prepared = namespaces(brig.daemon_id().unwrap());
    assert!(prepared <= PREPARED + 4, "{prepared} namespaces");
    OnHost {
        mounts: mountinfo.lines().filter(|line| line.contains(&*root.to_string_lossy())).count(),
        loops: loops(&root),
        links: links.saturating_sub(prepared),
        groups: groups(mark),
        inhabitants: inhabitants(mark),
        elements: table(&String::from_utf8_lossy(&rules.stdout), mark).matches(" : ").count(),
    }
}

/// Loop devices over files of this root.
fn loops(root: &Path) -> usize {
    let backing = |entry: fs::DirEntry| {
        let file = fs::read_to_string(entry.path().join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim()).starts_with(root))
    };
    fs::read_dir("/sys/block").unwrap().flatten().map(backing).filter(|own| *own).count()
}

/// Processes in the groups of an instance, in every hierarchy.
fn inhabitants(mark: &str) -> usize {
    fn below(directory: &Path) -> usize {
        let Ok(entries) = fs::read_dir(directory) else { return 0 };
        let own = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let others = entries.flatten().filter(|entry| entry.path().is_dir());
        own.lines().count() + others.map(|entry| below(&entry.path())).sum::<usize>()
    }
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    hierarchies.map(|hierarchy| below(&hierarchy.path().join(mark))).sum()
}

fn namespaces(daemon: u32) -> usize {
    let is_namespace = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("net:"))
    };
    let descriptors = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap();
    descriptors.flatten().filter(is_namespace).count()
}

fn resident(id: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn table(rules: &str, mark: &str) -> String {
    rules
        .lines()
        .skip_while(|line| !(line.starts_with("table") && line.contains(mark)))
        .take_while(|line| *line != "}")
        .collect::<Vec<_>>()
        .join("\n")
}

fn groups(mark: &str) -> usize {
    let mut count = 0;
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        if let Ok(entries) = fs::read_dir(hierarchy.path().join(mark)) {
            count += entries.flatten().filter(|entry| entry.path().is_dir()).count();
        }
    }
    count
}

/// Processes of this brig: children of the daemon's parent, the launcher, and of the daemon.
fn children(daemon: u32) -> usize {
    let stat = |id: &str| fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let parent = |stat: &str| -> Option<u32> {
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let launcher = parent(&stat(&daemon.to_string())).unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let parent = parent(&stat(&entry.file_name().to_string_lossy()));
            parent == Some(daemon) || launcher != 1 && parent == Some(launcher)
        })
        .count()
}

fn files(directory: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| {
            1 + if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                files(&entry.path())
            } else {
                0
            }
        })
        .sum()
}
