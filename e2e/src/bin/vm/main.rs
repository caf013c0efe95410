//! Runs a command in a throw-away guest with pure cgroup v2, on User-mode Linux: an ordinary process, so it needs
//! neither KVM nor modules, and boots in about a second.
//!
//! ```text
//! reeve-vm -t 60 -- sh -c 'cat /sys/fs/cgroup/cgroup.controllers'
//! reeve-vm -c 2 --share "$PWD:/work:rw" -- make check
//! CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUNNER='reeve-vm -c 2' cargo test -p reeve-runtime
//! ```
//!
//! The guest sees the host's `/` read-only, under an overlay in memory; what it writes is gone with it, but for shares
//! that are writable. /tmp and /run are file systems in memory of their own (an overlay cannot serve as the upper
//! layer of another). The command runs as root with the network of the guest, which has a loopback and nothing else.
//! Its output is streamed, its exit status is ours. 124 tells that the time was up, 125 that the guest died.
//!
//! `host` starts the kernel, `kernel` finds or builds it, `guest` is the other side: the same program as the guest's
//! init, which reads its `order` from a file.

#![allow(clippy::print_stderr, reason = "a command for the terminal")]

mod guest;
mod host;
mod kernel;
mod options;
mod order;

use std::process::ExitCode;

use clap::Parser;

/// The runner itself failed, or the guest did not tell how its command ended.
const BROKEN: u8 = 125;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        guest::main();
    }
    let options = options::Options::parse();
    match host::run(&options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("reeve-vm: {error:#}");
            ExitCode::from(BROKEN)
        }
    }
}
