//! Resource limits, setrlimit(2), set by the parent: in a user namespace the child may not raise them.

use std::io;

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};

use crate::Error;
use crate::sys::check;

/// `struct rlimit64` of linux/resource.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Limit {
    soft: u64,
    hard: u64,
}

/// Sets `limits` on process `pid`. A limit over the current hard one is lowered to it where CAP_SYS_RESOURCE is
/// missing, as it is on nodes that run in containers themselves.
pub(crate) fn set_limits(pid: i32, limits: &[PosixRlimit]) -> Result<(), Error> {
    for (index, limit) in limits.iter().enumerate() {
        let failed = |error| Error::setup(format!("process.rlimits[{index}]: set {:?}", limit.typ()), error);
        if limit.soft() > limit.hard() {
            let reason = format!("soft limit {} is over the hard limit {}", limit.soft(), limit.hard());
            return Err(Error::config(format!("process.rlimits[{index}]"), reason));
        }
        let resource = number(limit.typ());
        let wanted = Limit { soft: limit.soft(), hard: limit.hard() };
        match prlimit(pid, resource, Some(wanted)) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let current = prlimit(pid, resource, None).map_err(failed)?;
                let hard = wanted.hard.min(current.hard);
                prlimit(pid, resource, Some(Limit { soft: wanted.soft.min(hard), hard })).map_err(failed)?;
            }
            result => {
                result.map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn prlimit(pid: i32, resource: libc::c_int, new: Option<Limit>) -> io::Result<Limit> {
    let mut old = Limit::default();
    let pointer = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both structures have the kernel's layout, and null stands for no new limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, pointer, &raw mut old) })?;
    Ok(old)
}

/// The number in asm-generic/resource.h.
fn number(kind: PosixRlimitType) -> libc::c_int {
    match kind {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}
