//! The command line: runc's commands and options.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Runs containers from OCI bundles.
#[derive(Parser)]
#[command(name = "reeve-runtime", version = env!("REEVE_VERSION"), long_version = concat!(env!("REEVE_VERSION"), "\nspec: 1.2.1"))]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(ClapArgs)]
pub(crate) struct Global {
    /// Directory for the state of containers
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// File for error messages, besides stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Format of the log file
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Accepted as runc's; there is nothing more to say
    #[arg(long)]
    pub(crate) debug: bool,
    /// Make cgroups through systemd; linux.cgroupsPath is then slice:prefix:name
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

// There is one of it in a process' life.
#[allow(clippy::large_enum_variant)]
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a container, whose program then waits for `start`
    Create(Create),
    /// Let a created container run its program
    Start(Id),
    /// Make a container and run its program
    Run(Run),
    /// Print the state of a container as JSON
    State(Id),
    /// Send a signal to a container
    Kill(Kill),
    /// Free what a stopped container holds
    Delete(Delete),
    /// Run a further process in a container
    Exec(Exec),
    /// List the containers
    List(List),
    /// Write a configuration to start from
    Spec(Spec),
    /// Freeze all processes of a container
    Pause(Id),
    /// Let a paused container go on
    Resume(Id),
}

#[derive(ClapArgs)]
pub(crate) struct Id {
    /// Name of the container
    pub(crate) container_id: String,
}

#[derive(ClapArgs)]
pub(crate) struct Create {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Unix socket that is sent the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File for the process id
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Do not use pivot_root, for roots on a ramdisk
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Pass this many descriptors from 3 on to the container
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Name of the container
    pub(crate) container_id: String,
}

#[derive(ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Return once the program runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Do not delete the container when it has ended
    #[arg(long)]
    pub(crate) keep: bool,
    /// Accepted as runc's; the container's process is waited for by itself
    #[arg(long)]
    pub(crate) no_subreaper: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Kill {
    /// Signal every process of the container
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Name of the container
    pub(crate) container_id: String,
    /// Number or name of the signal
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
}

#[derive(ClapArgs)]
pub(crate) struct Delete {
    /// Kill the container first when it still runs; no error when there is none
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Name of the container
    pub(crate) container_id: String,
}

#[derive(ClapArgs)]
pub(crate) struct Exec {
    /// Unix socket that is sent the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Environment variables, NAME=VALUE
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User to run as
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// Further groups
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// File with the process object
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Return once the program runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File for the process id
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// SELinux label; refused, since labels are not implemented
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// Further capabilities
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// Pass this many descriptors from 3 on to the process
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Existing cgroup below the container's own
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Exec into a paused container too
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// Name of the container
    pub(crate) container_id: String,
    /// Program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(ClapArgs)]
pub(crate) struct List {
    /// table or json
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub(crate) format: ListFormat,
    /// Names only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

#[derive(ClapArgs)]
pub(crate) struct Spec {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// For a user without privileges
    #[arg(long)]
    pub(crate) rootless: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory;

    #[test]
    fn the_definitions_fit_together() {
        super::Args::command().debug_assert();
    }

    /// The options that the page has in the row of `command`.
    fn on_page(page: &str, command: &str) -> BTreeSet<String> {
        let table = page.split_once("\n## Command line\n").expect("section").1;
        let row = table.lines().find(|line| {
            let names = line.strip_prefix("| ").and_then(|line| line.split(" | ").next());
            names.is_some_and(|names| names.split(", ").any(|name| name == command))
        });
        let row = row.unwrap_or_else(|| panic!("{command} is not on the page"));
        let words = row.split('`').skip(1).step_by(2);
        words.filter_map(|word| word.strip_prefix("--")).map(str::to_owned).collect()
    }

    fn taken(command: &clap::Command) -> BTreeSet<String> {
        let names = command.get_arguments().filter_map(clap::Arg::get_long);
        names.filter(|name| !["help", "version"].contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn the_page_names_every_option() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compat-oci.md");
        let page = std::fs::read_to_string(&path).expect("page");
        let all = super::Args::command();
        assert_eq!(on_page(&page, "(before the command)"), taken(&all));
        let create = on_page(&page, "create");
        for command in all.get_subcommands() {
            let mut named = on_page(&page, command.get_name());
            if command.get_name() == "run" {
                named.extend(create.clone());
            }
            assert_eq!(named, taken(command), "{}", command.get_name());
        }
    }
}
