//! Compiles an OCI seccomp profile into a classic BPF program, without libseccomp.
//!
//! `rules` turns the profile into one outcome per system call and ABI, `tree` lays these out as a balanced
//! search tree, `bpf` holds the instructions, `abi` the system call numbers, `install` loads the program.
//! Every system call of a container runs through the program, so the depth of the tree is what costs:
//! neighbouring numbers with one outcome are one leaf, and a tree over a few hundred leaves is nine
//! comparisons deep where a chain in libseccomp's manner is hundreds.
//!
//! Only the ABIs that this machine can execute are compiled; the kernel never reports another one.
//! The meaning of a profile is libseccomp's as driven by runc, since that is what profiles are written for:
//! - rules of one system call are alternatives, the conditions in a rule are all required; two conditions
//!   on one argument in a rule are alternatives;
//! - a rule without conditions outweighs those with; otherwise the first that matches decides;
//! - a rule whose action is the default action is dropped, and so is a name that no ABI here knows;
//! - where the default action refuses, a call newer than any that the profile names gets ENOSYS, so that
//!   programs fall back instead of taking EPERM for an answer.

mod abi;
mod bpf;
mod install;
mod rules;
mod tree;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

pub use bpf::Instruction;

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
mod flag {
    pub(super) const TSYNC: u64 = 1;
    pub(super) const LOG: u64 = 1 << 1;
    pub(super) const SPEC_ALLOW: u64 = 1 << 2;
    pub(super) const NEW_LISTENER: u64 = 1 << 3;
    pub(super) const TSYNC_ESRCH: u64 = 1 << 4;
    pub(super) const WAIT_KILLABLE_RECV: u64 = 1 << 5;
}

/// Why a profile cannot be compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The default action would ask the listener about its own system calls.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be the default action")]
    NotifyByDefault,
    /// The process that hands over the listener has to write.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be used for the system call `write`")]
    NotifyOnWrite,
    /// `errnoRet` beside an action that returns no number.
    #[error("seccomp: errnoRet is given for {syscall}, whose action {action} does not use it")]
    UnusedErrno {
        /// Name of the system call, or `defaultErrnoRet`.
        syscall: String,
        /// The action, in the profile's spelling.
        action: LinuxSeccompAction,
    },
    /// The kernel cuts larger numbers off.
    #[error("seccomp: errnoRet {value} for {syscall} is over {max}")]
    ErrnoRange {
        /// Name of the system call, or `defaultErrnoRet`.
        syscall: String,
        /// The number given.
        value: u32,
        /// The largest that the action carries.
        max: u32,
    },
    /// System calls have six arguments.
    #[error("seccomp: {syscall} has a condition on argument {index}, and the last is 5")]
    ArgumentIndex {
        /// Name of the system call.
        syscall: String,
        /// The index given.
        index: usize,
    },
    /// The flag needs a rule with SCMP_ACT_NOTIFY.
    #[error("seccomp: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY")]
    FlagWithoutNotify,
    /// The kernel loads at most 4096 instructions.
    #[error("seccomp: the profile compiles to {0} instructions, and the kernel takes {max}", max = bpf::MAX_INSTRUCTIONS)]
    TooLarge(usize),
}

/// A compiled profile: a filter and the flags to load it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    filter: Vec<Instruction>,
    flags: u64,
    unknown: Vec<String>,
}

impl Program {
    /// The instructions, ready for the kernel (`struct sock_filter`).
    pub fn filter(&self) -> &[Instruction] {
        &self.filter
    }

    /// `SECCOMP_FILTER_FLAG_*` for seccomp(2).
    pub fn flags(&self) -> u64 {
        self.flags
    }

    /// System calls that the profile names and no ABI of this machine knows: typing errors, or calls of
    /// other architectures and newer kernels.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether loading yields a listener (a rule says SCMP_ACT_NOTIFY).
    pub fn notifies(&self) -> bool {
        self.flags & flag::NEW_LISTENER != 0
    }
}

/// Compiles `profile` (config.json's `linux.seccomp`) for the ABIs of this machine.
///
/// # Errors
/// What the profile says wrongly, by the system call's name; see [`Error`].
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Error> {
    let lowered = rules::lower(profile)?;
    let filter = tree::assemble(&lowered.sections);
    if filter.len() > bpf::MAX_INSTRUCTIONS {
        return Err(Error::TooLarge(filter.len()));
    }
    let flags = flags(profile, lowered.notifies)?;
    Ok(Program { filter, flags, unknown: lowered.unknown })
}

fn flags(profile: &LinuxSeccomp, notifies: bool) -> Result<u64, Error> {
    let mut flags = if notifies { flag::NEW_LISTENER } else { 0 };
    for flag in profile.flags().iter().flatten() {
        flags |= match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => flag::LOG,
            // With a listener the kernel reports a thread that could not be synchronised only by ESRCH.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync if notifies => flag::TSYNC | flag::TSYNC_ESRCH,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => flag::TSYNC,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flag::SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv if notifies => flag::WAIT_KILLABLE_RECV,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                return Err(Error::FlagWithoutNotify);
            }
        };
    }
    Ok(flags)
}

#[cfg(test)]
mod tests;
