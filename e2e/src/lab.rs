//! A network and a mount namespace that a test has for itself.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Address of the machine that a lab stands for (documentation range, RFC 5737).
pub const ADDRESS: &str = "192.0.2.1";

/// Namespaces, a scratch directory, and a process that keeps them.
pub struct Lab {
    keeper: Child,
    net: File,
    mnt: File,
    /// Scratch, removed with the lab.
    pub dir: tempfile::TempDir,
}

impl Lab {
    /// Makes one with its loopback interface up.
    ///
    /// # Panics
    /// Without root.
    pub fn new() -> Lab {
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: system calls only, between fork and exec.
        unsafe {
            command.pre_exec(|| {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
                let none: Option<&str> = None;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                Ok(())
            });
        }
        let keeper = command.spawn().expect("a lab needs root");
        let namespace =
            |name: &str| File::open(format!("/proc/{}/ns/{name}", keeper.id())).expect("namespace");
        let lab = Lab {
            net: namespace("net"),
            mnt: namespace("mnt"),
            dir: tempfile::Builder::new().prefix("reeve-e2e-").tempdir().expect("scratch"),
            keeper,
        };
        lab.run(["ip", "link", "set", "lo", "up"]);
        // The outside, as far as the lab has one: an address of the machine and a route to nowhere.
        lab.run(["ip", "link", "add", "lab0", "type", "bridge"]);
        lab.run(["ip", "addr", "add", &format!("{ADDRESS}/24"), "dev", "lab0"]);
        lab.run(["ip", "link", "set", "lab0", "up"]);
        lab.run(["ip", "route", "add", "default", "via", "192.0.2.254"]);
        lab
    }

    /// A path in the lab's scratch directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Process whose namespaces the lab is.
    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// A command that will run in the lab, and not outlive the thread that starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.detached(program);
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        command
    }

    /// A command that will run in the lab.
    pub fn detached(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let net = self.net.try_clone().expect("descriptor");
        let mnt = self.mnt.try_clone().expect("descriptor");
        command.stdin(Stdio::null());
        // SAFETY: system calls only, between fork and exec; the descriptors belong to the closure.
        unsafe {
            command.pre_exec(move || {
                setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
                setns(mnt.as_fd(), CloneFlags::CLONE_NEWNS)?;
                Ok(())
            });
        }
        command
    }

    /// Runs a command in the lab to its end.
    pub fn output<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        let mut words = words.into_iter();
        let program = words.next().expect("a program");
        self.command(&program)
            .args(words)
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", program.as_ref().display()))
    }

    /// Runs a command in the lab and returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn run<S: AsRef<std::ffi::OsStr> + Clone>(&self, words: impl IntoIterator<Item = S>) -> String {
        let words: Vec<S> = words.into_iter().collect();
        let output = self.output(words.iter());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown: Vec<_> = words.iter().map(|w| w.as_ref().to_string_lossy()).collect();
        assert!(
            output.status.success(),
            "`{}` ended with {}\n{}{}",
            shown.join(" "),
            output.status,
            text,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The keeper is this lab's own child; ending it ends the namespaces with what was mounted in them.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
