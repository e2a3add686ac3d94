//! Compiled programs against the policies they come from, by an interpreter; and the kernel.

use proptest::prelude::*;

use super::{
    Action, Architecture, Comparison, Condition, Flags, Newer, Policy, Program, Rule, Section,
};

fn agree(policy: &Policy, program: &Program, call: (u32, u32, [u64; 6])) {
    let (audit, number, arguments) = call;
    let expected = policy.decide(audit, number, arguments).value();
    let actual = program.evaluate(audit, number, arguments);
    assert_eq!(actual, Some(expected), "{audit:#x} {number:#x} {arguments:x?}");
}

const AUDITS: [u32; 5] = [0xC000_003E, 0x4000_0003, 0xC000_00B7, 0x4000_0028, 0xC000_0016];

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::KillProcess),
        Just(Action::Log),
        (0..4096_u16).prop_map(Action::Errno),
        (0..10_u16).prop_map(Action::Trace),
    ]
}

/// Values around the places where halves meet.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        Just(0xFFFF_FFFF),
        Just(0x1_0000_0000),
        Just(0x1_0000_0001),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        Just(Comparison::NotEqual),
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
        value().prop_map(Comparison::Masked),
    ];
    (0..6_u8, comparison, value()).prop_map(|(argument, comparison, value)| Condition {
        argument,
        comparison,
        value,
    })
}

fn section(architecture: Architecture) -> impl Strategy<Value = Section> {
    let bit = if architecture == Architecture::X32 { 0x4000_0000 } else { 0 };
    let newer =
        (0..50_u32, action()).prop_map(move |(above, action)| Newer { above: above | bit, action });
    let rule = (0..40_u32, action(), prop::collection::vec(condition(), 0..4)).prop_map(
        move |(number, action, conditions)| Rule { number: number | bit, action, conditions },
    );
    (prop::collection::vec(rule, 0..60), prop::option::of(newer))
        .prop_map(move |(rules, newer)| Section { architecture, rules, newer })
}

fn policy() -> impl Strategy<Value = Policy> {
    let all = [
        Architecture::X86_64,
        Architecture::X86,
        Architecture::X32,
        Architecture::Aarch64,
        Architecture::Arm,
    ];
    let sections = all.map(|architecture| prop::option::of(section(architecture)));
    (action(), action(), sections).prop_map(|(default, bad_architecture, sections)| Policy {
        default,
        bad_architecture,
        sections: sections.into_iter().flatten().collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn programs_do_what_policies_say(
        policy in policy(),
        arguments in prop::array::uniform6(value()),
        odd in any::<u32>(),
    ) {
        let program = Program::compile(&policy);
        for audit in AUDITS {
            let numbers = (0..42).chain([odd, u32::MAX, 0x3FFF_FFFF]);
            for number in numbers {
                for bit in [0, 0x4000_0000] {
                    agree(&policy, &program, (audit, number | bit, arguments));
                }
            }
        }
    }
}

/// Every argument of the rules' own values, and their neighbors.
#[test]
fn comparisons_hold_at_their_edges() {
    let edges = [0, 1, 2, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 0x1_0000_0001, u64::MAX];
    let comparisons = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
        Comparison::Masked(0xFFFF_0000_FFFF),
        Comparison::Masked(1),
    ];
    for comparison in comparisons {
        for value in edges {
            let condition = Condition { argument: 2, comparison, value };
            let rule = Rule { number: 7, action: Action::Allow, conditions: vec![condition] };
            let policy = Policy {
                default: Action::Errno(1),
                bad_architecture: Action::KillThread,
                sections: vec![Section {
                    architecture: Architecture::X86_64,
                    rules: vec![rule],
                    newer: None,
                }],
            };
            let program = Program::compile(&policy);
            for argument in edges {
                agree(&policy, &program, (AUDITS[0], 7, [9, 9, argument, 9, 9, 9]));
            }
        }
    }
}

/// As many alternating rules as possible: long jumps are needed.
#[test]
fn a_large_program_is_correct_and_accepted_in_size() {
    let rules = (0..1200_u32).step_by(2).map(|number| Rule {
        number,
        action: if number % 4 == 0 { Action::Allow } else { Action::Log },
        conditions: Vec::new(),
    });
    let policy = Policy {
        default: Action::Errno(1),
        bad_architecture: Action::KillProcess,
        sections: vec![Section {
            architecture: Architecture::X86_64,
            rules: rules.collect(),
            newer: Some(Newer { above: 1250, action: Action::Errno(38) }),
        }],
    };
    let program = Program::compile(&policy);
    assert!(program.instructions().len() <= 4096, "{}", program.instructions().len());
    for number in 0..1300 {
        agree(&policy, &program, (AUDITS[0], number, [0; 6]));
    }
}

#[test]
fn bytes_give_the_program_back() {
    let policy = Policy {
        default: Action::Allow,
        bad_architecture: Action::KillProcess,
        sections: vec![Section { architecture: Architecture::Arm, rules: Vec::new(), newer: None }],
    };
    let program = Program::compile(&policy);
    let bytes = program.to_bytes();
    assert_eq!(Program::from_bytes(&bytes), Some(program.clone()));
    assert_eq!(Program::from_bytes(&bytes[1..]), None);
    assert_eq!(Program::from_bytes(&[]), None);
}

/// In a thread of its own: the filter goes with it.
#[test]
fn the_kernel_takes_and_obeys_a_filter() {
    let native = Architecture::native().unwrap();
    let refused = native.number("getpgid").unwrap();
    let policy = Policy {
        default: Action::Allow,
        bad_architecture: Action::KillProcess,
        sections: vec![Section {
            architecture: native,
            rules: vec![
                Rule { number: refused, action: Action::Errno(77), conditions: Vec::new() },
                Rule {
                    number: native.number("lseek").unwrap(),
                    action: Action::Errno(78),
                    conditions: vec![Condition {
                        argument: 1,
                        comparison: Comparison::Equal,
                        value: 0x1234_5678_9ABC,
                    }],
                },
            ],
            newer: None,
        }],
    };
    let program = Program::compile(&policy);
    assert!(!program.notifies());
    let thread = std::thread::spawn(move || {
        crate::process::set_no_new_privileges().unwrap();
        program.load(Flags { speculation: true, log: false, ..Flags::default() }).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let seek = |offset| rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(offset));
        let marked = seek(0x1234_5678_9ABC).map_err(rustix::io::Errno::raw_os_error);
        let other = seek(0x5678_9ABC).is_ok();
        let refused = rustix::process::getpgid(None).map_err(rustix::io::Errno::raw_os_error);
        (marked, other, refused.map(drop))
    });
    let (marked, other, refused) = thread.join().unwrap();
    assert_eq!(refused, Err(77));
    assert_eq!(marked, Err(78));
    assert!(other);
}
