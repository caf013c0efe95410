//! From a profile to one outcome for every number of every ABI.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::Error;
use super::abi::Abi;

/// `SECCOMP_RET_*` of linux/seccomp.h.
pub(super) mod ret {
    pub(in crate::seccomp) const KILL_PROCESS: u32 = 0x8000_0000;
    pub(in crate::seccomp) const KILL_THREAD: u32 = 0;
    pub(in crate::seccomp) const TRAP: u32 = 0x0003_0000;
    pub(in crate::seccomp) const ERRNO: u32 = 0x0005_0000;
    pub(in crate::seccomp) const USER_NOTIF: u32 = 0x7fc0_0000;
    pub(in crate::seccomp) const TRACE: u32 = 0x7ff0_0000;
    pub(in crate::seccomp) const LOG: u32 = 0x7ffc_0000;
    pub(in crate::seccomp) const ALLOW: u32 = 0x7fff_0000;
}

/// Largest error number that the kernel lets a filter return (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;
/// `SECCOMP_RET_DATA`: what a tracer can be told.
const MAX_TRACE: u32 = 0xffff;

/// A test of one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) operator: LinuxSeccompOperator,
    /// What is compared with; for `MASKED_EQ` the mask.
    pub(super) value: u64,
    /// For `MASKED_EQ`: what the masked argument has to equal.
    pub(super) masked: u64,
    pub(super) is_32_bit: bool,
}

/// What becomes of a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This `SECCOMP_RET_*` value.
    Always(u32),
    /// The value of the first alternative whose conditions all hold, else `otherwise`.
    First { alternatives: Vec<(Vec<Condition>, u32)>, otherwise: u32 },
}

/// The outcomes for one audit architecture: each holds from its number up to the next one's.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) audit: u32,
    /// Sorted by number; the first is 0.
    pub(super) outcomes: Vec<(u32, Outcome)>,
}

/// A profile in terms of numbers.
pub(super) struct Lowered {
    pub(super) sections: Vec<Section>,
    pub(super) notifies: bool,
    pub(super) unknown: Vec<String>,
}

/// Rules of one ABI: the alternatives in order, or `Always` once one came without conditions.
type Calls = BTreeMap<u32, Outcome>;

/// Resolves names and actions of `profile` for the ABIs it lists, the native one always among them.
pub(super) fn lower(profile: &LinuxSeccomp) -> Result<Lowered, Error> {
    let default = default_value(profile)?;
    let abis = abis(profile.architectures().as_deref().unwrap_or_default());
    let mut calls: Vec<Calls> = vec![Calls::new(); abis.len()];
    let mut notifies = false;
    let mut unknown = Vec::new();

    for rule in profile.syscalls().iter().flatten() {
        let value = rule_value(rule)?;
        if value == default {
            continue;
        }
        notifies |= rule.action() == Action::ScmpActNotify;
        for name in rule.names() {
            let mut known = false;
            for (abi, calls) in abis.iter().zip(&mut calls) {
                known |= add_rule(calls, *abi, name, rule, value, default)?;
            }
            if !known {
                unknown.push(name.clone());
            }
        }
    }

    let sections = sections(&abis, calls, default, refuses(profile.default_action()));
    Ok(Lowered { sections, notifies, unknown })
}

fn abis(architectures: &[Arch]) -> Vec<Abi> {
    let mut abis = vec![Abi::NATIVE];
    for abi in architectures.iter().filter_map(|arch| Abi::of(*arch)) {
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    abis
}

fn default_value(profile: &LinuxSeccomp) -> Result<u32, Error> {
    if profile.default_action() == Action::ScmpActNotify {
        return Err(Error::NotifyByDefault);
    }
    return_value("defaultErrnoRet", profile.default_action(), profile.default_errno_ret())
}

fn rule_value(rule: &LinuxSyscall) -> Result<u32, Error> {
    if rule.action() == Action::ScmpActNotify && rule.names().iter().any(|name| name == "write") {
        return Err(Error::NotifyOnWrite);
    }
    let first = rule.names().first().map_or("a rule without names", String::as_str);
    return_value(first, rule.action(), rule.errno_ret())
}

fn return_value(syscall: &str, action: Action, number: Option<u32>) -> Result<u32, Error> {
    let with_number = |base: u32, max: u32| match number {
        Some(value) if value > max => Err(Error::ErrnoRange { syscall: syscall.to_owned(), value, max }),
        Some(value) => Ok(base | value),
        None => Ok(base | libc::EPERM as u32),
    };
    let plain = |base: u32| match number {
        Some(_) => Err(Error::UnusedErrno { syscall: syscall.to_owned(), action }),
        None => Ok(base),
    };
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => plain(ret::KILL_THREAD),
        Action::ScmpActKillProcess => plain(ret::KILL_PROCESS),
        Action::ScmpActTrap => plain(ret::TRAP),
        Action::ScmpActErrno => with_number(ret::ERRNO, MAX_ERRNO),
        Action::ScmpActNotify => plain(ret::USER_NOTIF),
        Action::ScmpActTrace => with_number(ret::TRACE, MAX_TRACE),
        Action::ScmpActLog => plain(ret::LOG),
        Action::ScmpActAllow => plain(ret::ALLOW),
    }
}

/// Whether a call that the profile does not name is turned away.
fn refuses(action: Action) -> bool {
    matches!(
        action,
        Action::ScmpActKill
            | Action::ScmpActKillThread
            | Action::ScmpActKillProcess
            | Action::ScmpActTrap
            | Action::ScmpActErrno
    )
}

/// Enters one name of a rule; tells whether the ABI knows it.
fn add_rule(
    calls: &mut Calls,
    abi: Abi,
    name: &str,
    rule: &LinuxSyscall,
    value: u32,
    default: u32,
) -> Result<bool, Error> {
    let alternatives = alternatives(name, rule.args().as_deref().unwrap_or_default(), abi)?;
    let number = abi.number(name);
    if let Some(number) = number {
        for conditions in &alternatives {
            insert(calls, number, conditions.clone(), value, default);
        }
    }
    // Behind a multiplexer the arguments are in memory, where a filter cannot look: a rule that asks for
    // them must not open the whole call.
    if let Some((multiplexer, call)) = abi.multiplexed(name)
        && alternatives.iter().all(Vec::is_empty)
    {
        let which = Condition {
            argument: 0,
            operator: LinuxSeccompOperator::ScmpCmpEq,
            value: call,
            masked: 0,
            is_32_bit: true,
        };
        insert(calls, multiplexer, vec![which], value, default);
        return Ok(true);
    }
    Ok(number.is_some())
}

/// The sets of conditions under which a rule applies; one empty set where it has none.
fn alternatives(syscall: &str, args: &[LinuxSeccompArg], abi: Abi) -> Result<Vec<Vec<Condition>>, Error> {
    let mut conditions = Vec::with_capacity(args.len());
    let mut repeated = false;
    for arg in args {
        if arg.index() > 5 {
            return Err(Error::ArgumentIndex { syscall: syscall.to_owned(), index: arg.index() });
        }
        let argument = arg.index() as u32;
        repeated |= conditions.iter().any(|c: &Condition| c.argument == argument);
        conditions.push(Condition {
            argument,
            operator: arg.op(),
            value: arg.value(),
            masked: arg.value_two().unwrap_or(0),
            is_32_bit: abi.is_32_bit(),
        });
    }
    Ok(if repeated { conditions.into_iter().map(|c| vec![c]).collect() } else { vec![conditions] })
}

fn insert(calls: &mut Calls, number: u32, conditions: Vec<Condition>, value: u32, default: u32) {
    let present = calls
        .entry(number)
        .or_insert_with(|| Outcome::First { alternatives: Vec::new(), otherwise: default });
    match present {
        Outcome::Always(_) => {}
        _ if conditions.is_empty() => *present = Outcome::Always(value),
        Outcome::First { alternatives, .. } => alternatives.push((conditions, value)),
    }
}

/// Fills the gaps between the named calls, and joins the ABIs that share an audit architecture.
fn sections(abis: &[Abi], calls: Vec<Calls>, default: u32, refuses: bool) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (abi, calls) in abis.iter().zip(calls) {
        let section = match sections.iter_mut().position(|s| s.audit == abi.audit()) {
            Some(at) => &mut sections[at],
            None => {
                sections.push(empty_section(*abi, default));
                let last = sections.len() - 1;
                &mut sections[last]
            }
        };
        enter_calls(section, *abi, calls, default, refuses);
    }
    for section in &mut sections {
        section.outcomes.dedup_by(|later, earlier| later.1 == earlier.1);
    }
    sections
}

#[cfg(target_arch = "x86_64")]
fn empty_section(abi: Abi, default: u32) -> Section {
    let mut outcomes = Vec::new();
    if abi.audit() == Abi::X86_64.audit() {
        // x32 is an ABI of its own behind the same audit architecture: foreign unless the profile lists
        // it. A tracer skips a call by the number -1, which no rule names.
        outcomes.push((Abi::X32_BIT, Outcome::Always(ret::KILL_THREAD)));
        outcomes.push((u32::MAX, Outcome::Always(default)));
    }
    Section { audit: abi.audit(), outcomes }
}

#[cfg(not(target_arch = "x86_64"))]
fn empty_section(abi: Abi, _default: u32) -> Section {
    Section { audit: abi.audit(), outcomes: Vec::new() }
}

/// First number of an ABI.
fn base(abi: Abi) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if abi == Abi::X32 {
        return Abi::X32_BIT;
    }
    let _ = abi;
    0
}

fn enter_calls(section: &mut Section, abi: Abi, calls: Calls, default: u32, refuses: bool) {
    let base = base(abi);
    section.outcomes.retain(|(number, _)| *number != base);
    let mut next = base;
    let mut entered = Vec::with_capacity(2 * calls.len() + 1);
    let newest = calls.keys().next_back().copied();
    for (number, outcome) in calls {
        if number > next {
            entered.push((next, Outcome::Always(default)));
        }
        entered.push((number, outcome));
        next = number + 1;
    }
    let beyond = match newest {
        Some(_) if refuses => ret::ERRNO | libc::ENOSYS as u32,
        _ => default,
    };
    entered.push((next, Outcome::Always(beyond)));
    section.outcomes.extend(entered);
    section.outcomes.sort_by_key(|(number, _)| *number);
}
