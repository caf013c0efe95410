//! The five capability sets of a process, capabilities(7).

use std::io;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use crate::sys::{check, process::prctl};

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const VERSION: u32 = 0x2008_0522;

/// Sets as the kernel has them: bit n stands for capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl Sets {
    /// The sets that `process.capabilities` names; what it leaves out is empty.
    pub(crate) fn of(capabilities: Option<&LinuxCapabilities>) -> Sets {
        let Some(capabilities) = capabilities else { return Sets::default() };
        Sets {
            bounding: bits(capabilities.bounding()),
            effective: bits(capabilities.effective()),
            permitted: bits(capabilities.permitted()),
            inheritable: bits(capabilities.inheritable()),
            ambient: bits(capabilities.ambient()),
        }
    }

    /// Without what this process cannot give because it does not have it itself.
    pub(crate) fn limited_to(self, available: u64) -> Sets {
        Sets {
            bounding: self.bounding & available,
            effective: self.effective & available,
            permitted: self.permitted & available,
            inheritable: self.inheritable & available,
            ambient: self.ambient & available,
        }
    }

    /// Drops every capability outside the bounding set from this thread's bounding set, for good.
    pub(crate) fn drop_bounding(&self) -> io::Result<()> {
        for capability in 0..64 {
            if self.bounding & (1 << capability) != 0 {
                continue;
            }
            match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                // The kernel knows no capability of this number, nor a higher one.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                result => result?,
            };
        }
        Ok(())
    }

    /// Sets the effective, permitted, inheritable and ambient sets of this thread.
    pub(crate) fn apply(&self) -> io::Result<()> {
        let word = |shift: u32| Words {
            effective: (self.effective >> shift) as u32,
            permitted: (self.permitted >> shift) as u32,
            inheritable: (self.inheritable >> shift) as u32,
        };
        let header = Header { version: VERSION, pid: 0 };
        let words = [word(0), word(32)];
        // SAFETY: version 3 takes the header and two structures.
        check(unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), words.as_ptr()) })?;
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
        for capability in (0..64).filter(|bit| self.ambient & (1 << bit) != 0) {
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability)?;
        }
        Ok(())
    }
}

/// The permitted set of this thread.
pub(crate) fn permitted() -> io::Result<u64> {
    let header = Header { version: VERSION, pid: 0 };
    let mut words = [Words::default(); 2];
    // SAFETY: version 3 fills two structures.
    check(unsafe { libc::syscall(libc::SYS_capget, std::ptr::from_ref(&header), words.as_mut_ptr()) })?;
    Ok(u64::from(words[0].permitted) | u64::from(words[1].permitted) << 32)
}

/// Whether this thread may look into any process of its user namespace.
pub(crate) fn may_trace() -> bool {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    // Where it cannot be known, what cannot be read is a failure.
    permitted().map_or(true, |set| set & CAP_SYS_PTRACE != 0)
}

fn bits(capabilities: &Option<Capabilities>) -> u64 {
    capabilities.iter().flatten().fold(0, |set, capability| set | 1 << number(*capability))
}

/// The number in linux/capability.h.
fn number(capability: Capability) -> u32 {
    match capability {
        Capability::Chown => 0,
        Capability::DacOverride => 1,
        Capability::DacReadSearch => 2,
        Capability::Fowner => 3,
        Capability::Fsetid => 4,
        Capability::Kill => 5,
        Capability::Setgid => 6,
        Capability::Setuid => 7,
        Capability::Setpcap => 8,
        Capability::LinuxImmutable => 9,
        Capability::NetBindService => 10,
        Capability::NetBroadcast => 11,
        Capability::NetAdmin => 12,
        Capability::NetRaw => 13,
        Capability::IpcLock => 14,
        Capability::IpcOwner => 15,
        Capability::SysModule => 16,
        Capability::SysRawio => 17,
        Capability::SysChroot => 18,
        Capability::SysPtrace => 19,
        Capability::SysPacct => 20,
        Capability::SysAdmin => 21,
        Capability::SysBoot => 22,
        Capability::SysNice => 23,
        Capability::SysResource => 24,
        Capability::SysTime => 25,
        Capability::SysTtyConfig => 26,
        Capability::Mknod => 27,
        Capability::Lease => 28,
        Capability::AuditWrite => 29,
        Capability::AuditControl => 30,
        Capability::Setfcap => 31,
        Capability::MacOverride => 32,
        Capability::MacAdmin => 33,
        Capability::Syslog => 34,
        Capability::WakeAlarm => 35,
        Capability::BlockSuspend => 36,
        Capability::AuditRead => 37,
        Capability::Perfmon => 38,
        Capability::Bpf => 39,
        Capability::CheckpointRestore => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits() {
        let asked: LinuxCapabilities = serde_json::from_str(
            r#"{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE"],"effective":["CAP_CHOWN"]}"#,
        )
        .expect("parse");
        let sets = Sets::of(Some(&asked));
        assert_eq!(sets.bounding, 1 | 1 << 40);
        assert_eq!(sets.effective, 1);
        assert_eq!(sets.inheritable, 0, "a set that is left out is empty");
        assert_eq!(sets.limited_to(1).bounding, 1);
    }
}
