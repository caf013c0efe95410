//! What the node is and how it is, read from the kernel and the runtime.

use std::net::IpAddr;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use reeve_proto::cri;

use crate::Handles;

/// What is reported of the node.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) hostname: String,
    pub(super) address: Option<IpAddr>,
    pub(super) cpus: usize,
    pub(super) memory: u64,
    pub(super) memory_available: u64,
    pub(super) disk: u64,
    pub(super) disk_available: u64,
    pub(super) pids: u64,
    pub(super) pids_used: u64,
    pub(super) max_pods: u32,
    pub(super) machine_id: String,
    pub(super) system_uuid: String,
    pub(super) boot_id: String,
    pub(super) kernel: String,
    pub(super) os_image: String,
    /// `name://version`.
    pub(super) runtime: String,
    /// What keeps the runtime from being ready; empty when it is.
    pub(super) not_ready: Vec<String>,
}

impl Facts {
    /// Reads them; what cannot be read stays empty.
    pub(super) async fn read(handles: &Handles) -> Facts {
        let config = &handles.config;
        let (disk, disk_available) = disk(&config.root);
        let meminfo = text("/proc/meminfo");
        let kernel = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
        Facts {
            hostname: config.node_name.clone(),
            address: config.node_ip,
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            memory: kib(&meminfo, "MemTotal:"),
            memory_available: kib(&meminfo, "MemAvailable:"),
            disk,
            disk_available,
            pids: text("/proc/sys/kernel/pid_max").parse().unwrap_or(0),
            pids_used: tasks(&text("/proc/loadavg")),
            max_pods: config.max_pods,
            machine_id: text("/etc/machine-id"),
            system_uuid: text("/sys/class/dmi/id/product_uuid"),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            kernel,
            os_image: pretty_name(&text("/etc/os-release")),
            runtime: runtime(handles).await,
            not_ready: not_ready(handles).await,
        }
    }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A field of /proc/meminfo, in bytes.
fn kib(meminfo: &str, field: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.unwrap_or(0_u64) * 1024
}

/// The number of tasks in /proc/loadavg: `0.00 0.01 0.05 running/all last-pid`.
fn tasks(loadavg: &str) -> u64 {
    let field = loadavg.split_whitespace().nth(3);
    field.and_then(|field| field.split_once('/')).and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

fn pretty_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// Size and free space of the filesystem that holds `root`, in bytes.
fn disk(root: &Path) -> (u64, u64) {
    let Ok(stat) = statvfs(root) else { return (0, 0) };
    (stat.blocks() * stat.fragment_size(), stat.blocks_available() * stat.fragment_size())
}

async fn runtime(handles: &Handles) -> String {
    let request = cri::VersionRequest { version: "v1".into() };
    match handles.cri.runtime().version(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            format!("{}://{}", answer.runtime_name, answer.runtime_version)
        }
        Err(_) => String::new(),
    }
}

async fn not_ready(handles: &Handles) -> Vec<String> {
    match handles.cri.runtime().status(cri::StatusRequest { verbose: false }).await {
        Ok(answer) => {
            let conditions = answer.into_inner().status.unwrap_or_default().conditions;
            let failed = conditions.into_iter().filter(|condition| !condition.status);
            failed.map(|c| format!("{} is false: {} {}", c.r#type, c.reason, c.message)).collect()
        }
        Err(status) => vec![status.message().to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_the_kernel_says() {
        let meminfo = "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!((kib(meminfo, "MemTotal:"), kib(meminfo, "MemAvailable:")), (16384 * 1024, 1024 * 1024));
        assert_eq!(kib(meminfo, "None:"), 0);
        assert_eq!(tasks("0.20 0.18 0.12 1/80 11206"), 80);
        assert_eq!(tasks(""), 0);
        let os = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty_name(os), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name(""), "Linux");
    }
}
