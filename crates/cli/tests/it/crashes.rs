//! The daemon is killed while it works, at many points: what it has acknowledged is there, and
//! nothing else is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use testkit::Brig;
use testkit::process::eventually;

use crate::BRIG;
use crate::faults::{gone, kill};

const ROUNDS: u64 = 20;

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, |entries| entries.flatten().count())
}

#[test]
fn a_daemon_killed_again_and_again() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let instance = brig.ok(&["info", "--format", "{{.ID}}"]);
    let mark = format!("brig-{}", instance.get(..6).unwrap());
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let name = format!("c{round}");
        let created = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let create = ["create", "--name", &name, "-p", "0:80", "busybox", "sleep", "600"];
                let created = brig.output(&create).status.success();
                for step in [&["start", &name][..], &["stop", "-t", "0", &name]] {
                    drop(brig.output(step));
                }
                drop(brig.output(&["run", "--rm", "busybox", "true"]));
                created
            });
            // Another point of the work each time, from its beginning to about its end.
            std::thread::park_timeout(Duration::from_millis(round * 37 % 400));
            if let Some(daemon) = brig.daemon_id() {
                kill(daemon);
                gone(daemon);
            }
            work.join().unwrap()
        });
        if created {
            acknowledged.insert(name);
        }
    }
    let listed = brig.ok(&["ps", "-a", "--format", "{{.Names}}"]);
    let listed: BTreeSet<String> = listed.lines().map(ToOwned::to_owned).collect();
    assert!(acknowledged.is_subset(&listed), "{acknowledged:?} of {listed:?}");
    for name in &acknowledged {
        drop(brig.output(&["start", name]));
        assert_eq!(brig.ok(&["exec", name, "echo", "alive"]), "alive");
    }
    let every = brig.ok(&["ps", "-aq"]);
    for id in every.lines() {
        drop(brig.ok(&["rm", "-f", id]));
    }
    let (data, run) = (brig.root().join("data"), brig.root().join("run"));
    eventually("nothing is left", Duration::from_secs(20), || {
        let left = [data.join("snapshots"), data.join("containers"), run.join("containers")];
        left.iter().all(|directory| count(directory) == 0).then_some(())
    });
    drop(brig.ok(&["system", "shutdown", "--all"]));
    eventually("the kernel has nothing of it", Duration::from_secs(20), || {
        let links = fs::read_dir("/sys/class/net").unwrap().flatten();
        let linked = links.filter(|link| link.file_name().to_string_lossy().contains(&*mark));
        let groups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let grouped = groups.filter(|hierarchy| hierarchy.path().join(&mark).exists());
        let left = (linked.count(), grouped.map(|found| found.path()).collect::<Vec<_>>());
        (left.0 + left.1.len() == 0).then_some(()).or_else(|| {
            eprintln!("left: {left:?}");
            None
        })
    });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*brig.root().to_string_lossy()), "{mounts}");
}
