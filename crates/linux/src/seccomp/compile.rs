//! From a policy to a program.

use super::program::{Instruction, Program, field, op};
use super::range::{Fate, Range, ranges};
use super::{Action, Comparison, Condition, Policy, Rule};

/// The farthest that a conditional jump reaches, in instructions.
const FAR: usize = 255;

impl Program {
    /// Compiles a policy. The result depends on nothing but the policy.
    #[must_use]
    pub fn compile(policy: &Policy) -> Self {
        let mut audits: Vec<u32> =
            policy.sections.iter().map(|section| section.architecture.audit()).collect();
        audits.sort_unstable();
        audits.dedup();
        let bodies = audits.iter().map(|audit| {
            let mut body = vec![Instruction::load(field::NUMBER)];
            search(&mut body, &ranges(policy, *audit), policy.default);
            (*audit, body)
        });
        let mut program = vec![Instruction::load(field::ARCHITECTURE)];
        for (audit, body) in bodies {
            // Not this architecture: over the section, by a jump that reaches as far as needed.
            program.push(Instruction::branch(op::EQUAL, audit, 1, 0));
            program.push(Instruction::jump(body.len()));
            program.extend(body);
        }
        program.push(Instruction::answer(policy.bad_architecture));
        Self::from_instructions(program)
    }
}

/// The number is in the accumulator: finds its range by halving.
fn search(program: &mut Vec<Instruction>, ranges: &[Range<'_>], default: Action) {
    let (low, high) = match ranges {
        [] => return program.push(Instruction::answer(default)),
        [(_, fate)] => return decide(program, fate, default),
        several => several.split_at(several.len() / 2),
    };
    let Some((start, _)) = high.first() else { return };
    let branch = program.len();
    program.push(Instruction::branch(op::AT_LEAST, *start, 0, 0));
    search(program, low, default);
    let length = program.len() - branch - 1;
    let (holds, fails) = match u8::try_from(length) {
        Ok(length) => (length, 0),
        Err(_) => {
            // Too far for a branch: it jumps over a jump. What moves keeps its own distances.
            program.insert(branch + 1, Instruction::jump(length));
            (0, 1)
        }
    };
    if let Some(instruction) = program.get_mut(branch) {
        *instruction = Instruction::branch(op::AT_LEAST, *start, holds, fails);
    }
    search(program, high, default);
}

fn decide(program: &mut Vec<Instruction>, fate: &Fate<'_>, default: Action) {
    match fate {
        Fate::Always(action) => program.push(Instruction::answer(*action)),
        Fate::Rules(rules) => {
            for run in runs(rules) {
                match run {
                    Run::OneOf { argument, values, action } => {
                        one_of(program, argument, &values, action);
                    }
                    Run::Rule(rule) => conditions(program, rule),
                }
            }
            program.push(Instruction::answer(default));
        }
    }
}

/// Rules that can be answered together.
enum Run<'a> {
    /// One argument has one of some values of 32 bits.
    OneOf { argument: u8, values: Vec<u32>, action: Action },
    /// Any other rule.
    Rule(&'a Rule),
}

/// Gathers neighbors that compare the same argument for equality and do the same.
fn runs<'a>(rules: &[&'a Rule]) -> Vec<Run<'a>> {
    let mut found: Vec<Run<'a>> = Vec::new();
    for &rule in rules {
        let Some((argument, value)) = small_equality(rule) else {
            found.push(Run::Rule(rule));
            continue;
        };
        if let Some(Run::OneOf { argument: other, values, action }) = found.last_mut()
            && *other == argument
            && *action == rule.action
            && values.len() < FAR / 2
        {
            values.push(value);
            continue;
        }
        found.push(Run::OneOf { argument, values: vec![value], action: rule.action });
    }
    found
}

fn small_equality(rule: &Rule) -> Option<(u8, u32)> {
    match rule.conditions.as_slice() {
        [Condition { argument, comparison: Comparison::Equal, value }] => {
            Some((*argument, u32::try_from(*value).ok()?))
        }
        _ => None,
    }
}

/// The high half must be zero; then the low half is compared with each value.
fn one_of(program: &mut Vec<Instruction>, argument: u8, values: &[u32], action: Action) {
    let count = values.len();
    program.push(Instruction::load(field::high(argument)));
    program.push(Instruction::branch(op::EQUAL, 0, 0, reach(count + 2)));
    program.push(Instruction::load(field::low(argument)));
    for (position, value) in values.iter().enumerate() {
        let left = count - position - 1;
        // The last one's failure skips the answer; the others fall to the next comparison.
        let fails = u8::from(left == 0);
        program.push(Instruction::branch(op::EQUAL, *value, reach(left), fails));
    }
    program.push(Instruction::answer(action));
}

/// All conditions in order, then the action; the first that fails goes past it.
fn conditions(program: &mut Vec<Instruction>, rule: &Rule) {
    let mut code: Vec<Step> = Vec::new();
    for condition in &rule.conditions {
        compare(&mut code, condition);
    }
    let length = code.len();
    for (position, step) in code.into_iter().enumerate() {
        let fail = reach(length - position);
        program.push(match step {
            Step::Plain(instruction) => instruction,
            Step::Branch { operation, value, holds, fails } => {
                let target = |goal| match goal {
                    Goal::Skip(count) => count,
                    Goal::Fail => fail,
                };
                Instruction::branch(operation, value, target(holds), target(fails))
            }
        });
    }
    program.push(Instruction::answer(rule.action));
}

/// An instruction whose jumps are not known yet.
enum Step {
    Plain(Instruction),
    Branch { operation: u16, value: u32, holds: Goal, fails: Goal },
}

/// Where a branch goes.
#[derive(Clone, Copy)]
enum Goal {
    /// Over this many of the next instructions.
    Skip(u8),
    /// To the next rule.
    Fail,
}

const NEXT: Goal = Goal::Skip(0);

fn compare(code: &mut Vec<Step>, condition: &Condition) {
    let (high, low) = halves(condition.value);
    let (above, below) = (field::high(condition.argument), field::low(condition.argument));
    let load = |offset| Step::Plain(Instruction::load(offset));
    let branch = |operation, value, holds, fails| Step::Branch { operation, value, holds, fails };
    // After the high halves are told apart, two more instructions compare the low ones: "past"
    // skips them.
    let past = |count| Goal::Skip(count);
    match condition.comparison {
        Comparison::Equal => code.extend([
            load(above),
            branch(op::EQUAL, high, NEXT, Goal::Fail),
            load(below),
            branch(op::EQUAL, low, NEXT, Goal::Fail),
        ]),
        Comparison::NotEqual => code.extend([
            load(above),
            branch(op::EQUAL, high, NEXT, past(2)),
            load(below),
            branch(op::EQUAL, low, Goal::Fail, NEXT),
        ]),
        Comparison::Greater | Comparison::GreaterOrEqual => {
            let operation = if condition.comparison == Comparison::Greater {
                op::GREATER
            } else {
                op::AT_LEAST
            };
            code.extend([
                load(above),
                branch(op::GREATER, high, past(3), NEXT),
                branch(op::EQUAL, high, NEXT, Goal::Fail),
                load(below),
                branch(operation, low, NEXT, Goal::Fail),
            ]);
        }
        Comparison::Less | Comparison::LessOrEqual => {
            let operation =
                if condition.comparison == Comparison::Less { op::AT_LEAST } else { op::GREATER };
            code.extend([
                load(above),
                branch(op::GREATER, high, Goal::Fail, NEXT),
                branch(op::EQUAL, high, NEXT, past(2)),
                load(below),
                branch(operation, low, Goal::Fail, NEXT),
            ]);
        }
        Comparison::Masked(mask) => {
            let (mask_high, mask_low) = halves(mask);
            if (mask_high, high) != (0, 0) {
                code.extend([
                    load(above),
                    Step::Plain(Instruction::and(mask_high)),
                    branch(op::EQUAL, high, NEXT, Goal::Fail),
                ]);
            }
            code.extend([
                load(below),
                Step::Plain(Instruction::and(mask_low)),
                branch(op::EQUAL, low, NEXT, Goal::Fail),
            ]);
        }
    }
}

fn halves(value: u64) -> (u32, u32) {
    let bytes = value.to_le_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]))
}

/// A jump within one rule: rules are far shorter than its reach, runs are cut to fit.
fn reach(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
