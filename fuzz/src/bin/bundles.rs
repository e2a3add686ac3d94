//! Bundles of strangers: a configuration is changed in some places, and a container is made of it
//! for real, up to its gate. It is made or refused with a reason; nothing is left behind, and nothing
//! outside of it has changed.
#![no_main]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Once;

use fuzz::{edit, sandbox};
use linux::cgroup::{Group, Layout};
use linux::process::SingleThreaded;
use oci::runtime::Spec;
use runtime::{CreateRequest, Error, Rootfs, Stdio};
use serde_json::Value;

/// Every field of the specification, most of them at work on the machine that fuzzes.
const COMPLETE: &str = include_str!("../complete.json");

libfuzzer_sys::fuzz_target!(init: sandbox::enter(), |input: &[u8]| {
    let Some((&base, edits)) = input.split_first() else { return };
    let mut document: Value = serde_json::from_str(COMPLETE).expect("a document");
    simplify(&mut document, base);
    edit::apply(&mut document, edits);
    let Ok(mut spec) = oci::runtime::spec_from_json(document.to_string().as_bytes()) else { return };
    let again = serde_json::to_vec(&spec).expect("what was read can be written");
    assert_eq!(oci::runtime::spec_from_json(&again).expect("and read again"), spec);
    disarm(&mut spec);
    // The first container finds out about this machine, and keeps what it has opened for that.
    static FIRST: Once = Once::new();
    FIRST.call_once(|| make(&spec));
    let before = World::look();
    make(&spec);
    assert_eq!(before, World::look(), "{spec:?}");
});

/// What this machine's kernel refuses in the complete configuration goes, unless the input wants it.
fn simplify(document: &mut Value, base: u8) {
    let drop_of = |document: &mut Value, place: &str, key: &str| {
        if let Some(Value::Object(members)) = document.pointer_mut(place) {
            members.remove(key);
        }
    };
    drop_of(document, "/linux", "netDevices");
    for key in ["rdma", "network", "hugepageLimits"] {
        drop_of(document, "/linux/resources", key);
    }
    drop_of(document, "/linux/resources/blockIO", "weight");
    drop_of(document, "/linux/resources/blockIO", "weightDevice");
    for (bit, place, key) in [
        (1, "/linux", "resources"),
        (2, "", "hooks"),
        (4, "/linux", "seccomp"),
        (8, "/linux", "memoryPolicy"),
        (16, "/linux", "timeOffsets"),
    ] {
        if base & bit != 0 {
            drop_of(document, place, key);
        }
    }
    if base & 32 != 0 {
        drop_of(document, "/linux", "uidMappings");
        drop_of(document, "/linux", "gidMappings");
        if let Some(Value::Array(kinds)) = document.pointer_mut("/linux/namespaces") {
            kinds.retain(|kind| kind["type"] != "user");
        }
    }
    if base & 64 != 0 {
        document["mounts"].as_array_mut().expect("mounts").truncate(6);
    }
    document["process"]["terminal"] = Value::Bool(base & 128 != 0);
}

/// Hooks run programs, as they should: here only one that does nothing, and not for long.
fn disarm(spec: &mut Spec) {
    let Some(hooks) = &mut spec.hooks else { return };
    for hook in [
        &mut hooks.prestart,
        &mut hooks.create_runtime,
        &mut hooks.create_container,
        &mut hooks.start_container,
    ]
    .into_iter()
    .flatten()
    {
        hook.args.truncate(1);
        if hook.args.iter().any(|name| name != "true") {
            hook.args = vec!["false".to_owned()];
        }
    }
}

fn make(spec: &Spec) {
    let token = SingleThreaded::claim().expect("one thread");
    let stdio = match &spec.process {
        Some(process) if process.terminal => Stdio::Terminal,
        _ => Stdio::Descriptors { stdin: null(), stdout: null(), stderr: null() },
    };
    let request = CreateRequest {
        id: "fuzz",
        spec,
        bundle: Path::new(sandbox::BUNDLE),
        rootfs: Rootfs::Directory(Path::new(sandbox::BUNDLE).join("rootfs")),
        stdio,
        network_namespace: None,
        preserve_descriptors: 0,
        has_own_keyring: true,
        unit: None,
        gate: None,
    };
    match runtime::create(&token, request) {
        Ok(created) => {
            created.process.signal(9).expect("it is there");
            created.process.wait().expect("it ends");
            created.cgroup.expect("a group").delete().expect("the group goes");
        }
        // A process may be killed for want of memory; else it has something to say.
        Err(Error::Ended { status }) => assert!(is_narrow(spec), "{status}: {spec:?}"),
        Err(error) => assert!(stdx::chain(&error).len() > 10, "{error:?}"),
    }
    // The parent of the groups of a path that was given.
    let layout = Layout::detect().expect("control groups");
    for parent in ["/brig-fuzz", "/brig"] {
        if let Ok(group) = Group::open(layout, parent) {
            drop(group.delete());
        }
    }
}

fn is_narrow(spec: &Spec) -> bool {
    let resources = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let limits = spec.process.iter().flat_map(|process| &process.rlimits);
    resources.is_some_and(|resources| {
        let memory = resources.memory.as_ref();
        memory.is_some_and(|memory| memory.limit.is_some_and(|limit| limit < 16 << 20))
            || resources.unified.contains_key("cgroup.kill")
    }) || limits.count() > 0
}

fn null() -> OwnedFd {
    fs::File::open("/dev/null").expect("/dev/null").into()
}

/// What no container may change.
#[derive(Debug, PartialEq)]
struct World {
    mounts: String,
    namespaces: Vec<String>,
    descriptors: usize,
    groups: Vec<String>,
    victim: Vec<u8>,
    victims: usize,
    has_children: bool,
    directory: std::path::PathBuf,
}

impl World {
    fn look() -> Self {
        let kinds =
            ["mnt", "net", "uts", "pid", "ipc", "cgroup", "user", "time", "time_for_children"];
        let link =
            |kind: &&str| fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        Self {
            mounts: fs::read_to_string("/proc/self/mountinfo").expect("mounts"),
            namespaces: kinds.iter().map(|kind| link(kind).display().to_string()).collect(),
            descriptors: entries("/proc/self/fd"),
            groups: fs::read_to_string("/proc/self/cgroup")
                .expect("groups")
                .lines()
                .map(str::to_owned)
                .collect(),
            victim: fs::read("/victim/secret").expect("the victim"),
            victims: entries("/victim"),
            has_children: !fs::read_to_string("/proc/thread-self/children")
                .unwrap_or_default()
                .is_empty(),
            directory: std::env::current_dir().expect("a directory"),
        }
    }
}

fn entries(path: &str) -> usize {
    fs::read_dir(path).expect("a directory").count()
}
