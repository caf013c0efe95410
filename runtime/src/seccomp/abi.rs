//! The ABIs that a kernel of this architecture executes, and their system call numbers.

use oci_spec::runtime::Arch;

/// How a system call is named in the tables of one ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    /// x86-64, 64-bit pointers.
    #[cfg(target_arch = "x86_64")]
    X86_64,
    /// i386 programs.
    #[cfg(target_arch = "x86_64")]
    X86,
    /// 32-bit pointers on x86-64: the same audit architecture, numbers with bit 30 set.
    #[cfg(target_arch = "x86_64")]
    X32,
    #[cfg(target_arch = "aarch64")]
    Aarch64,
    #[cfg(target_arch = "aarch64")]
    Arm,
}

#[cfg(target_arch = "x86_64")]
impl Abi {
    /// Numbers of x32 start here (`__X32_SYSCALL_BIT`).
    pub(super) const X32_BIT: u32 = 0x4000_0000;

    pub(super) const NATIVE: Abi = Abi::X86_64;

    /// The ABI that `arch` names, if this machine executes it.
    pub(super) fn of(arch: Arch) -> Option<Abi> {
        match arch {
            Arch::ScmpArchNative | Arch::ScmpArchX86_64 => Some(Abi::X86_64),
            Arch::ScmpArchX86 => Some(Abi::X86),
            Arch::ScmpArchX32 => Some(Abi::X32),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*`, as in `seccomp_data.arch`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
        }
    }

    /// Whether arguments are 32 bits wide.
    pub(super) fn is_32_bit(self) -> bool {
        self == Abi::X86
    }

    /// Number of the system call `name`.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        match self {
            Abi::X86_64 => name.parse::<syscalls::x86_64::Sysno>().ok().map(|s| s.id() as u32),
            Abi::X86 => name.parse::<syscalls::x86::Sysno>().ok().map(|s| s.id() as u32),
            Abi::X32 => x32_number(name),
        }
    }

    /// The multiplexing call and its first argument through which `name` can be made as well.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u64)> {
        if self != Abi::X86 {
            return None;
        }
        let position = |names: &[&str]| names.iter().position(|n| *n == name).map(|i| i as u64 + 1);
        if let Some(call) = position(&SOCKETCALL) {
            return Some((102, call));
        }
        IPC.iter().find(|(n, _)| *n == name).map(|(_, call)| (117, *call))
    }
}

/// System calls that x32 numbers for itself, from 512 on (arch/x86/entry/syscalls/syscall_64.tbl).
#[cfg(target_arch = "x86_64")]
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Calls in x86-64's table that x32 lacks.
#[cfg(target_arch = "x86_64")]
const X32_ABSENT: [&str; 12] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
    "uretprobe",
];

#[cfg(target_arch = "x86_64")]
fn x32_number(name: &str) -> Option<u32> {
    if let Some(index) = X32_OWN.iter().position(|own| *own == name) {
        return Some(Abi::X32_BIT | (512 + index as u32));
    }
    if X32_ABSENT.contains(&name) {
        return None;
    }
    Abi::X86_64.number(name).map(|number| Abi::X32_BIT | number)
}

/// Calls of socketcall(2), in the order of linux/net.h, from 1.
#[cfg(target_arch = "x86_64")]
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Calls of ipc(2), numbered in linux/ipc.h.
#[cfg(target_arch = "x86_64")]
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

#[cfg(target_arch = "aarch64")]
impl Abi {
    pub(super) const NATIVE: Abi = Abi::Aarch64;

    /// The ABI that `arch` names, if this machine executes it.
    pub(super) fn of(arch: Arch) -> Option<Abi> {
        match arch {
            Arch::ScmpArchNative | Arch::ScmpArchAarch64 => Some(Abi::Aarch64),
            Arch::ScmpArchArm => Some(Abi::Arm),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*`, as in `seccomp_data.arch`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are 32 bits wide.
    pub(super) fn is_32_bit(self) -> bool {
        self == Abi::Arm
    }

    /// Number of the system call `name`.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        match self {
            Abi::Aarch64 => name.parse::<syscalls::aarch64::Sysno>().ok().map(|s| s.id() as u32),
            Abi::Arm => name.parse::<syscalls::arm::Sysno>().ok().map(|s| s.id() as u32),
        }
    }

    /// Neither ABI multiplexes.
    pub(super) fn multiplexed(self, _name: &str) -> Option<(u32, u64)> {
        None
    }
}
