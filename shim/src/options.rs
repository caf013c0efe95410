//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// How to call the program.
pub const USAGE: &str = "usage: reeve-shim --id ID --dir DIR [--netns PATH] [--hostname NAME] [--share-pid] \
                         [--host-ipc] [--host-uts] [--sysctl KEY=VALUE]... [--systemd-cgroup]";

/// What the engine asks of the shim at its start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The sandbox, for people who look at the process list.
    pub id: String,
    /// The shim's own directory: absolute, existing, 0700.
    pub dir: PathBuf,
    /// The pod's network namespace; none: the host's.
    pub netns: Option<PathBuf>,
    /// The pod's host name in its own UTS namespace.
    pub hostname: Option<String>,
    /// Containers join one PID namespace.
    pub share_pid: bool,
    /// Stay in the host's IPC namespace.
    pub host_ipc: bool,
    /// Stay in the host's UTS namespace.
    pub host_uts: bool,
    /// Kernel settings of the pod's namespaces, `net.core.somaxconn` and the like.
    pub sysctls: Vec<(String, String)>,
    /// `cgroupsPath` of bundles is systemd's `slice:prefix:name`.
    pub systemd_cgroup: bool,
}

/// A command line that cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not one of ours.
    #[error("unknown option {0:?}; {USAGE}")]
    Unknown(OsString),
    /// An option at the end that wants a value.
    #[error("option {0} needs a value")]
    NoValue(String),
    /// A value that is not UTF-8.
    #[error("value of {0} is not UTF-8")]
    NotText(String),
    /// `--id` or `--dir` is not there.
    #[error("option {0} is missing; {USAGE}")]
    Missing(&'static str),
    /// `--dir` or `--netns` with a relative path.
    #[error("path {0} is not absolute")]
    Relative(PathBuf),
    /// `--sysctl` without `=`.
    #[error("sysctl {0:?} is not KEY=VALUE")]
    Sysctl(String),
}

impl Options {
    /// Reads the arguments (without the program's name).
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, OptionsError> {
        let mut options = Options::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let name = arg.to_str().unwrap_or_default().to_owned();
            let mut value = || args.next().ok_or_else(|| OptionsError::NoValue(name.clone()));
            let text = |value: OsString| value.into_string().map_err(|_| OptionsError::NotText(name.clone()));
            match name.as_str() {
                "--id" => options.id = text(value()?)?,
                "--dir" => options.dir = value()?.into(),
                "--netns" => options.netns = Some(value()?.into()),
                "--hostname" => options.hostname = Some(text(value()?)?),
                "--share-pid" => options.share_pid = true,
                "--host-ipc" => options.host_ipc = true,
                "--host-uts" => options.host_uts = true,
                "--sysctl" => options.sysctls.push(sysctl(text(value()?)?)?),
                "--systemd-cgroup" => options.systemd_cgroup = true,
                _ => return Err(OptionsError::Unknown(arg)),
            }
        }
        options.checked()
    }

    fn checked(self) -> Result<Self, OptionsError> {
        if self.id.is_empty() {
            return Err(OptionsError::Missing("--id"));
        }
        if self.dir.as_os_str().is_empty() {
            return Err(OptionsError::Missing("--dir"));
        }
        let paths = [Some(&self.dir), self.netns.as_ref()];
        if let Some(path) = paths.into_iter().flatten().find(|path| path.is_relative()) {
            return Err(OptionsError::Relative(path.clone()));
        }
        Ok(self)
    }
}

fn sysctl(text: String) -> Result<(String, String), OptionsError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(OptionsError::Sysctl(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, OptionsError> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_is_asked_is_understood() {
        let line = "--id a --dir /d --netns /n --hostname h --share-pid --sysctl net.x=1=2 --systemd-cgroup";
        let options = parse(line).ok();
        let expected = Options {
            id: "a".into(),
            dir: "/d".into(),
            netns: Some("/n".into()),
            hostname: Some("h".into()),
            share_pid: true,
            sysctls: vec![("net.x".into(), "1=2".into())],
            systemd_cgroup: true,
            ..Options::default()
        };
        assert_eq!(options, Some(expected));
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let cases = [
            ("--id a", OptionsError::Missing("--dir")),
            ("--dir /d", OptionsError::Missing("--id")),
            ("--id a --dir d", OptionsError::Relative("d".into())),
            ("--id", OptionsError::NoValue("--id".into())),
            ("--id a --dir /d --sysctl x", OptionsError::Sysctl("x".into())),
            ("--verbose", OptionsError::Unknown("--verbose".into())),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Err(expected), "{line}");
        }
    }
}
