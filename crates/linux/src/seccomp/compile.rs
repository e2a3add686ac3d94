//! From a policy to a program.
//!
//! A program is written from its end to its beginning: all jumps go forward, so a branch is written
//! when the places it goes to are known, and answers are shared by all that can reach them.

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
        let mut code = Backward::default();
        code.push(Instruction::answer(policy.bad_architecture));
        for audit in audits.iter().rev() {
            let next = code.here();
            let start = code.search(&ranges(policy, *audit), policy.default);
            code.go_to(start);
            code.push(Instruction::load(field::NUMBER));
            // Not this architecture: over the section, by a jump that reaches as far as needed.
            code.go_to_by_jump(next);
            code.push(Instruction::branch(op::EQUAL, *audit, 1, 0));
        }
        code.push(Instruction::load(field::ARCHITECTURE));
        code.finish()
    }
}

/// A program whose first instructions are not written yet.
#[derive(Default)]
struct Backward {
    /// Last instruction first.
    reversed: Vec<Instruction>,
    /// The answers written last, and where.
    answers: Vec<(Action, Place)>,
}

/// An instruction, by its distance from the program's end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(usize);

impl Backward {
    /// The instruction written last.
    fn here(&self) -> Place {
        Place(self.reversed.len())
    }

    fn push(&mut self, instruction: Instruction) -> Place {
        self.reversed.push(instruction);
        self.here()
    }

    /// What the next instruction written must skip to reach a place.
    fn distance(&self, place: Place) -> usize {
        self.reversed.len() - place.0
    }

    /// Makes the next instruction written, if it does not jump, go on at a place.
    fn go_to(&mut self, place: Place) {
        if place != self.here() {
            self.go_to_by_jump(place);
        }
    }

    fn go_to_by_jump(&mut self, place: Place) {
        self.push(Instruction::jump(self.distance(place)));
    }

    /// Instructions that stay together.
    fn block(&mut self, instructions: &[Instruction]) -> Place {
        self.reversed.extend(instructions.iter().rev());
        self.here()
    }

    /// An answer, shared with others as long as a branch can reach it with room for a few jumps.
    fn answer(&mut self, action: Action) -> Place {
        let known = self.answers.iter().position(|(known, _)| *known == action);
        if let Some((_, place)) = known.and_then(|index| self.answers.get(index))
            && self.distance(*place) < FAR - 2
        {
            return *place;
        }
        if let Some(index) = known {
            self.answers.swap_remove(index);
        }
        let place = self.push(Instruction::answer(action));
        self.answers.push((action, place));
        place
    }

    /// The number is in the accumulator: finds its range by halving.
    fn search(&mut self, ranges: &[Range<'_>], default: Action) -> Place {
        let (low, high) = match ranges {
            [] => return self.answer(default),
            [(_, fate)] => return self.decide(fate, default),
            several => several.split_at(several.len() / 2),
        };
        let start = high.first().map_or(0, |(start, _)| *start);
        let mut holds = self.search(high, default);
        let mut fails = self.search(low, default);
        // Too far for a branch: it goes over a jump. The jump for one makes the other farther.
        if self.distance(fails) > FAR - 1 {
            fails = self.push(Instruction::jump(self.distance(fails)));
        }
        if self.distance(holds) > FAR {
            holds = self.push(Instruction::jump(self.distance(holds)));
        }
        let (holds, fails) = (reach(self.distance(holds)), reach(self.distance(fails)));
        self.push(Instruction::branch(op::AT_LEAST, start, holds, fails))
    }

    fn decide(&mut self, fate: &Fate<'_>, default: Action) -> Place {
        let rules = match fate {
            Fate::Always(action) => return self.answer(*action),
            Fate::Rules(rules) => rules,
        };
        let mut block = Vec::new();
        for run in runs(rules) {
            match run {
                Run::OneOf { argument, values, action } => {
                    one_of(&mut block, argument, &values, action);
                }
                Run::Rule(rule) => conditions(&mut block, rule),
            }
        }
        block.push(Instruction::answer(default));
        self.block(&block)
    }

    fn finish(mut self) -> Program {
        self.reversed.reverse();
        Program::from_instructions(self.reversed)
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
