//! Filters of system calls: a policy compiled to the kernel's classic BPF, and loaded.
//!
//! ```text
//!            ld arch ─ unknown? ─► bad architecture
//!               │ one section for each of: x86_64 with x32, i386, aarch64, arm
//!            ld number
//!               │ binary search over ranges of numbers with one fate
//!        ┌──────┴──────┐
//!     return        conditions on arguments, rule by rule, then the default
//! ```
//! A filter is run at every system call, and the kernel runs a new one over every number once to
//! learn which calls are always allowed: so it is short, and no path through it is long.

mod architecture;
mod compile;
mod load;
mod numbers;
mod program;
mod range;

pub use architecture::{Architecture, Call, multiplexed};
pub use load::Flags;
pub use program::{Instruction, Program};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The process ends as by SIGSYS.
    KillProcess,
    /// The thread ends as by SIGSYS.
    KillThread,
    /// SIGSYS is sent.
    Trap,
    /// The call fails with this error number; the kernel takes 4095 for more.
    Errno(u16),
    /// A supervisor decides.
    Notify,
    /// A tracer is told, with this message.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

/// How an argument is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal to it.
    Equal,
    /// Not equal to it.
    NotEqual,
    /// Less than it.
    Less,
    /// Not greater than it.
    LessOrEqual,
    /// Greater than it.
    Greater,
    /// Not less than it.
    GreaterOrEqual,
    /// Equal to it in the bits of this mask.
    Masked(u64),
}

/// A condition on one argument, 64 bits without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: u64,
}

/// What happens to one call under some conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The call's number, as [`Architecture::number`] gives it.
    pub number: u32,
    /// What happens.
    pub action: Action,
    /// If all of these hold; none means always.
    pub conditions: Vec<Condition>,
}

/// The rules for one architecture's calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Section {
    /// The architecture.
    pub architecture: Architecture,
    /// A rule without conditions decides for its call; otherwise the first whose conditions hold.
    pub rules: Vec<Rule>,
    /// What happens to newer calls, if not the default: an old profile's refusal should look like
    /// an old kernel.
    pub newer: Option<Newer>,
}

/// What happens to calls that a profile's author cannot have known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Newer {
    /// The highest number known; the highest of the rules if that is higher.
    pub above: u32,
    /// What happens to those above.
    pub action: Action,
}

/// A whole filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What happens to calls that no rule fits.
    pub default: Action,
    /// What happens to calls of architectures without section.
    pub bad_architecture: Action,
    /// At most one for each architecture.
    pub sections: Vec<Section>,
}

impl Policy {
    /// What happens to a call, by looking through the rules: what a compiled program must agree
    /// with. `audit` and `number` are as in the kernel's `seccomp_data`.
    #[must_use]
    pub fn decide(&self, audit: u32, number: u32, arguments: [u64; 6]) -> Action {
        let x32 = audit == Architecture::X32.audit()
            && number >= architecture::X32_BIT
            && number != u32::MAX;
        let section = self.sections.iter().find(|section| {
            section.architecture.audit() == audit
                && (section.architecture == Architecture::X32) == x32
        });
        let Some(section) = section else { return self.bad_architecture };
        let last = section.rules.iter().map(|rule| rule.number).max().unwrap_or(0);
        if let Some(newer) = section.newer
            && number > newer.above.max(last)
        {
            return newer.action;
        }
        let mut rules = section.rules.iter().filter(|rule| rule.number == number);
        if let Some(always) = rules.clone().find(|rule| rule.conditions.is_empty()) {
            return always.action;
        }
        rules
            .find(|rule| rule.conditions.iter().all(|condition| condition.holds(arguments)))
            .map_or(self.default, |rule| rule.action)
    }
}

impl Condition {
    fn holds(&self, arguments: [u64; 6]) -> bool {
        let Some(argument) = arguments.get(usize::from(self.argument)) else { return false };
        match self.comparison {
            Comparison::Equal => *argument == self.value,
            Comparison::NotEqual => *argument != self.value,
            Comparison::Less => *argument < self.value,
            Comparison::LessOrEqual => *argument <= self.value,
            Comparison::Greater => *argument > self.value,
            Comparison::GreaterOrEqual => *argument >= self.value,
            Comparison::Masked(mask) => argument & mask == self.value,
        }
    }
}

#[cfg(test)]
mod tests;
