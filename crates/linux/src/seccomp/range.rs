//! The numbers of one section, cut into ranges with one fate each.

use super::architecture::X32_BIT;
use super::{Action, Architecture, Policy, Rule, Section};

/// What happens to the calls of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    /// Always the same.
    Always(Action),
    /// By the first of these rules whose conditions hold, otherwise by the default.
    Rules(Vec<&'a Rule>),
}

/// A range begins at its number and ends where the next begins.
pub(super) type Range<'a> = (u32, Fate<'a>);

/// The ranges of all numbers for one value of `seccomp_data.arch`, ascending from 0; neighbors
/// differ.
pub(super) fn ranges(policy: &Policy, audit: u32) -> Vec<Range<'_>> {
    let section = |architecture: Architecture| {
        policy.sections.iter().find(|section| section.architecture == architecture)
    };
    let mut ranges = Vec::new();
    if audit != Architecture::X86_64.audit() {
        let found = policy.sections.iter().find(|section| section.architecture.audit() == audit);
        add_section(&mut ranges, policy, found, (0, u32::MAX));
        return ranges;
    }
    // x32's numbers are x86_64's with a bit; all ones is a call that a tracer took away, not x32's.
    let native = section(Architecture::X86_64);
    add_section(&mut ranges, policy, native, (0, X32_BIT));
    add_section(&mut ranges, policy, section(Architecture::X32), (X32_BIT, u32::MAX));
    add(&mut ranges, u32::MAX, Fate::Always(after(policy, native)));
    ranges
}

fn add_section<'a>(
    ranges: &mut Vec<Range<'a>>,
    policy: &'a Policy,
    section: Option<&'a Section>,
    (start, end): (u32, u32),
) {
    let Some(found) = section else {
        return add(ranges, start, Fate::Always(policy.bad_architecture));
    };
    let mut rules: Vec<&Rule> = found.rules.iter().collect();
    rules.sort_by_key(|rule| rule.number);
    add(ranges, start, Fate::Always(policy.default));
    let last = rules.last().map_or(0, |rule| rule.number);
    for rules in rules.chunk_by(|one, other| one.number == other.number) {
        let Some(number) = rules.first().map(|rule| rule.number) else { continue };
        if !(start..end).contains(&number) {
            continue;
        }
        let always = rules.iter().find(|rule| rule.conditions.is_empty());
        let fate = match always {
            Some(rule) => Fate::Always(rule.action),
            None => Fate::Rules(rules.to_vec()),
        };
        add(ranges, number, fate);
        if let Some(next) = number.checked_add(1).filter(|next| *next < end) {
            add(ranges, next, Fate::Always(policy.default));
        }
    }
    if let Some(newer) = found.newer
        && let Some(first) = newer.above.max(last).checked_add(1)
        && first < end
    {
        add(ranges, first.max(start), Fate::Always(newer.action));
    }
}

/// What happens to the highest number of all, which no rule is for.
fn after(policy: &Policy, section: Option<&Section>) -> Action {
    section.map_or(policy.bad_architecture, |section| {
        section.newer.map_or(policy.default, |newer| newer.action)
    })
}

/// Adds a range; one at the same place is replaced, an equal neighbor goes on.
fn add<'a>(ranges: &mut Vec<Range<'a>>, start: u32, fate: Fate<'a>) {
    if ranges.last().is_some_and(|(last, _)| *last == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != fate) {
        ranges.push((start, fate));
    }
}
