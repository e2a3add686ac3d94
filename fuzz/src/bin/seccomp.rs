//! A seccomp profile of a stranger: read, meant, compiled; the program decides as the policy does.
#![no_main]

use linux::seccomp::{Architecture, Comparison, Policy, Program};
use policy::seccomp::{KernelVersion, Situation, seccomp_from_profile};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let situation = Situation {
        capabilities: &["CAP_SYS_ADMIN".to_owned()],
        architecture: "amd64",
        kernel: KernelVersion { major: 6, minor: 12 },
    };
    let Ok(Some(seccomp)) = seccomp_from_profile(text, &situation) else { return };
    let Ok(policy) = runtime::seccomp::policy(&seccomp) else { return };
    let program = Program::compile(&policy);
    assert_eq!(Program::from_bytes(&program.to_bytes()).as_ref(), Some(&program));
    for section in &policy.sections {
        let audit = section.architecture.audit();
        for rule in section.rules.iter().take(64) {
            for number in [rule.number.wrapping_sub(1), rule.number, rule.number.wrapping_add(1)] {
                for argument in interesting(&policy) {
                    agree(&policy, &program, audit, number, [argument; 6]);
                }
            }
        }
        agree(&policy, &program, audit, u32::MAX, [0; 6]);
    }
    agree(&policy, &program, Architecture::X86.audit() ^ 1, 0, [0; 6]);
});

/// Values on both sides of what the conditions compare with.
fn interesting(policy: &Policy) -> Vec<u64> {
    let rules = policy.sections.iter().flat_map(|section| &section.rules);
    let conditions = rules.flat_map(|rule| &rule.conditions).take(8);
    let mut values: Vec<u64> = conditions
        .flat_map(|condition| {
            let mask = match condition.comparison {
                Comparison::Masked(mask) => mask,
                _ => u64::MAX,
            };
            let value = condition.value;
            [value, value.wrapping_sub(1), value.wrapping_add(1), value & mask, value | !mask]
        })
        .chain([0, u64::MAX, 1 << 32])
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn agree(policy: &Policy, program: &Program, audit: u32, number: u32, arguments: [u64; 6]) {
    let expected = policy.decide(audit, number, arguments).value();
    let actual = program.evaluate(audit, number, arguments);
    assert_eq!(actual, Some(expected), "{audit:#x} {number:#x} {arguments:x?}");
}
