//! `linux.resources` in the control groups of version 1, and on whatever this machine has.

use std::fs;
use std::path::Path;

use linux::cgroup::{Layout, Mode};
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("resource::every_limit_of_version_1", every_limit),
    ("resource::real_time_has_its_share", real_time),
    ("resource::what_the_kernel_refuses_is_told", refused),
    ("resource::rules_of_devices", devices),
    ("resource::scores_and_limits_of_the_process", process),
    ("resource::nothing_is_gained_by_exec", no_new_privileges),
    ("resource::labels_without_their_module_are_refused", labels),
    ("resource::system_calls_are_filtered", filtered),
];

/// A file of the group in one hierarchy, in one line.
fn file(group: &str, controller: &str, name: &str) -> String {
    let path = format!("/sys/fs/cgroup/{controller}{group}/{name}");
    let text = fs::read_to_string(&path);
    assert!(text.is_ok(), "{path}: {text:?}");
    text.unwrap().trim().replace('\n', " ")
}

/// The number of a whole disk.
fn disk() -> String {
    let disks = fs::read_dir("/sys/class/block").unwrap().flatten();
    let number = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("dev")).ok();
    disks.filter_map(number).next().unwrap().trim().to_owned()
}

fn every_limit(token: &SingleThreaded) {
    if Layout::detect().unwrap().mode() == Mode::Unified {
        // The same is looked at in the virtual machine there.
        return;
    }
    let mut world = World::new("");
    let disk = disk();
    let (major, minor) = disk.split_once(':').unwrap();
    let rate = |rate: u32| format!(r#"[{{"major":{major},"minor":{minor},"rate":{rate}}}]"#);
    world.linux().resources = serde_json::from_str(&format!(
        r#"{{
            "memory": {{"limit": 33554432, "reservation": 16777216, "swap": 50331648,
                        "kernelTCP": 8388608, "swappiness": 30, "disableOOMKiller": true,
                        "useHierarchy": true}},
            "cpu": {{"shares": 512, "quota": 50000, "period": 100000, "burst": 10000,
                     "cpus": "0", "mems": "0"}},
            "pids": {{"limit": 30}},
            "blockIO": {{"throttleReadBpsDevice": {}, "throttleWriteBpsDevice": {},
                         "throttleReadIOPSDevice": {}, "throttleWriteIOPSDevice": {}}}
        }}"#,
        rate(1001),
        rate(1002),
        rate(1003),
        rate(1004),
    ))
    .unwrap();
    let group = world.linux().cgroups_path.clone().unwrap();
    world.while_running(token, |_| {
        for (controller, name, expected) in [
            ("memory", "memory.limit_in_bytes", "33554432"),
            ("memory", "memory.soft_limit_in_bytes", "16777216"),
            ("memory", "memory.memsw.limit_in_bytes", "50331648"),
            ("memory", "memory.kmem.tcp.limit_in_bytes", "8388608"),
            ("memory", "memory.swappiness", "30"),
            ("memory", "memory.oom_control", "oom_kill_disable 1 under_oom 0 oom_kill 0"),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "50000"),
            ("cpu", "cpu.cfs_period_us", "100000"),
            ("cpu", "cpu.cfs_burst_us", "10000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("cpuset", "cpuset.mems", "0"),
            ("pids", "pids.max", "30"),
        ] {
            let found = file(&group, controller, name);
            assert!(found.starts_with(expected), "{name}: {found}");
        }
        for (name, rate) in
            [("read_bps", 1001), ("write_bps", 1002), ("read_iops", 1003), ("write_iops", 1004)]
        {
            let found = file(&group, "blkio", &format!("blkio.throttle.{name}_device"));
            assert_eq!(found, format!("{disk} {rate}"));
        }
    });
}

/// A group gets of its parent's time, and only with some of it may a process be a real-time one.
fn real_time(token: &SingleThreaded) {
    const CPU: &str = "/sys/fs/cgroup/cpu";
    if !Path::new(CPU).join("cpu.rt_runtime_us").exists() {
        // Only kernels that schedule groups in real time have it, and only in version 1.
        return;
    }
    let fifo = r#"{"policy":"SCHED_FIFO","priority":3}"#;
    let mut world = World::new("");
    let group = world.linux().cgroups_path.clone().unwrap();
    let parent = Path::new(CPU).join(group.trim_start_matches('/')).parent().unwrap().to_owned();
    fs::create_dir(&parent).unwrap();
    fs::write(parent.join("cpu.rt_runtime_us"), "20000").unwrap();
    world.process().scheduler = serde_json::from_str(fifo).unwrap();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("scheduling policy"), "without any time: {error}");
    let resources = r#"{"cpu":{"realtimeRuntime":5000,"realtimePeriod":500000}}"#;
    world.linux().resources = serde_json::from_str(resources).unwrap();
    world.while_running(token, |created| {
        assert_eq!(file(&group, "cpu", "cpu.rt_runtime_us"), "5000");
        assert_eq!(file(&group, "cpu", "cpu.rt_period_us"), "500000");
        let status = format!("/proc/{}/stat", created.process.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).unwrap();
        // Priority and policy (proc(5)).
        let fields: Vec<&str> = status.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!((fields[37], fields[38]), ("3", "1"), "{status}");
    });
}

fn refused(token: &SingleThreaded) {
    for (resources, said) in [
        (r#"{"memory":{"limit":4096,"swap":1024}}"#, "memory"),
        (r#"{"cpu":{"cpus":"4000"}}"#, "cpuset.cpus"),
        (r#"{"cpu":{"quota":1}}"#, "cpu"),
        // The parent has no time for real-time tasks that it could give away.
        (r#"{"cpu":{"realtimeRuntime":5000,"realtimePeriod":100000}}"#, "cpu.rt_"),
        (r#"{"rdma":{"mlx5_1":{"hcaHandles":3}}}"#, "rdma"),
        (r#"{"network":{"classID":7}}"#, "net_cls"),
        (r#"{"network":{"priorities":[{"name":"lo","priority":1}]}}"#, "net_prio"),
        (r#"{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}"#, "hugetlb.3MB"),
        (r#"{"unified":{"no.such.file":"1"}}"#, "no.such.file"),
        (r#"{"unified":{"../x":"1"}}"#, "../x"),
        (r#"{"blockIO":{"leafWeight":10}}"#, "leafWeight"),
        (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":10}]}}"#, "leafWeight"),
        (r#"{"blockIO":{"weightDevice":[{"major":4095,"minor":9,"weight":500}]}}"#, "weight"),
        (r#"{"memory":{"kernel":16777216}}"#, "kmem"),
        (r#"{"memory":{"useHierarchy":false}}"#, "useHierarchy"),
    ] {
        let mut world = World::new("true");
        world.linux().resources = serde_json::from_str(resources).unwrap();
        let result = world.run(token);
        assert!(result.is_err(), "{resources} is accepted");
        let error = text(&result.unwrap_err());
        assert!(error.contains(said), "{resources}: {error}");
        world.assert_gone();
    }
}

fn devices(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>&1; cd /dev; mknod tun c 10 200; mknod rtc c 248 0; \
         (exec 3<tun) && echo read; (exec 3>tun) || echo not written; (exec 3<rtc) || echo no rtc",
    );
    world.linux().resources = serde_json::from_str(
        r#"{"devices":[{"allow":false,"access":"rwm"},
                       {"allow":true,"type":"c","major":10,"minor":200,"access":"r"}]}"#,
    )
    .unwrap();
    let output = world.output(token);
    assert!(output.starts_with("read\n"), "{output}");
    assert!(output.contains("can't create tun: Operation not permitted\nnot written"), "{output}");
    assert!(output.contains("can't open rtc: Operation not permitted\nno rtc"), "{output}");
}

fn process(token: &SingleThreaded) {
    let mut world = World::new("cat /proc/self/oom_score_adj; ulimit -n; ulimit -c; umask");
    world.process().oom_score_adj = Some(321);
    world.process().user.umask = Some(0o077);
    world.process().rlimits = serde_json::from_str(
        r#"[{"type":"RLIMIT_NOFILE","soft":100,"hard":200},{"type":"RLIMIT_CORE","soft":0,"hard":0}]"#,
    )
    .unwrap();
    assert_eq!(world.output(token), "321\n100\n0\n0077\n");
}

fn no_new_privileges(token: &SingleThreaded) {
    for (is_set, expected) in [(true, "NoNewPrivs:\t1\n"), (false, "NoNewPrivs:\t0\n")] {
        let mut world = World::new("grep NoNewPrivs /proc/self/status");
        world.process().no_new_privileges = is_set;
        assert_eq!(world.output(token), expected);
    }
}

/// A container that was to be confined never runs without.
fn labels(token: &SingleThreaded) {
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        let mut world = World::new("true");
        world.process().apparmor_profile = Some("docker-default".to_owned());
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains("process.apparmorProfile: this kernel has no AppArmor"), "{error}");
    }
    if !std::path::Path::new("/sys/fs/selinux").exists() {
        let mut world = World::new("true");
        world.process().selinux_label = Some("system_u:system_r:container_t:s0".to_owned());
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains("process.selinuxLabel: this kernel has no SELinux"), "{error}");
        let mut world = World::new("true");
        world.linux().mount_label = Some("system_u:object_r:container_file_t:s0".to_owned());
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains("linux.mountLabel: this kernel has no SELinux"), "{error}");
    }
}

fn filtered(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>&1; mkdir /tmp/x; chmod 700 /tmp; chmod 755 /tmp; hostname other; \
         sh -c 'ln /bin/sh /tmp/sh'; echo $?",
    );
    world.linux().seccomp = serde_json::from_str(
        r#"{
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"},
                {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30,
                 "args": [{"index": 1, "value": 511, "valueTwo": 448, "op": "SCMP_CMP_MASKED_EQ"}]},
                {"names": ["link", "linkat"], "action": "SCMP_ACT_KILL_PROCESS"}
            ]
        }"#,
    )
    .unwrap();
    let output = world.output(token);
    assert!(
        output.starts_with("mkdir: can't create directory '/tmp/x': No space left"),
        "{output}"
    );
    assert!(output.contains("chmod: /tmp: Read-only file system\nhostname:"), "{output}");
    assert!(output.contains("hostname: sethostname: Operation not permitted"), "{output}");
    // SIGSYS is 31.
    assert!(output.ends_with("159\n"), "{output}");

    // What is allowed is named, and everything else fails.
    world.command(&["/bin/true"]);
    let all = world.linux().seccomp.as_mut().unwrap();
    all.default_action = "SCMP_ACT_ERRNO".to_owned();
    all.default_errno_ret = Some(1);
    for rule in &mut all.syscalls {
        rule.action = "SCMP_ACT_ALLOW".to_owned();
    }
    let status = world.run(token).unwrap().status;
    assert_ne!(status, linux::process::ExitStatus::Code(0), "not even exec is allowed");
}
