//! `linux.resources` in the files of cgroup v1, the kernel's `Documentation/admin-guide/cgroup-v1`.

use std::path::PathBuf;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, LinuxThrottleDevice,
};

use super::{Cgroup, failed, write};
use crate::Error;

/// One file to write.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    controller: &'static str,
    file: String,
    value: String,
}

fn setting(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Setting {
    Setting { controller, file: file.into(), value: value.to_string() }
}

/// Writes what `resources` names.
pub(super) fn apply(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    for setting in settings(resources) {
        let directory = directory(cgroup, setting.controller)?;
        write(&directory.join(setting.file), &setting.value)?;
    }
    resources.memory().as_ref().map_or(Ok(()), |memory| set_memory(cgroup, memory))
}

fn directory(cgroup: &Cgroup, controller: &'static str) -> Result<PathBuf, Error> {
    cgroup.controller(controller).ok_or_else(|| {
        failed(&cgroup.path, format!("the controller {controller} is not mounted on this system"))
    })
}

/// All but the memory limits, whose order depends on what is set now.
fn settings(resources: &LinuxResources) -> Vec<Setting> {
    let mut list = Vec::new();
    resources.cpu().iter().for_each(|cpu| cpu_settings(cpu, &mut list));
    if let Some(pids) = resources.pids() {
        let limit = if pids.limit() > 0 { pids.limit().to_string() } else { String::from("max") };
        list.push(setting("pids", "pids.max", limit));
    }
    resources.block_io().iter().for_each(|io| io_settings(io, &mut list));
    for page in resources.hugepage_limits().iter().flatten() {
        list.push(setting("hugetlb", format!("hugetlb.{}.limit_in_bytes", page.page_size()), page.limit()));
    }
    resources.network().iter().for_each(|network| network_settings(network, &mut list));
    list
}

/// Zero stands for "leave it", as with runc.
fn cpu_settings(cpu: &LinuxCpu, list: &mut Vec<Setting>) {
    let unsigned = [
        ("cpu.shares", cpu.shares()),
        ("cpu.cfs_period_us", cpu.period()),
        ("cpu.rt_period_us", cpu.realtime_period()),
        ("cpu.cfs_burst_us", cpu.burst()),
    ];
    let signed = [
        ("cpu.cfs_quota_us", cpu.quota()),
        ("cpu.rt_runtime_us", cpu.realtime_runtime()),
        ("cpu.idle", cpu.idle()),
    ];
    let named = |(file, value): (&str, u64)| (value != 0).then(|| setting("cpu", file, value));
    list.extend(unsigned.into_iter().filter_map(|(file, value)| Some((file, value?))).filter_map(named));
    for (file, value) in signed {
        list.extend(value.filter(|value| *value != 0).map(|value| setting("cpu", file, value)));
    }
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        list.extend(
            value.iter().filter(|value| !value.is_empty()).map(|value| setting("cpuset", file, value)),
        );
    }
}

fn io_settings(io: &LinuxBlockIo, list: &mut Vec<Setting>) {
    list.extend(
        io.weight().filter(|weight| *weight != 0).map(|weight| setting("blkio", "blkio.weight", weight)),
    );
    for device in io.weight_device().iter().flatten() {
        let Some(weight) = device.weight() else { continue };
        list.push(setting(
            "blkio",
            "blkio.weight_device",
            format!("{}:{} {weight}", device.major(), device.minor()),
        ));
    }
    let throttles: [(&str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ];
    for (file, devices) in throttles {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            list.push(setting("blkio", file, value));
        }
    }
}

fn network_settings(network: &LinuxNetwork, list: &mut Vec<Setting>) {
    list.extend(network.class_id().filter(|id| *id != 0).map(|id| setting("net_cls", "net_cls.classid", id)));
    for priority in network.priorities().iter().flatten() {
        list.push(setting(
            "net_prio",
            "net_prio.ifpriomap",
            format!("{} {}", priority.name(), priority.priority()),
        ));
    }
}

fn set_memory(cgroup: &Cgroup, memory: &LinuxMemory) -> Result<(), Error> {
    let directory = directory(cgroup, "memory")?;
    let set = |file: &str, value: Option<i64>| {
        value
            .filter(|value| *value != 0)
            .map_or(Ok(()), |value| write(&directory.join(file), &value.to_string()))
    };
    let limit = || set("memory.limit_in_bytes", memory.limit());
    // Swap stands for memory and swap together in v1, and memory alone may never be over it. Which way round works
    // depends on whether the limits rise or fall.
    let swap = || {
        let value = memory.swap().or_else(|| memory.limit().filter(|limit| *limit == -1));
        let file = "memory.memsw.limit_in_bytes";
        if memory.swap().is_none() && !directory.join(file).exists() { Ok(()) } else { set(file, value) }
    };
    match limit() {
        Ok(()) => swap()?,
        Err(first) => {
            swap().map_err(|_| first)?;
            limit()?;
        }
    }
    set("memory.soft_limit_in_bytes", memory.reservation())?;
    set("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp())?;
    if let Some(swappiness) = memory.swappiness() {
        write(&directory.join("memory.swappiness"), &swappiness.to_string())?;
    }
    if memory.disable_oom_killer() == Some(true) {
        write(&directory.join("memory.oom_control"), "1")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_become_files() {
        let resources: LinuxResources = serde_json::from_str(
            r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1","mems":""},"pids":{"limit":0},
                "blockIO":{"weight":300,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]}}"#,
        )
        .expect("json");
        assert_eq!(
            settings(&resources),
            [
                setting("cpu", "cpu.shares", 512),
                setting("cpu", "cpu.cfs_period_us", 100_000),
                setting("cpu", "cpu.cfs_quota_us", 50_000),
                setting("cpuset", "cpuset.cpus", "0-1"),
                setting("pids", "pids.max", "max"),
                setting("blkio", "blkio.weight", 300),
                setting("blkio", "blkio.throttle.read_bps_device", "8:0 1048576"),
            ]
        );
    }
}
