//! The one place where filters of system calls are compiled and loaded.
//!
//! A configuration means what it means to runc, since that is what profiles are written for:
//! names an architecture lacks are passed over, rules that only repeat the default do nothing, a
//! rule that compares one argument twice stands for several rules, and calls newer than any the
//! profile names fail as on an old kernel instead of by the profile's default, so that programs
//! fall back to older calls.

use linux::seccomp::{
    Action, Architecture, Call, Comparison, Condition, Flags, Newer, Policy, Program, Rule,
    Section, multiplexed,
};
use oci::runtime::{Seccomp, SeccompArgument, SeccompRule};

use crate::Error;
use crate::channel::{Child, Failure};
use crate::listener::Listener;

const EPERM: u32 = 1;
const ENOSYS: u16 = 38;

/// Every action that a configuration may name.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// Every operator.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// Every flag.
pub const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// A compiled filter.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Program,
    flags: Flags,
    /// Who answers some of the calls.
    listener: Option<Listener>,
}

/// Compiles a configuration's filter, if it has one.
pub(crate) fn compile(seccomp: Option<&Seccomp>) -> Result<Option<Filter>, Error> {
    let Some(seccomp) = seccomp else { return Ok(None) };
    let program = Program::compile(&policy(seccomp)?);
    let listener = Listener::plan(seccomp, program.notifies())?;
    Ok(Some(Filter { program, flags: flags(&seccomp.flags)?, listener }))
}

impl Filter {
    /// Puts the filter on the calling process; everything after it must be allowed by it. Somebody
    /// who answers is introduced by way of the caller.
    pub(crate) fn load(&self, channel: &Child) -> Result<(), Failure> {
        let Some(listener) = &self.listener else { return Ok(self.program.load(self.flags)?) };
        let descriptor = self.program.load_with_listener(self.flags)?;
        channel.listener(&descriptor, listener)
    }

    /// Whether the caller has to be there when it is loaded.
    pub(crate) fn notifies(&self) -> bool {
        self.listener.is_some()
    }
}

/// A configuration's filter in the kernel's numbers.
///
/// # Errors
/// [`Error`] for an action, operator or error number that is none.
pub fn policy(seccomp: &Seccomp) -> Result<Policy, Error> {
    let default = action(&seccomp.default_action, seccomp.default_errno_ret)?;
    let mut rules = Vec::with_capacity(seccomp.syscalls.len());
    for rule in &seccomp.syscalls {
        let action = action(&rule.action, rule.errno_ret)?;
        let calls = rule.names.iter().map(|name| (name.as_str(), Call::named(name))).collect();
        rules.push(Meant { calls, action, alternatives: alternatives(rule)? });
    }
    let sections = architectures(&seccomp.architectures)
        .into_iter()
        .map(|architecture| section(architecture, &rules, default))
        .collect();
    // As libseccomp's own default for programs of an architecture that nobody thought of.
    Ok(Policy { default, bad_architecture: Action::KillThread, sections })
}

/// A rule with its words understood.
struct Meant<'a> {
    /// Names, and the calls they are of.
    calls: Vec<(&'a str, Option<Call>)>,
    action: Action,
    /// The rule holds if all conditions of any of these hold.
    alternatives: Vec<Vec<Condition>>,
}

/// The architectures named, and always this program's own; those that no kernel of this machine
/// serves are passed over.
fn architectures(names: &[String]) -> Vec<Architecture> {
    let named = names.iter().filter_map(|name| Architecture::from_name(name));
    let mut found: Vec<Architecture> = Architecture::native().into_iter().chain(named).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn section(architecture: Architecture, rules: &[Meant<'_>], default: Action) -> Section {
    let most = rules.iter().map(|meant| meant.calls.len() * meant.alternatives.len()).sum();
    let mut section = Section { architecture, rules: Vec::with_capacity(most), newer: None };
    let mut last = 0;
    for meant in rules {
        for (name, call) in &meant.calls {
            if let Some(number) = call.and_then(|call| call.number(architecture)) {
                last = last.max(number);
                if meant.action != default {
                    add(&mut section.rules, number, meant);
                }
            }
            if architecture == Architecture::X86 && meant.action != default {
                add_multiplexed(&mut section.rules, name, meant);
            }
        }
    }
    let permissive = matches!(default, Action::Allow | Action::Log | Action::Trace(_));
    if !permissive && default != Action::Errno(ENOSYS) && last != 0 {
        section.newer = Some(Newer { above: last, action: Action::Errno(ENOSYS) });
    }
    section
}

fn add(rules: &mut Vec<Rule>, number: u32, meant: &Meant<'_>) {
    for conditions in &meant.alternatives {
        rules.push(Rule { number, action: meant.action, conditions: conditions.clone() });
    }
}

/// 32-bit x86 has two ways to most calls of sockets and System V IPC. On the older one no argument
/// can be seen, so a rule with conditions is for the newer one only.
fn add_multiplexed(rules: &mut Vec<Rule>, name: &str, meant: &Meant<'_>) {
    let Some((multiplexer, call)) = multiplexed(name) else { return };
    let Some(number) = Architecture::X86.number(multiplexer) else { return };
    if meant.alternatives.iter().any(Vec::is_empty) {
        let comparison = Comparison::Equal;
        let conditions = vec![Condition { argument: 0, comparison, value: u64::from(call) }];
        rules.push(Rule { number, action: meant.action, conditions });
    }
}

fn alternatives(rule: &SeccompRule) -> Result<Vec<Vec<Condition>>, Error> {
    let conditions: Vec<Condition> =
        rule.args.iter().map(condition).collect::<Result<_, Error>>()?;
    let twice = |condition: &Condition| {
        conditions.iter().filter(|other| other.argument == condition.argument).count() > 1
    };
    if conditions.iter().any(twice) {
        return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
    }
    Ok(vec![conditions])
}

fn condition(argument: &SeccompArgument) -> Result<Condition, Error> {
    let value = argument.value;
    let index = u8::try_from(argument.index).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| invalid(format!("argument {}", argument.index)))?;
    let (comparison, value) = match argument.op.as_str() {
        "SCMP_CMP_EQ" => (Comparison::Equal, value),
        "SCMP_CMP_NE" => (Comparison::NotEqual, value),
        "SCMP_CMP_LT" => (Comparison::Less, value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, value),
        "SCMP_CMP_GT" => (Comparison::Greater, value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(value), argument.value_two),
        other => return Err(invalid(format!("operator {other:?}"))),
    };
    Ok(Condition { argument: index, comparison, value })
}

fn action(name: &str, number: Option<u32>) -> Result<Action, Error> {
    let argument = || {
        u16::try_from(number.unwrap_or(EPERM)).map_err(|_| invalid(format!("errnoRet {number:?}")))
    };
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_ERRNO" => Action::Errno(argument()?),
        "SCMP_ACT_TRACE" => Action::Trace(argument()?),
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        other => return Err(invalid(format!("action {other:?}"))),
    })
}

/// Without any word on it, speculation is left as it is: its mitigation slows everything down and
/// helps nobody but a program that runs strangers' code beside its own.
fn flags(names: &[String]) -> Result<Flags, Error> {
    let mut flags = Flags { speculation: names.is_empty(), ..Flags::default() };
    for name in names {
        match name.as_str() {
            "SECCOMP_FILTER_FLAG_LOG" => flags.log = true,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => flags.speculation = true,
            "SECCOMP_FILTER_FLAG_TSYNC" => flags.all_threads = true,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => flags.wait_killable = true,
            other => return Err(Error::unsupported(format!("linux.seccomp.flags: {other}"))),
        }
    }
    Ok(flags)
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("linux.seccomp: {what}"))
}

#[cfg(test)]
mod tests {
    use linux::seccomp::{Action, Architecture};
    use oci::runtime::{Seccomp, SeccompArgument, SeccompRule};

    use super::{flags, policy};

    fn rule(names: &[&str], action: &str, args: Vec<SeccompArgument>) -> SeccompRule {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        SeccompRule { names, action: action.to_owned(), errno_ret: None, args }
    }

    fn argument(op: &str, value: u64) -> SeccompArgument {
        SeccompArgument { index: 0, value, value_two: 0, op: op.to_owned() }
    }

    fn seccomp(rules: Vec<SeccompRule>) -> Seccomp {
        Seccomp {
            default_action: "SCMP_ACT_ERRNO".to_owned(),
            architectures: vec!["SCMP_ARCH_X86".to_owned(), "SCMP_ARCH_MIPS".to_owned()],
            syscalls: rules,
            ..Seccomp::default()
        }
    }

    #[test]
    fn every_name_is_understood() {
        for name in super::ACTIONS {
            assert!(super::action(name, None).is_ok(), "{name}");
        }
        for name in super::OPERATORS {
            let argument = SeccompArgument { op: name.to_owned(), ..SeccompArgument::default() };
            assert!(super::condition(&argument).is_ok(), "{name}");
        }
        assert!(flags(&super::FLAGS.map(str::to_owned)).is_ok());
    }

    #[test]
    fn names_become_numbers_on_every_architecture() {
        let allow = rule(&["read", "nonsense", "socket"], "SCMP_ACT_ALLOW", Vec::new());
        let policy = policy(&seccomp(vec![allow])).unwrap();
        let decide = |architecture: Architecture, name: &str, argument| {
            let number = architecture.number(name).unwrap();
            policy.decide(architecture.audit(), number, [argument, 0, 0, 0, 0, 0])
        };
        let native = Architecture::native().unwrap();
        assert_eq!(decide(native, "read", 0), Action::Allow);
        assert_eq!(
            decide(native, "getpid", 0),
            if native.number("getpid") > native.number("socket") {
                Action::Errno(38)
            } else {
                Action::Errno(1)
            }
        );
        assert_eq!(decide(native, "openat2", 0), Action::Errno(38), "newer than the profile");
        assert_eq!(decide(Architecture::X86, "socketcall", 1), Action::Allow);
        assert_eq!(decide(Architecture::X86, "socketcall", 2), Action::Errno(1));
        assert_eq!(policy.decide(8, 0, [0; 6]), Action::KillThread);
    }

    #[test]
    fn one_argument_twice_is_two_rules_and_repeating_the_default_is_none() {
        let both = vec![argument("SCMP_CMP_EQ", 1), argument("SCMP_CMP_EQ", 5)];
        let rules = vec![
            rule(&["kill"], "SCMP_ACT_ERRNO", Vec::new()),
            rule(&["kill"], "SCMP_ACT_ALLOW", both),
        ];
        let policy = policy(&seccomp(rules)).unwrap();
        let native = Architecture::native().unwrap();
        let number = native.number("kill").unwrap();
        let decide = |value| policy.decide(native.audit(), number, [value, 0, 0, 0, 0, 0]);
        assert_eq!([decide(1), decide(5)], [Action::Allow; 2]);
        assert_eq!(decide(2), Action::Errno(1));
    }

    #[test]
    fn words_that_are_none_are_refused() {
        let bad_action = seccomp(vec![rule(&["read"], "ALLOW", Vec::new())]);
        assert!(policy(&bad_action).is_err());
        let bad_operator = rule(&["read"], "SCMP_ACT_ALLOW", vec![argument("EQ", 1)]);
        assert!(policy(&seccomp(vec![bad_operator])).is_err());
        assert!(flags(&["SECCOMP_FILTER_FLAG_NEW_LISTENER".to_owned()]).is_err());
        assert!(flags(&[]).unwrap().speculation);
    }
}
