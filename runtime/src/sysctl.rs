//! `linux.sysctl`: kernel parameters of the container's own namespaces, and of no other.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

use crate::Error;
use crate::namespaces::{Namespaces, flag};
use crate::sys::c_str;
use crate::sys::fs::{openat2, resolve};

const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Refuses parameters that are not of a namespace that the container has.
pub(crate) fn check(
    parameters: Option<&HashMap<String, String>>,
    namespaces: &Namespaces,
) -> Result<(), Error> {
    for (key, value) in parameters.into_iter().flatten() {
        let refuse = |reason: &str| Err(Error::config(format!("linux.sysctl[{key:?}]"), reason));
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@*".contains(letter);
        if !key.chars().all(allowed) || key.contains("..") || key.starts_with(['.', '/']) {
            return refuse("is no name of a kernel parameter");
        }
        if value.contains('\n') || value.contains('\0') {
            return refuse("its value has more than one line");
        }
        let dotted = dotted(key);
        let needs = if OF_IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            (flag::IPC, "an IPC namespace")
        } else if dotted.starts_with("net.") {
            (flag::NET, "a network namespace")
        } else if dotted == "kernel.domainname" {
            (flag::UTS, "a UTS namespace")
        } else if dotted == "kernel.hostname" {
            return refuse("is set by the field hostname");
        } else if dotted.starts_with("user.") {
            (flag::USER, "a user namespace")
        } else {
            return refuse("is not in a separate kernel namespace");
        };
        if !namespaces.has(needs.0) {
            return refuse(&format!("needs {} of the container's own", needs.1));
        }
    }
    Ok(())
}

/// Writes them; `proc` is a verified procfs, whose `sys` shows the namespaces of whoever looks.
pub(crate) fn write(proc: BorrowedFd<'_>, parameters: &HashMap<String, String>) -> Result<(), Error> {
    let rules = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS;
    for (key, value) in parameters {
        let set = || -> io::Result<()> {
            let path = c_str(&format!("sys/{}", path_of(key)))?;
            let file = openat2(proc, &path, libc::O_WRONLY, rules)?;
            nix::unistd::write(&file, value.as_bytes())?;
            Ok(())
        };
        set().map_err(|error| Error::setup(format!("linux.sysctl: set {key} to {value:?}"), error))?;
    }
    Ok(())
}

/// sysctl(8): where a slash comes first, slashes separate and dots belong to names such as `eth0.1`.
fn slashes_separate(key: &str) -> bool {
    match (key.find('/'), key.find('.')) {
        (Some(slash), Some(dot)) => slash < dot,
        (Some(_), None) => true,
        _ => false,
    }
}

fn path_of(key: &str) -> String {
    if slashes_separate(key) {
        key.to_owned()
    } else {
        key.replace('/', "\u{0}").replace('.', "/").replace('\u{0}', ".")
    }
}

fn dotted(key: &str) -> String {
    path_of(key).replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str, value: &str, new: u64) -> Result<(), Error> {
        let parameters = HashMap::from([(key.to_owned(), value.to_owned())]);
        check(Some(&parameters), &Namespaces { new, join: Vec::new() })
    }

    #[test]
    fn only_parameters_of_own_namespaces_pass() {
        verdict("net.ipv4.ip_forward", "1", flag::NET).expect("net");
        verdict("net/ipv4/conf/eth0.1/forwarding", "1", flag::NET).expect("slashes");
        verdict("kernel.shmmax", "1", flag::IPC).expect("ipc");
        verdict("fs.mqueue.msg_max", "1", flag::IPC).expect("mqueue");
        for (key, value, new) in [
            ("net.ipv4.ip_forward", "1", flag::IPC),
            ("kernel.shmmax", "1", flag::NET),
            ("kernel.core_pattern", "|/x", u64::MAX),
            ("kernel.shm_rmid_forced", "1+kernel.core_pattern=x\n", u64::MAX),
            ("net.ipv4.x+kernel.core_pattern", "1", u64::MAX),
            ("net/../kernel/core_pattern", "x", u64::MAX),
            ("kernel.hostname", "x", u64::MAX),
        ] {
            let text = verdict(key, value, new).expect_err(key).to_string();
            assert!(text.contains("linux.sysctl"), "{text}");
        }
    }

    #[test]
    fn both_spellings_name_one_file() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
