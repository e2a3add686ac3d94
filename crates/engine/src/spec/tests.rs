//! Configurations from options, as data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::runtime::{Mount, NamespaceKind, Spec};

use super::{
    Confinement, Inputs, NamespaceSource, Namespaces, SeccompChoice, confinement, generate,
};
use crate::container::record::PlannedMount;
use crate::container::user::Identity;
use crate::container::{
    ContainerSpec, MountKind, MountPoint, Propagation, SecurityOptions, ThrottleDevice, Ulimit,
};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

struct World {
    spec: ContainerSpec,
    mounts: Vec<PlannedMount>,
    namespaces: Namespaces,
    identity: Identity,
    init: Option<&'static str>,
}

fn world() -> World {
    World {
        spec: ContainerSpec { command: Some(words("sh -c true")), ..ContainerSpec::default() },
        mounts: Vec::new(),
        namespaces: Namespaces::default(),
        identity: Identity { home: "/root".into(), ..Identity::default() },
        init: None,
    }
}

impl World {
    fn generate(&self) -> Spec {
        self.try_generate().unwrap()
    }

    fn try_generate(&self) -> crate::error::Result<Spec> {
        generate(&Inputs {
            id: "abc",
            cgroup_parent: "/brig-123456",
            spec: &self.spec,
            hostname: "box",
            identity: &self.identity,
            mounts: &self.mounts,
            files: &[(PathBuf::from("/run/x/hosts"), "/etc/hosts")],
            init: self.init,
            namespaces: &self.namespaces,
            devices: &[],
            block_devices: &BTreeMap::from([("/dev/sda".to_owned(), (8, 0))]),
            masked_paths: &words("/proc/kcore /sys/firmware"),
            available: &words("CHOWN KILL SYS_ADMIN"),
            seccomp: None,
        })
    }
}

fn mount<'a>(spec: &'a Spec, target: &str) -> &'a Mount {
    spec.mounts.iter().find(|mount| mount.destination == target).unwrap()
}

fn planned(kind: MountKind, source: &str, target: &str) -> PlannedMount {
    PlannedMount {
        point: MountPoint {
            kind,
            name: String::new(),
            source: source.into(),
            target: target.into(),
            driver: String::new(),
            mode: String::new(),
            writable: true,
            propagation: None,
        },
        non_recursive: false,
        beneath: None,
        create_source: false,
        anonymous: false,
        options: vec!["nosuid".into()],
    }
}

#[test]
fn an_ordinary_container() {
    let spec = world().generate();
    let process = spec.process.as_ref().unwrap();
    assert_eq!(process.args, words("sh -c true"));
    assert_eq!(process.cwd, "/");
    assert_eq!(process.env[1..], words("HOSTNAME=box HOME=/root"));
    let capabilities = process.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.bounding, ["CAP_CHOWN", "CAP_KILL"]);
    assert_eq!(capabilities.effective, capabilities.bounding);
    assert!(capabilities.inheritable.is_empty());
    assert_eq!(spec.hostname.as_deref(), Some("box"));
    let linux = spec.linux.as_ref().unwrap();
    assert_eq!(linux.cgroups_path.as_deref(), Some("/brig-123456/abc"));
    assert_eq!(linux.namespaces.len(), 6);
    assert!(linux.namespaces.iter().all(|namespace| namespace.path.is_none()));
    assert!(linux.masked_paths.contains(&"/proc/kcore".to_owned()));
    assert!(linux.readonly_paths.contains(&"/proc/sys".to_owned()));
    assert_eq!(linux.sysctl["net.ipv4.ip_unprivileged_port_start"], "0");
    assert!(mount(&spec, "/sys").options.contains(&"ro".to_owned()));
    assert_eq!(mount(&spec, "/etc/hosts").source.as_deref(), Some("/run/x/hosts"));
    let limits = linux.resources.as_ref().unwrap();
    assert!(limits.memory.is_none() && limits.cpu.is_none() && limits.pids.is_none());
}

#[test]
fn a_privileged_one() {
    let mut world = world();
    world.spec.host.security.privileged = true;
    let spec = world.generate();
    let linux = spec.linux.as_ref().unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert!(mount(&spec, "/sys").options.contains(&"rw".to_owned()));
    assert!(linux.resources.as_ref().unwrap().devices[0].allow);
    let bounding = &spec.process.unwrap().capabilities.unwrap().bounding;
    assert!(bounding.contains(&"CAP_SYS_ADMIN".to_owned()));
}

#[test]
fn another_user_has_no_capability_in_force() {
    let mut world = world();
    world.identity = Identity { uid: 7, gid: 8, groups: vec![9, 8], home: "/".into() };
    let process = world.generate().process.unwrap();
    let capabilities = process.capabilities.unwrap();
    assert!(capabilities.effective.is_empty() && !capabilities.bounding.is_empty());
    assert_eq!(process.user.additional_gids, [8, 9]);
}

#[test]
fn limits() {
    let mut world = world();
    let resources = &mut world.spec.host.resources;
    resources.memory = Some(1 << 30);
    resources.nano_cpus = Some(1_500_000_000);
    resources.pids_limit = Some(64);
    resources.read_bytes = vec![ThrottleDevice { path: "/dev/sda".into(), rate: 5 }];
    resources.ulimits = vec![Ulimit { name: "nofile".into(), soft: 1024, hard: -1 }];
    let spec = world.generate();
    let rlimit = &spec.process.as_ref().unwrap().rlimits[0];
    assert_eq!((rlimit.kind.as_str(), rlimit.soft, rlimit.hard), ("RLIMIT_NOFILE", 1024, u64::MAX));
    let limits = spec.linux.unwrap().resources.unwrap();
    let memory = limits.memory.unwrap();
    assert_eq!((memory.limit, memory.swap), (Some(1 << 30), Some(2 << 30)));
    let cpu = limits.cpu.unwrap();
    assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    assert_eq!(limits.pids.unwrap().limit, Some(64));
    assert_eq!(limits.block_io.unwrap().throttle_read_bps_device[0].major, 8);
    world.spec.host.resources.ulimits[0].name = "bogus".into();
    assert!(world.try_generate().is_err());
}

#[test]
fn namespaces_of_others() {
    let mut world = world();
    world.namespaces = Namespaces {
        pid: NamespaceSource::Path("/proc/7/ns/pid".into()),
        network: NamespaceSource::Host,
        ipc: NamespaceSource::Host,
        uts: NamespaceSource::Host,
        cgroup: NamespaceSource::New,
    };
    let spec = world.generate();
    assert!(spec.hostname.is_none());
    assert_eq!(mount(&spec, "/dev/shm").kind.as_deref(), Some("bind"));
    let linux = spec.linux.unwrap();
    let kinds: Vec<NamespaceKind> = linux.namespaces.iter().map(|n| n.kind).collect();
    assert_eq!(kinds, [NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Cgroup]);
    assert_eq!(linux.namespaces[1].path.as_deref(), Some("/proc/7/ns/pid"));
    assert!(linux.sysctl.is_empty());
}

#[test]
fn mounts_in_order_and_ours_give_way() {
    let mut world = world();
    let mut deep = planned(MountKind::Bind, "/src", "/data/deep/er");
    deep.point.writable = false;
    deep.point.propagation = Some(Propagation::Rslave);
    world.mounts = vec![
        deep,
        planned(MountKind::Volume, "/v/_data", "/data"),
        planned(MountKind::Tmpfs, "", "/dev/shm"),
        planned(MountKind::Bind, "/my/hosts", "/etc/hosts"),
    ];
    world.init = Some("/usr/bin/brig");
    let spec = world.generate();
    let place = |target: &str| spec.mounts.iter().position(|m| m.destination == target).unwrap();
    assert!(place("/data") < place("/data/deep/er"));
    assert!(place("/dev") < place("/dev/shm"));
    assert_eq!(mount(&spec, "/data/deep/er").options, ["rbind", "rro", "rslave"]);
    assert_eq!(mount(&spec, "/dev/shm").options, ["nosuid"]);
    assert_eq!(mount(&spec, "/etc/hosts").source.as_deref(), Some("/my/hosts"));
    assert_eq!(spec.mounts.iter().filter(|m| m.destination == "/etc/hosts").count(), 1);
    assert_eq!(spec.process.as_ref().unwrap().args, words("/sbin/brig-init -- sh -c true"));
    assert_eq!(mount(&spec, "/sbin/brig-init").source.as_deref(), Some("/usr/bin/brig"));
    assert_eq!(spec.linux.unwrap().rootfs_propagation.as_deref(), Some("rslave"));
}

#[test]
fn security_options() {
    let of = |options: &[&str]| {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        confinement(&SecurityOptions { options, ..SecurityOptions::default() })
    };
    assert_eq!(of(&[]).unwrap(), Confinement::default());
    assert!(of(&["no-new-privileges"]).unwrap().no_new_privileges);
    assert!(of(&["no-new-privileges:true"]).unwrap().no_new_privileges);
    assert_eq!(of(&["seccomp=unconfined"]).unwrap().seccomp, SeccompChoice::Unconfined);
    assert_eq!(of(&["seccomp={}"]).unwrap().seccomp, SeccompChoice::Profile("{}".into()));
    assert!(of(&["systempaths=unconfined"]).unwrap().system_paths_unconfined);
    assert_eq!(of(&["label=disable"]).unwrap(), Confinement::default());
    for bad in ["label=type:x", "seccomp=/a/path", "bogus", "no-new-privileges=maybe"] {
        assert!(of(&[bad]).is_err(), "{bad}");
    }
}
