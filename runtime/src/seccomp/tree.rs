//! Lays outcomes out as balanced binary trees of comparisons.

use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::bpf::{
    AND, Instruction, JUMP, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, MAX_JUMP, OFFSET_ARCH, OFFSET_NUMBER, RETURN,
    branch, high_word, low_word, statement,
};
use super::rules::{Condition, Outcome, Section, ret};

/// The whole program: a tree for each audit architecture, and death for any other.
pub(super) fn assemble(sections: &[Section]) -> Vec<Instruction> {
    let mut program = vec![statement(LOAD, OFFSET_ARCH)];
    for section in sections {
        let mut body = vec![statement(LOAD, OFFSET_NUMBER)];
        body.extend(subtree(&section.outcomes));
        program.push(branch(JUMP_EQ, section.audit, 1, 0));
        program.push(statement(JUMP, body.len() as u32));
        program.extend(body);
    }
    program.push(statement(RETURN, ret::KILL_THREAD));
    program
}

/// Expects the number in the accumulator.
fn subtree(outcomes: &[(u32, Outcome)]) -> Vec<Instruction> {
    if let [(_, outcome)] = outcomes {
        return leaf(outcome);
    }
    let (below, from) = outcomes.split_at(outcomes.len() / 2);
    let pivot = from[0].0;
    let (below, from) = (subtree(below), subtree(from));
    let mut code = Vec::with_capacity(below.len() + from.len() + 2);
    match u8::try_from(below.len()) {
        Ok(distance) => code.push(branch(JUMP_GE, pivot, distance, 0)),
        Err(_) => {
            code.push(branch(JUMP_GE, pivot, 0, 1));
            code.push(statement(JUMP, below.len() as u32));
        }
    }
    code.extend(below);
    code.extend(from);
    code
}

fn leaf(outcome: &Outcome) -> Vec<Instruction> {
    match outcome {
        Outcome::Always(value) => vec![statement(RETURN, *value)],
        Outcome::First { alternatives, otherwise } => {
            let mut code: Vec<_> =
                alternatives.iter().flat_map(|(all, value)| alternative(all, *value)).collect();
            code.push(statement(RETURN, *otherwise));
            code
        }
    }
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum Goto {
    /// The next instruction.
    Next,
    /// The condition holds: what comes after it.
    Holds,
    /// It does not: the next alternative.
    Fails,
}

enum Step {
    Plain(Instruction),
    Branch(u16, u32, Goto, Goto),
}

/// The tests of `conditions`, then the return of `value`; falls out at the end where one fails.
fn alternative(conditions: &[Condition], value: u32) -> Vec<Instruction> {
    let tests: Vec<Vec<Step>> = conditions.iter().map(test).collect();
    let length: usize = tests.iter().map(Vec::len).sum::<usize>() + 1;
    // Six arguments of at most five instructions each.
    debug_assert!(length <= MAX_JUMP);

    let mut code = Vec::with_capacity(length);
    for steps in &tests {
        let end = code.len() + steps.len();
        for step in steps {
            let next = code.len() + 1;
            let distance = |goto: Goto| match goto {
                Goto::Next => 0,
                Goto::Holds => (end - next) as u8,
                Goto::Fails => (length - next) as u8,
            };
            code.push(match step {
                Step::Plain(instruction) => *instruction,
                Step::Branch(op, operand, yes, no) => branch(*op, *operand, distance(*yes), distance(*no)),
            });
        }
    }
    code.push(statement(RETURN, value));
    code
}

/// One comparison, on two words of 32 bits where the ABI has 64.
fn test(condition: &Condition) -> Vec<Step> {
    use Goto::{Fails, Holds};
    match condition.operator {
        Operator::ScmpCmpEq => equal(condition, u64::MAX, condition.value, Holds, Fails),
        Operator::ScmpCmpNe => equal(condition, u64::MAX, condition.value, Fails, Holds),
        Operator::ScmpCmpMaskedEq => {
            equal(condition, condition.value, condition.masked & condition.value, Holds, Fails)
        }
        Operator::ScmpCmpGt => ordered(condition, JUMP_GT, Holds, Fails),
        Operator::ScmpCmpGe => ordered(condition, JUMP_GE, Holds, Fails),
        Operator::ScmpCmpLe => ordered(condition, JUMP_GT, Fails, Holds),
        Operator::ScmpCmpLt => ordered(condition, JUMP_GE, Fails, Holds),
    }
}

fn equal(condition: &Condition, mask: u64, value: u64, same: Goto, other: Goto) -> Vec<Step> {
    let mut steps = Vec::with_capacity(6);
    let mut word = |offset: u32, mask: u32, value: u32, same: Goto| {
        steps.push(Step::Plain(statement(LOAD, offset)));
        if mask != u32::MAX {
            steps.push(Step::Plain(statement(AND, mask)));
        }
        steps.push(Step::Branch(JUMP_EQ, value, same, other));
    };
    if !condition.is_32_bit {
        word(high_word(condition.argument), (mask >> 32) as u32, (value >> 32) as u32, Goto::Next);
    }
    word(low_word(condition.argument), mask as u32, value as u32, same);
    steps
}

/// `above` where the argument is greater (for `JUMP_GE`: or equal), else `below`.
fn ordered(condition: &Condition, op: u16, above: Goto, below: Goto) -> Vec<Step> {
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let mut steps = Vec::with_capacity(5);
    if !condition.is_32_bit {
        steps.push(Step::Plain(statement(LOAD, high_word(condition.argument))));
        steps.push(Step::Branch(JUMP_GT, high, above, Goto::Next));
        steps.push(Step::Branch(JUMP_EQ, high, Goto::Next, below));
    }
    steps.push(Step::Plain(statement(LOAD, low_word(condition.argument))));
    steps.push(Step::Branch(op, low, above, below));
    steps
}
