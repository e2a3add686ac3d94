//! The default profile as the kernel will see it, beside libseccomp's compilation of the same.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Instant;

use linux::seccomp::{Action, Architecture, Comparison, Policy, Program};
use oci::runtime::Seccomp;
use policy::DEFAULT_CAPABILITIES;
use policy::seccomp::{KernelVersion, Situation, default_seccomp};

fn default_for(capabilities: &[&str]) -> Seccomp {
    let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    let kernel = KernelVersion { major: 6, minor: 1 };
    default_seccomp(&Situation { capabilities: &capabilities, architecture: "amd64", kernel })
}

/// Arguments worth trying with a call: those its rules compare with, and their neighbors.
fn arguments(policy: &Policy, number: u32) -> Vec<[u64; 6]> {
    let mut tries = vec![[0; 6], [u64::MAX; 6], [0x1_0000_0000; 6]];
    let rules = policy.sections.iter().flat_map(|section| &section.rules);
    for condition in rules.filter(|rule| rule.number == number).flat_map(|rule| &rule.conditions) {
        let mask = match condition.comparison {
            Comparison::Masked(mask) => mask,
            _ => 0,
        };
        let values = [condition.value, mask, 1 << 40 | condition.value];
        for value in values.iter().flat_map(|v| [v.wrapping_sub(1), *v, v.wrapping_add(1)]) {
            let mut arguments = [0; 6];
            arguments[usize::from(condition.argument)] = value;
            tries.push(arguments);
        }
    }
    tries
}

const ARCHITECTURES: [Architecture; 3] =
    [Architecture::X86_64, Architecture::X86, Architecture::X32];

#[test]
fn the_default_profile_compiles_to_what_it_says() {
    for capabilities in [&DEFAULT_CAPABILITIES[..], &["CAP_SYS_ADMIN"], &[]] {
        let policy = runtime::seccomp::policy(&default_for(capabilities)).unwrap();
        let program = Program::compile(&policy);
        let count = program.instructions().len();
        assert!(count < 900, "{count} instructions");
        for architecture in ARCHITECTURES {
            for number in 0..600 {
                let number =
                    if architecture == Architecture::X32 { number | 0x4000_0000 } else { number };
                for arguments in arguments(&policy, number) {
                    let expected = policy.decide(architecture.audit(), number, arguments).value();
                    let actual = program.evaluate(architecture.audit(), number, arguments);
                    assert_eq!(actual, Some(expected), "{architecture:?} {number} {arguments:x?}");
                }
            }
        }
    }
}

#[test]
fn the_default_profile_decides_as_documented() {
    let policy = runtime::seccomp::policy(&default_for(&DEFAULT_CAPABILITIES)).unwrap();
    let decide = |name: &str, first: u64| {
        let number = Architecture::X86_64.number(name).unwrap();
        policy.decide(Architecture::X86_64.audit(), number, [first, 0, 0, 0, 0, 0])
    };
    for (name, first, expected) in [
        ("read", 0, Action::Allow),
        ("socket", 2, Action::Allow),
        ("socket", 38, Action::Errno(1)),
        ("socket", 40, Action::Errno(1)),
        ("clone", 0x11, Action::Allow),
        ("clone", 0x1000_0000, Action::Errno(1)),
        ("clone3", 0, Action::Errno(38)),
        ("unshare", 0, Action::Errno(1)),
        ("mount", 0, Action::Errno(1)),
        ("keyctl", 0, Action::Errno(1)),
        ("io_uring_setup", 0, Action::Errno(1)),
        ("personality", 0x2_0000, Action::Allow),
        ("personality", 0x4_0000, Action::Errno(1)),
        ("file_setattr", 0, Action::Errno(38)),
    ] {
        assert_eq!(decide(name, first), expected, "{name}({first:#x})");
    }
}

/// Feeds the same rules to libseccomp and prints its program, eight bytes an instruction.
const SCRIPT: &str = r#"
import json, sys, seccomp
profile = json.load(sys.stdin)
act = {"SCMP_ACT_ALLOW": lambda e: seccomp.ALLOW, "SCMP_ACT_ERRNO": lambda e: seccomp.ERRNO(1 if e is None else e)}
op = {"SCMP_CMP_EQ": seccomp.EQ, "SCMP_CMP_LT": seccomp.LT, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ}
f = seccomp.SyscallFilter(act[profile["defaultAction"]](profile.get("defaultErrnoRet")))
for name in profile["architectures"][1:]:
    f.add_arch(getattr(seccomp.Arch, name.replace("SCMP_ARCH_", "")))
known = set()
for rule in profile["syscalls"]:
    for name in rule["names"]:
        args = []
        for a in rule.get("args", []):
            if a["op"] == "SCMP_CMP_MASKED_EQ":
                args.append(seccomp.Arg(a["index"], op[a["op"]], a["value"], a["valueTwo"]))
            else:
                args.append(seccomp.Arg(a["index"], op[a["op"]], a["value"]))
        try:
            f.add_rule(act[rule["action"]](rule.get("errnoRet")), name, *args)
        except (RuntimeError, ValueError):
            continue
        for arch in ("X86_64", "X86", "X32"):
            if seccomp.resolve_syscall(getattr(seccomp.Arch, arch), name) >= 0:
                known.add(arch + ":" + name)
sys.stderr.write(" ".join(known))
with open(sys.argv[1], "wb") as out:
    f.export_bpf(out)
"#;

struct Peer {
    program: Program,
    /// The names it knows, each behind its architecture; others are as if they were not in the
    /// profile.
    known: Vec<String>,
}

fn libseccomp(profile: &Seccomp) -> Option<Peer> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = stdx::process::command("/usr/bin/python3");
    command.args(["-c", "import seccomp"]).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut child = stdx::process::command("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .arg(file.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let json = serde_json::to_vec(profile).unwrap();
    child.stdin.take().unwrap().write_all(&json).unwrap();
    let output = child.wait_with_output().unwrap();
    let known = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{known}");
    let program = Program::from_bytes(&std::fs::read(file.path()).unwrap()).unwrap();
    Some(Peer { program, known: known.split(' ').map(str::to_owned).collect() })
}

#[test]
fn libseccomp_compiles_the_default_profile_to_the_same() {
    for capabilities in [&DEFAULT_CAPABILITIES[..], &["CAP_SYS_ADMIN"], &[]] {
        let profile = default_for(capabilities);
        let Some(peer) = libseccomp(&profile) else {
            return testkit::skip("python3-seccomp");
        };
        let policy = runtime::seccomp::policy(&profile).unwrap();
        let program = Program::compile(&policy);
        let mut compared: BTreeMap<Architecture, u32> = BTreeMap::new();
        for architecture in ARCHITECTURES {
            for name in architecture.names().filter(|name| *name != "socketcall" && *name != "ipc")
            {
                let named =
                    profile.syscalls.iter().any(|rule| rule.names.iter().any(|n| n == name));
                let key = format!("{}:{name}", format!("{architecture:?}").to_uppercase());
                if named && !peer.known.contains(&key) {
                    continue;
                }
                let number = architecture.number(name).unwrap();
                for arguments in arguments(&policy, number) {
                    // libseccomp looks at 32 bits of arguments where a long has no more.
                    let wide = architecture == Architecture::X86_64;
                    if !wide && arguments.iter().any(|value| *value > u64::from(u32::MAX)) {
                        continue;
                    }
                    let ours = program.evaluate(architecture.audit(), number, arguments).unwrap();
                    let theirs =
                        peer.program.evaluate(architecture.audit(), number, arguments).unwrap();
                    // The answer to newer calls is ours (and runc's) on top of libseccomp's.
                    let newer = ours == Action::Errno(38).value() && name != "clone3";
                    let theirs = if newer { Action::Errno(38).value() } else { theirs };
                    assert_eq!(ours, theirs, "{architecture:?} {name} {arguments:x?}");
                    *compared.entry(architecture).or_default() += 1;
                }
            }
        }
        assert!(compared.values().all(|count| *count > 300), "{compared:?}");
        assert!(program.instructions().len() < peer.program.instructions().len());
    }
}

/// Prints what compiling takes; the bound is a release build's, so it is only looked at there.
#[test]
fn compiling_is_quick() {
    let profile = default_for(&DEFAULT_CAPABILITIES);
    let mut best = u128::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        let policy = runtime::seccomp::policy(&profile).unwrap();
        let program = Program::compile(&policy);
        best = best.min(start.elapsed().as_nanos());
        assert!(!program.notifies());
    }
    println!("{} us", best / 1000);
    assert!(cfg!(debug_assertions) || best < 400_000, "{best} ns");
}
