//! How the kernel schedules the process: sched_setattr(2), ioprio_set(2), sched_setaffinity(2).

use std::io;

use oci_spec::runtime::{IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};

use crate::Error;
use crate::sys::check;

/// CPUs that a mask of ours can name; the kernel's own limit on x86_64.
const MAX_CPUS: usize = 8192;

/// What the process object says about scheduling; absent parts stay as they are inherited.
#[derive(Default)]
pub(crate) struct Scheduling {
    attributes: Option<Attributes>,
    io_priority: Option<libc::c_int>,
    /// The CPUs while the process enters the container, and those for its program.
    affinity: [Option<Vec<u64>>; 2],
}

/// `struct sched_attr` of linux/sched/types.h, its first version.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Scheduling {
    pub(crate) fn of(process: &Process) -> Result<Scheduling, Error> {
        let mut scheduling = Scheduling::default();
        if let Some(scheduler) = process.scheduler() {
            scheduling.attributes = Some(attributes(scheduler)?);
        }
        if let Some(priority) = process.io_priority() {
            let level = priority.priority();
            if !(0..8).contains(&level) {
                return Err(Error::config("process.ioPriority.priority", format!("{level} is not in 0..=7")));
            }
            let class = match priority.class() {
                IOPriorityClass::IoprioClassRt => 1,
                IOPriorityClass::IoprioClassBe => 2,
                IOPriorityClass::IoprioClassIdle => 3,
            };
            scheduling.io_priority = Some(class << 13 | level as libc::c_int);
        }
        if let Some(affinity) = process.exec_cpu_affinity() {
            let mask = |field: &str, list: &Option<String>| {
                let list = list.as_deref().filter(|list| !list.is_empty());
                list.map(|list| cpu_mask(&format!("process.execCPUAffinity.{field}"), list)).transpose()
            };
            scheduling.affinity =
                [mask("initial", affinity.initial())?, mask("final", affinity.cpu_affinity_final())?];
        }
        Ok(scheduling)
    }

    /// Drops what `process.execCPUAffinity` says.
    pub(crate) fn forget_affinity(&mut self) {
        self.affinity = [None, None];
    }

    /// Pins the calling thread for the time of its entry into the container.
    pub(crate) fn apply_initial(&self) -> io::Result<()> {
        self.affinity[0].as_deref().map_or(Ok(()), set_affinity)
    }

    /// Applies the rest to the calling thread.
    pub(crate) fn apply(&self) -> io::Result<()> {
        if let Some(attributes) = &self.attributes {
            // SAFETY: the structure has the kernel's layout and names its own size.
            check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) })?;
        }
        if let Some(priority) = self.io_priority {
            /// `IOPRIO_WHO_PROCESS` of linux/ioprio.h.
            const WHO_PROCESS: libc::c_int = 1;
            // SAFETY: no pointers.
            check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) })?;
        }
        self.affinity[1].as_deref().map_or(Ok(()), set_affinity)
    }
}

fn attributes(scheduler: &Scheduler) -> Result<Attributes, Error> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => {
            return Err(Error::config("process.scheduler.policy", "SCHED_ISO is in no Linux kernel"));
        }
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    Ok(Attributes {
        size: size_of::<Attributes>() as u32,
        policy,
        flags: scheduler.flags().iter().flatten().fold(0, |set, one| set | flag(one)),
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler.priority().unwrap_or(0).max(0) as u32,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

fn set_affinity(mask: &[u64]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) })?;
    Ok(())
}

/// The bit mask of a list such as `0-3,7`, cpuset(7)'s "List format".
fn cpu_mask(field: &str, list: &str) -> Result<Vec<u64>, Error> {
    let wrong = || Error::config(field, format!("{list:?} is not a list of CPUs such as 0-3,7"));
    let mut mask = vec![0u64; MAX_CPUS / 64];
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= MAX_CPUS {
            return Err(wrong());
        }
        (first..=last).for_each(|cpu| mask[cpu / 64] |= 1 << (cpu % 64));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_become_masks() {
        assert_eq!(cpu_mask("f", "0-3,7").expect("mask")[0], 0b1000_1111);
        assert_eq!(cpu_mask("f", "64").expect("mask")[..2], [0, 1]);
        for wrong in ["", "a", "3-1", "0,,1", "99999"] {
            assert!(cpu_mask("f", wrong).is_err(), "{wrong:?}");
        }
    }
}
