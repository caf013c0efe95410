//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};

/// Runs a command in a throw-away guest with pure cgroup v2.
#[derive(Debug, Parser)]
#[command(name = "reeve-vm", version, about)]
pub(crate) struct Options {
    /// Processors of the guest.
    #[arg(short = 'c', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4))]
    pub(crate) cpus: u32,
    /// Memory of the guest in MiB; taken from the host as it is used.
    #[arg(short, long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: u32,
    /// Seconds after which the guest is killed.
    #[arg(short, long, default_value_t = 300)]
    pub(crate) timeout: u64,
    /// A directory of the host in the guest; read-only unless `:rw` is said.
    #[arg(short, long, value_name = "DIR:PATH[:ro|:rw]")]
    pub(crate) share: Vec<Share>,
    /// A variable for the command; without a value, the caller's.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Words for the kernel's command line, such as lsm=landlock,yama,apparmor,bpf.
    #[arg(long, value_name = "WORDS")]
    pub(crate) append: Option<String>,
    /// Show the kernel's messages when the command has ended, too.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The command; found in the guest's PATH and run in the caller's directory.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// A directory of the host in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) host: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) writable: bool,
}

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<_> = text.split(':').collect();
        let (host, guest, writable) = match parts[..] {
            [host, guest] | [host, guest, "ro"] => (host, guest, false),
            [host, guest, "rw"] => (host, guest, true),
            _ => bail!("expected DIR:PATH, DIR:PATH:ro or DIR:PATH:rw"),
        };
        ensure!(guest.starts_with('/'), "{guest} is not an absolute path");
        let host = std::fs::canonicalize(host).with_context(|| host.to_owned())?;
        // hostfs takes the path as a mount option.
        ensure!(!host.to_string_lossy().contains(','), "{} has a comma in it", host.display());
        Ok(Self { host, guest: PathBuf::from(guest), writable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let share =
            |host: &str, guest: &str, writable| Share { host: host.into(), guest: guest.into(), writable };
        assert_eq!("/:/host".parse::<Share>().expect("a share"), share("/", "/host", false));
        assert_eq!("/:/host:ro".parse::<Share>().expect("a share"), share("/", "/host", false));
        assert_eq!("/:/host:rw".parse::<Share>().expect("a share"), share("/", "/host", true));
        for wrong in ["/", "/:host", "/:/a:rx", "/:/a:rw:x", "/does-not-exist:/a"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_may_have_options_of_its_own() {
        let options = Options::parse_from(["reeve-vm", "-c", "2", "--", "ls", "-l"]);
        assert_eq!((options.cpus, options.command), (2, vec!["ls".to_owned(), "-l".to_owned()]));
        assert!(Options::try_parse_from(["reeve-vm"]).is_err());
    }
}
