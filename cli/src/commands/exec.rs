//! `reeve exec`.

use std::io::IsTerminal;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

use super::{find, logs};
use crate::client::{Channels, Query, Said};
use crate::exit::{EXEC_FAILED, Failure};
use crate::settings::{ClientFlags, NamespaceFlag};
use crate::{out, terminal};

const EXAMPLES: &str = "\
Examples:
  reeve exec web -- ls /srv                    run a command, and end with its exit code
  reeve exec -it web -- sh                     a shell on this terminal
  cat dump.sql | reeve exec -i db -- psql      feed its input
  reeve exec -it web -c log -- sh              in one container of several";

/// Run a command in a container
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// Name of the pod
    #[arg(value_name = "POD")]
    pod: String,

    /// Which container; without it the pod's default, which is its first
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,

    #[command(flatten)]
    namespace: NamespaceFlag,

    /// Pass standard input on to the command
    #[arg(short = 'i', long)]
    stdin: bool,

    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,

    #[command(flatten)]
    client: ClientFlags,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command; returns its exit code.
pub(crate) async fn run(mut args: ExecArgs) -> anyhow::Result<u8> {
    let agent = args.client.agent();
    let pod = find::pod(&agent, &args.namespace.namespace, &args.pod).await?;
    if args.container.is_none() {
        logs::tell_choice(&pod);
    }
    if args.tty && !std::io::stdin().is_terminal() {
        out::note("No terminal for the command: standard input is none");
        args.tty = false;
    }
    let mut channels = agent.channels(&path(&args, &pod)).await?;
    // From here on keys belong to the command, until the guard goes.
    let raw = args.tty.then(terminal::Raw::enter).transpose()?;
    let outcome = converse(&mut channels, &args).await;
    drop(raw);
    exit_code(outcome?)
}

fn path(args: &ExecArgs, pod: &Pod) -> String {
    let query = Query::default()
        .maybe("container", args.container.as_deref())
        .flag("stdin", args.stdin)
        .flag("stdout", true)
        .flag("stderr", !args.tty)
        .flag("tty", args.tty);
    let query = args.command.iter().fold(query, |query, word| query.add("command", word));
    query.on(&format!("{}/exec", find::pod_path(pod)))
}

/// Passes input, output and the size of the terminal on until the command has ended.
async fn converse(channels: &mut Channels, args: &ExecArgs) -> anyhow::Result<Option<Status>> {
    let mut stdin = tokio::io::stdin();
    let mut reading = args.stdin;
    let mut buffer = vec![0; 16 << 10];
    let mut resized = signal(SignalKind::window_change())?;
    if args.tty {
        send_size(channels).await?;
    }
    loop {
        tokio::select! {
            said = channels.next() => match said? {
                Some(Said::Stdout(bytes)) => out::bytes(&bytes)?,
                Some(Said::Stderr(bytes)) => out::error_bytes(&bytes)?,
                Some(Said::Outcome(status)) => return Ok(Some(serde_json::from_slice(&status)?)),
                None => return Ok(None),
            },
            read = stdin.read(&mut buffer), if reading => match read? {
                0 => {
                    reading = false;
                    channels.end_stdin().await?;
                }
                read => channels.stdin(&buffer[..read]).await?,
            },
            _ = resized.recv(), if args.tty => send_size(channels).await?,
        }
    }
}

async fn send_size(channels: &mut Channels) -> anyhow::Result<()> {
    match terminal::size() {
        Some((columns, rows)) => channels.resize(columns, rows).await,
        None => Ok(()),
    }
}

/// The exit code that the last Status tells of, as Kubernetes' remotecommand writes it.
fn exit_code(status: Option<Status>) -> anyhow::Result<u8> {
    let Some(status) = status else {
        return Err(Failure::new(EXEC_FAILED, "the connection ended before the command did").into());
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_deref()).and_then(|code| code.parse::<i64>().ok());
    match code {
        // A process's exit code has eight bits.
        Some(code) => Ok(u8::try_from(code & 0xff).unwrap_or(EXEC_FAILED)),
        None => {
            let message = status.message.unwrap_or_else(|| "the command could not be run".into());
            Err(Failure::new(EXEC_FAILED, message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn code(status: Value) -> Result<u8, String> {
        let status = serde_json::from_value(status).expect("a Status");
        exit_code(Some(status)).map_err(|error| error.to_string())
    }

    #[test]
    fn codes() {
        assert_eq!(code(json!({"status": "Success"})), Ok(0));
        let failed = |code: &str| {
            json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
                   "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
        };
        assert_eq!(code(failed("42")), Ok(42));
        assert_eq!(code(failed("137")), Ok(137));
        let not_run = json!({"status": "Failure", "reason": "InternalError", "message": "no such file"});
        assert_eq!(code(not_run), Err("no such file".into()));
        assert!(exit_code(None).is_err());
    }
}
