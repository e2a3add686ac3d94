//! What a container has when nothing is asked for, seen from inside.

use linux::capability::Set;
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::test;

pub(crate) const TESTS: &[Test] = &[
    ("defaults::capabilities_and_filter", capabilities_and_filter),
    ("defaults::a_filter_and_no_new_privileges", filter_and_no_new_privileges),
    ("defaults::shared_memory_and_message_queues", shared_memory),
];

fn capabilities_and_filter(token: &SingleThreaded) {
    test(token, async |world| {
        let (_, output) = world.run("cat /proc/self/status", |_| ()).await;
        let mask = format!("{:016x}", Set::of_names(&policy::DEFAULT_CAPABILITIES).unwrap().bits());
        assert_eq!(mask, "00000000a80425fb");
        for line in [
            format!("CapPrm:\t{mask}"),
            format!("CapEff:\t{mask}"),
            format!("CapBnd:\t{mask}"),
            "CapInh:\t0000000000000000".to_owned(),
            "CapAmb:\t0000000000000000".to_owned(),
            "NoNewPrivs:\t0".to_owned(),
            "Seccomp:\t2".to_owned(),
        ] {
            assert!(output.lines().any(|found| found == line), "{line}: {output}");
        }
    });
}

fn filter_and_no_new_privileges(token: &SingleThreaded) {
    test(token, async |world| {
        let (_, output) = world
            .run("grep -E 'NoNewPrivs:|Seccomp:' /proc/self/status", |spec| {
                spec.host.security.options = vec!["no-new-privileges".into()];
            })
            .await;
        assert!(output.starts_with("NoNewPrivs:\t1\nSeccomp:\t2\n"), "{output}");
    });
}

fn shared_memory(token: &SingleThreaded) {
    test(token, async |world| {
        let script = "grep -E ' /dev/(shm|mqueue) ' /proc/mounts";
        let (_, output) = world.run(script, |_| ()).await;
        let line = |start: &str| {
            let found = output.lines().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("{start}: {output}")).to_owned()
        };
        let memory = line("shm /dev/shm tmpfs ");
        let queues = line("mqueue /dev/mqueue mqueue ");
        for option in ["rw", "nosuid", "nodev", "noexec"] {
            for found in [&memory, &queues] {
                let options = found.split(' ').nth(3).unwrap();
                assert!(options.split(',').any(|has| has == option), "{option}: {found}");
            }
        }
        assert!(memory.contains("size=65536k"), "{memory}");
    });
}
