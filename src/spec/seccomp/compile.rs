//! LinuxSeccomp → classic BPF.
//!
//! The program looks at the architecture, then finds the call's number in a balanced tree of comparisons over ranges
//! of numbers with the same answer, so that a call costs about eight instructions; calls with conditions on their
//! arguments end in a chain of rules. Kernels from 5.11 cache the unconditional answers.
//!
//! Where rules disagree: a rule without conditions on arguments beats those with, and the first of them counts, as
//! with libseccomp. Among rules with conditions the strictest one that matches counts, where libseccomp's answer
//! depends on the order of the arguments.

use std::collections::HashMap;

use libc::sock_filter;
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_IMM, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Operator,
};

use super::arch::{self, Native, X32_BIT};
use crate::error::{Error, Result};

const KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
/// The kernel's BPF_MAXINSNS.
const MAX_INSTRUCTIONS: usize = 4096;
/// The kernel's MAX_ERRNO; larger values of SECCOMP_RET_ERRNO are cut to it.
const MAX_ERRNO: u32 = 4095;

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The program for seccomp(2) that carries out `filter` on this machine.
pub(crate) fn compile(filter: &LinuxSeccomp) -> Result<Vec<sock_filter>> {
    compile_for(filter, Native::HERE)
}

/// The flags for seccomp(2).
pub(crate) fn flags(filter: &LinuxSeccomp) -> libc::c_ulong {
    filter.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                Flag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
                Flag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                Flag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
                // Only of use with a listener, which compile() refuses.
                Flag::SeccompFilterFlagWaitKillableRecv => 0,
            }
    })
}

pub(super) fn compile_for(filter: &LinuxSeccomp, native: Native) -> Result<Vec<sock_filter>> {
    let default = return_value(filter.default_action(), filter.default_errno_ret())?;
    let covered = |arch: Arch| match filter.architectures() {
        None => arch == native.arch(),
        Some(list) => list.contains(&arch) || arch == native.arch() && list.contains(&Arch::ScmpArchNative),
    };
    if !covered(native.arch()) {
        return Err(Error::new("the seccomp profile does not cover this machine's architecture"));
    }
    let rules = Rules::collect(filter, default)?;
    let mut program = vec![load(ARCHITECTURE)];
    for (arch, audit) in native.family().into_iter().filter(|(arch, _)| covered(*arch)) {
        let mut calls = Calls::default();
        calls.add(arch, &rules);
        let mut ranges = Vec::new();
        if arch == Arch::ScmpArchX86_64 && covered(Arch::ScmpArchX32) {
            calls.add(Arch::ScmpArchX32, &rules);
        } else if arch == Arch::ScmpArchX86_64 {
            // Without this a call could be made under its x32 number. -1 is what a tracer makes of a call to skip.
            ranges.extend([(X32_BIT, Leaf::Return(KILL_PROCESS)), (u32::MAX, Leaf::Return(default))]);
        }
        calls.ranges(default, &mut ranges);
        let block = tree(&ranges, default);
        program.push(jump(BPF_JEQ, audit, 1, 0));
        program.push(always(block.len() + 1));
        program.push(load(NUMBER));
        program.extend(block);
    }
    program.push(ret(KILL_PROCESS));
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::new(format!(
            "the seccomp profile is too large: {} instructions, the kernel takes {MAX_INSTRUCTIONS}",
            program.len()
        )));
    }
    Ok(program)
}

fn return_value(action: Action, errno: Option<u32>) -> Result<u32> {
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::ScmpActKillProcess => KILL_PROCESS,
        Action::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        Action::ScmpActErrno => {
            let errno = errno.unwrap_or(libc::EPERM as u32);
            if errno > MAX_ERRNO {
                return Err(Error::new(format!(
                    "the seccomp profile has the errno {errno}, the largest is {MAX_ERRNO}"
                )));
            }
            libc::SECCOMP_RET_ERRNO | errno
        }
        Action::ScmpActTrace => libc::SECCOMP_RET_TRACE | errno.unwrap_or(libc::EPERM as u32) & 0xffff,
        Action::ScmpActLog => libc::SECCOMP_RET_LOG,
        Action::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
        Action::ScmpActNotify => {
            return Err(Error::new("the seccomp profile uses SCMP_ACT_NOTIFY, which rpod does not support")
                .hint("remove the rules with that action: they need an agent that answers them"));
        }
    })
}

/// Smaller is stricter; the order in which the kernel ranks the answers of several filters.
fn severity(value: u32) -> i32 {
    (value & libc::SECCOMP_RET_ACTION_FULL).cast_signed()
}

/// A rule on a call's arguments: all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ArgumentRule {
    conditions: Vec<Condition>,
    value: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    argument: u32,
    operator: Operator,
    value: u64,
    value_two: u64,
}

/// The answer for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Always(u32),
    ByArgument(Vec<ArgumentRule>),
}

impl Answer {
    fn add_rule(&mut self, rule: ArgumentRule) {
        if let Self::ByArgument(rules) = self {
            let place = rules.partition_point(|other| severity(other.value) <= severity(rule.value));
            rules.insert(place, rule);
        }
    }
}

/// Answers by name.
struct Rules<'a>(HashMap<&'a str, Answer>);

impl<'a> Rules<'a> {
    fn collect(filter: &'a LinuxSeccomp, default: u32) -> Result<Self> {
        let mut answers = HashMap::with_capacity(512);
        for rule in filter.syscalls().iter().flatten() {
            let value = return_value(rule.action(), rule.errno_ret())?;
            if value == default {
                continue;
            }
            let alternatives = alternatives(rule.args().as_deref().unwrap_or_default())?;
            for name in rule.names() {
                let answer = answers.entry(name.as_str());
                if alternatives.is_empty() {
                    let answer = answer.or_insert(Answer::Always(value));
                    if matches!(answer, Answer::ByArgument(_)) {
                        *answer = Answer::Always(value);
                    }
                    continue;
                }
                let answer = answer.or_insert(Answer::ByArgument(Vec::new()));
                for conditions in &alternatives {
                    answer.add_rule(ArgumentRule { conditions: conditions.clone(), value });
                }
            }
        }
        Ok(Self(answers))
    }
}

/// Conditions that must hold together; when two are about the same argument, each stands alone, as runc and crun
/// read such rules.
fn alternatives(args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let conditions = args.iter().map(condition).collect::<Result<Vec<_>>>()?;
    let distinct = conditions.iter().fold(0u8, |seen, c| seen | 1 << c.argument).count_ones();
    let repeated = distinct as usize != conditions.len();
    Ok(match conditions {
        conditions if conditions.is_empty() => Vec::new(),
        conditions if repeated => conditions.into_iter().map(|c| vec![c]).collect(),
        conditions => vec![conditions],
    })
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition> {
    let argument = u32::try_from(arg.index()).ok().filter(|index| *index < 6).ok_or_else(|| {
        Error::new(format!("the seccomp profile has a condition on argument {}, the last one is 5", arg.index()))
    })?;
    Ok(Condition { argument, operator: arg.op(), value: arg.value(), value_two: arg.value_two().unwrap_or(0) })
}

/// Answers by number.
#[derive(Default)]
struct Calls<'a> {
    direct: Vec<(u32, &'a Answer)>,
    /// Made of rules on calls that are reached through another one.
    multiplexed: Vec<(u32, Answer)>,
}

impl<'a> Calls<'a> {
    fn add(&mut self, arch: Arch, rules: &'a Rules<'_>) {
        arch::for_each_call(arch, |name, number| {
            if let Some(answer) = rules.0.get(name) {
                self.direct.push((number, answer));
            }
        });
        for (name, way) in arch::multiplexed(arch) {
            // Conditions on arguments cannot be seen there: they lie in memory.
            if let Some(Answer::Always(value)) = rules.0.get(name)
                && !self.direct.iter().any(|(number, _)| *number == way.call)
            {
                self.add_multiplexed(&way, *value);
            }
        }
    }

    fn add_multiplexed(&mut self, way: &arch::Multiplexed, value: u32) {
        let index = self.multiplexed.iter().position(|(number, _)| *number == way.call).unwrap_or_else(|| {
            self.multiplexed.push((way.call, Answer::ByArgument(Vec::new())));
            self.multiplexed.len() - 1
        });
        // ipc(2) has a version in the upper half.
        let condition = Condition {
            argument: 0,
            operator: Operator::ScmpCmpMaskedEq,
            value: 0xffff,
            value_two: u64::from(way.selector),
        };
        self.multiplexed[index].1.add_rule(ArgumentRule { conditions: vec![condition], value });
    }

    /// Ranges that start at the given number and end where the next one starts; sorted, the first starts at 0.
    fn ranges<'b>(&'b self, default: u32, ranges: &mut Vec<(u32, Leaf<'b>)>) {
        let multiplexed = self.multiplexed.iter().map(|(number, answer)| (*number, answer));
        let mut calls: Vec<(u32, &Answer)> = self.direct.iter().copied().chain(multiplexed).collect();
        calls.sort_unstable_by_key(|(number, _)| *number);
        let mut built: Vec<(u32, Leaf<'b>)> = vec![(0, Leaf::Return(default))];
        for (number, answer) in calls {
            let leaf = match answer {
                Answer::Always(value) => Leaf::Return(*value),
                Answer::ByArgument(rules) if number < X32_BIT => Leaf::Rules(rules, Width::Full),
                Answer::ByArgument(rules) => Leaf::Rules(rules, Width::Low),
            };
            push(&mut built, number, leaf);
            push(&mut built, number + 1, Leaf::Return(default));
        }
        built.append(ranges);
        // Neighbours with the same answer are one range.
        built.dedup_by(|later, earlier| later.1 == earlier.1);
        *ranges = built;
    }
}

fn push<'a>(ranges: &mut Vec<(u32, Leaf<'a>)>, start: u32, leaf: Leaf<'a>) {
    match ranges.last_mut() {
        Some(last) if last.0 == start => last.1 = leaf,
        _ => ranges.push((start, leaf)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf<'a> {
    Return(u32),
    Rules(&'a [ArgumentRule], Width),
}

/// What of an argument counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Full,
    /// x32 has 64-bit registers and the kernel uses half of them.
    Low,
}

/// Instructions that end with the answer of the range that the number in the accumulator is in.
fn tree(ranges: &[(u32, Leaf<'_>)], default: u32) -> Vec<sock_filter> {
    match ranges {
        [] => vec![ret(default)],
        [(_, Leaf::Return(value))] => vec![ret(*value)],
        [(_, Leaf::Rules(rules, width))] => chain(rules, *width, default),
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let pivot = right[0].0;
            let (left, right) = (tree(left, default), tree(right, default));
            let mut code = match u8::try_from(right.len()) {
                Ok(length) => vec![jump(BPF_JGE, pivot, 0, length)],
                // A conditional jump reaches 255 instructions.
                Err(_) => vec![jump(BPF_JGE, pivot, 1, 0), always(right.len())],
            };
            code.extend(right);
            code.extend(left);
            code
        }
    }
}

/// The first rule whose conditions hold, else `default`.
fn chain(rules: &[ArgumentRule], width: Width, default: u32) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for rule in rules {
        let mut checks = Checks::default();
        for condition in &rule.conditions {
            checks.add(condition, width);
        }
        code.extend(checks.finish(rule.value));
    }
    code.push(ret(default));
    code
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    On,
    /// Past the end of this condition, which holds.
    Holds,
    /// Past the end of this rule, which does not match.
    Fails,
}

/// The conditions of one rule. The jumps out of the rule are patched when its length is known.
#[derive(Default)]
struct Checks {
    code: Vec<sock_filter>,
    /// Index of the instruction, and whether it fails when the comparison is true.
    failing: Vec<(usize, bool)>,
}

impl Checks {
    /// Compares the two halves of a 64-bit argument: BPF has 32 bits.
    fn add(&mut self, condition: &Condition, width: Width) {
        use To::{Fails, Holds, On};
        let low = ARGUMENTS + 8 * condition.argument;
        let high = low + 4;
        let (value_high, value_low) = halves(condition.value);
        let mut holding = Vec::new();
        let mut compare =
            |checks: &mut Self, operation, value, yes, no| checks.compare(operation, value, yes, no, &mut holding);
        self.code.push(if width == Width::Full { load(high) } else { zero() });
        match condition.operator {
            Operator::ScmpCmpEq => {
                compare(self, BPF_JEQ, value_high, On, Fails);
                self.code.push(load(low));
                compare(self, BPF_JEQ, value_low, On, Fails);
            }
            Operator::ScmpCmpNe => {
                compare(self, BPF_JEQ, value_high, On, Holds);
                self.code.push(load(low));
                compare(self, BPF_JEQ, value_low, Fails, On);
            }
            Operator::ScmpCmpGt | Operator::ScmpCmpGe => {
                let last = if condition.operator == Operator::ScmpCmpGt { BPF_JGT } else { BPF_JGE };
                compare(self, BPF_JGT, value_high, Holds, On);
                compare(self, BPF_JEQ, value_high, On, Fails);
                self.code.push(load(low));
                compare(self, last, value_low, On, Fails);
            }
            Operator::ScmpCmpLt | Operator::ScmpCmpLe => {
                let last = if condition.operator == Operator::ScmpCmpLt { BPF_JGE } else { BPF_JGT };
                compare(self, BPF_JGT, value_high, Fails, On);
                compare(self, BPF_JEQ, value_high, On, Holds);
                self.code.push(load(low));
                compare(self, last, value_low, Fails, On);
            }
            Operator::ScmpCmpMaskedEq => {
                // `value` is the mask.
                let (wanted_high, wanted_low) = halves(condition.value_two & condition.value);
                self.code.push(and(value_high));
                compare(self, BPF_JEQ, wanted_high, On, Fails);
                self.code.push(load(low));
                self.code.push(and(value_low));
                compare(self, BPF_JEQ, wanted_low, On, Fails);
            }
        }
        let end = self.code.len();
        for (index, when_true) in holding {
            patch(&mut self.code[index], when_true, end - index - 1);
        }
    }

    fn compare(&mut self, operation: u32, value: u32, yes: To, no: To, holding: &mut Vec<(usize, bool)>) {
        for (target, when_true) in [(yes, true), (no, false)] {
            match target {
                To::On => {}
                To::Holds => holding.push((self.code.len(), when_true)),
                To::Fails => self.failing.push((self.code.len(), when_true)),
            }
        }
        self.code.push(jump(operation, value, 0, 0));
    }

    fn finish(mut self, value: u32) -> Vec<sock_filter> {
        self.code.push(ret(value));
        let end = self.code.len();
        for (index, when_true) in self.failing {
            patch(&mut self.code[index], when_true, end - index - 1);
        }
        self.code
    }
}

fn patch(instruction: &mut sock_filter, when_true: bool, distance: usize) {
    // A rule has at most six conditions of six instructions.
    debug_assert!(distance < 64);
    let distance = distance as u8;
    if when_true {
        instruction.jt = distance;
    } else {
        instruction.jf = distance;
    }
}

fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn zero() -> sock_filter {
    statement(BPF_LD | BPF_IMM, 0)
}

fn and(mask: u32) -> sock_filter {
    statement(BPF_ALU | BPF_AND | BPF_K, mask)
}

fn ret(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value)
}

fn always(distance: usize) -> sock_filter {
    statement(BPF_JMP | BPF_JA, distance as u32)
}

fn jump(operation: u32, value: u32, when_true: u8, when_false: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | operation | BPF_K) as u16, jt: when_true, jf: when_false, k: value }
}
