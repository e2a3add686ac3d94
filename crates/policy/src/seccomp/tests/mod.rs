//! The default profile's counts and choices, and profiles as users write them.

use std::collections::BTreeSet;

use super::{KernelVersion, Situation, default_seccomp, seccomp_from_profile};
use crate::DEFAULT_CAPABILITIES;

mod moby;

fn with<T>(
    capabilities: &[&str],
    architecture: &str,
    kernel: &str,
    look: impl FnOnce(&Situation<'_>) -> T,
) -> T {
    let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    let kernel = KernelVersion::parse(kernel).unwrap();
    look(&Situation { capabilities: &capabilities, architecture, kernel })
}

fn names(capabilities: &[&str], architecture: &str, kernel: &str) -> BTreeSet<String> {
    let profile = with(capabilities, architecture, kernel, default_seccomp);
    let allowed = profile.syscalls.into_iter().filter(|rule| rule.action == "SCMP_ACT_ALLOW");
    allowed.flat_map(|rule| rule.names).collect()
}

#[test]
fn the_default_profile_has_all_its_names() {
    let mut all = BTreeSet::new();
    for architecture in ["amd64", "arm64", "ppc64le", "s390x", "riscv64"] {
        for capability in [
            "CAP_DAC_READ_SEARCH",
            "CAP_SYS_ADMIN",
            "CAP_SYS_BOOT",
            "CAP_SYS_CHROOT",
            "CAP_SYS_MODULE",
            "CAP_SYS_PACCT",
            "CAP_SYS_PTRACE",
            "CAP_SYS_RAWIO",
            "CAP_SYS_TIME",
            "CAP_SYS_TTY_CONFIG",
            "CAP_SYS_NICE",
            "CAP_SYSLOG",
            "CAP_BPF",
            "CAP_PERFMON",
        ] {
            all.extend(names(&[capability], architecture, "6.1"));
        }
    }
    assert_eq!(all.len(), 426);
}

#[test]
fn capabilities_kernel_and_architecture_decide() {
    let usual = names(&DEFAULT_CAPABILITIES, "amd64", "6.1.0-13-amd64");
    for (name, allowed) in [
        ("read", true),
        ("chroot", true),
        ("ptrace", true),
        ("arch_prctl", true),
        ("clone", true),
        ("clone3", false),
        ("mount", false),
        ("bpf", false),
        ("cacheflush", false),
        ("io_uring_setup", false),
        ("keyctl", false),
    ] {
        assert_eq!(usual.contains(name), allowed, "{name}");
    }
    assert!(!names(&[], "amd64", "6.1").contains("chroot"));
    assert!(!names(&[], "amd64", "4.7").contains("ptrace"));
    assert!(names(&["CAP_SYS_PTRACE"], "amd64", "4.7").contains("ptrace"));
    assert!(names(&["CAP_SYS_ADMIN"], "amd64", "6.1").contains("mount"));
    assert!(names(&[], "arm64", "6.1").contains("cacheflush"));
}

#[test]
fn clone_is_restricted_and_clone3_does_not_exist() {
    let profile = with(&[], "amd64", "6.1", default_seccomp);
    let rule = |name: &str| {
        let found = profile.syscalls.iter().find(|rule| rule.names.iter().any(|one| one == name));
        found.unwrap().clone()
    };
    let clone = rule("clone");
    assert_eq!((clone.args[0].value, clone.args[0].value_two), (2_114_060_288, 0));
    assert_eq!(clone.args[0].op, "SCMP_CMP_MASKED_EQ");
    let clone3 = rule("clone3");
    assert_eq!((clone3.action.as_str(), clone3.errno_ret), ("SCMP_ACT_ERRNO", Some(38)));
    assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert_eq!(profile.default_errno_ret, Some(1));
}

#[test]
fn a_users_profile_is_decided() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "x"},
            {"name": "kill", "action": "SCMP_ACT_LOG", "args": null, "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.0"}},
            {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
             "args": [{"index": 1, "value": 3, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}]}
        ]}"#;
    let parse = |situation: &Situation<'_>| seccomp_from_profile(text, situation);
    let profile = with(&[], "amd64", "6.1", parse).unwrap().unwrap();
    let names: Vec<_> = profile.syscalls.iter().flat_map(|rule| rule.names.clone()).collect();
    assert_eq!(names, ["read", "write", "kill", "dup"]);
    assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64"]);
    assert_eq!(profile.syscalls[2].args[0].value_two, 4);
    let profile = with(&["CAP_SYS_ADMIN"], "arm64", "4.19", parse).unwrap().unwrap();
    let names: Vec<_> = profile.syscalls.iter().flat_map(|rule| rule.names.clone()).collect();
    assert_eq!(names, ["read", "write", "kill", "mount", "bpf", "sync", "dup"]);
}

#[test]
fn bad_profiles_are_refused_and_empty_ones_are_none() {
    let parse =
        |text: &str| with(&[], "amd64", "6.1", |situation| seccomp_from_profile(text, situation));
    assert!(parse("{}").unwrap().is_none());
    for (text, expected) in [
        ("[", "decoding seccomp profile failed"),
        (r#"{"defaultAction":"ALLOW"}"#, "unknown action"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["a"],"archMap":[{"architecture":"b"}]}"#,
            "both 'architectures' and 'archMap'",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}"#,
            "both 'name' and 'names'",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}"#,
            "argument 6",
        ),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_LOG","includes":{"minKernel":"five"}}]}"#,
            "invalid kernel version",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn kernel_versions_compare() {
    let parse = |text| KernelVersion::parse(text).unwrap();
    assert!(parse("6.18.44-fc") > parse("6.2"));
    assert!(parse("4.8") >= parse("4.8.0+"));
    assert!(KernelVersion::parse("6").is_err());
    assert!(KernelVersion::parse("x.1").is_err());
}
