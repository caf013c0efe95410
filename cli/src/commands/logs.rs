//! `reeve logs`.

use clap::Args;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Span};

use super::find;
use crate::client::Query;
use crate::out;
use crate::settings::{ClientFlags, NamespaceFlag};

const EXAMPLES: &str = "\
Examples:
  reeve logs web                     what the pod's container has written
  reeve logs -f --tail 20 web        the last 20 lines, and then what comes
  reeve logs --previous crash        what it wrote before it was restarted
  reeve logs --since 5m web -c init  five minutes of one container of several";

/// Show what a container has written
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// Name of the pod
    #[arg(value_name = "POD")]
    pod: String,

    /// Which container; without it the pod's default, which is its first
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,

    #[command(flatten)]
    namespace: NamespaceFlag,

    /// Go on with what it writes until it ends
    #[arg(short, long, conflicts_with = "previous")]
    follow: bool,

    /// Of the instance before this one
    #[arg(short, long)]
    previous: bool,

    /// Only so many lines from the end
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,

    /// Only what is newer, such as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<SignedDuration>,

    /// Begin each line with its time
    #[arg(long)]
    timestamps: bool,

    #[command(flatten)]
    client: ClientFlags,
}

/// `90s`, `5m`, `1h30m`, `2d`.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is no duration such as 90s, 5m or 1h30m");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let days = SignedDuration::from_hours(24 * i64::from(span.get_days()));
    let rest = SignedDuration::try_from(span.days(0)).map_err(|_| wrong())?;
    let whole = days + rest;
    if whole.is_negative() { Err(wrong()) } else { Ok(whole) }
}

/// Copies the log to standard output.
pub(crate) async fn run(args: LogsArgs) -> anyhow::Result<()> {
    let agent = args.client.agent();
    let pod = find::pod(&agent, &args.namespace.namespace, &args.pod).await?;
    if args.container.is_none() {
        tell_choice(&pod);
    }
    let query = Query::default()
        .maybe("container", args.container.as_deref())
        .flag("follow", args.follow)
        .flag("previous", args.previous)
        .maybe("tailLines", args.tail)
        .maybe("sinceSeconds", args.since.map(|since| since.as_secs()))
        .flag("timestamps", args.timestamps);
    let path = query.on(&format!("{}/log", find::pod_path(&pod)));
    let mut body = agent.send(Method::GET, &path).await?;
    while let Some(bytes) = body.next().await? {
        out::bytes(&bytes)?;
    }
    Ok(())
}

/// Says which of several containers is shown, as kubectl does.
pub(super) fn tell_choice(pod: &Pod) {
    let containers = pod.spec.as_ref().map(|spec| &spec.containers[..]).unwrap_or_default();
    if containers.len() < 2 {
        return;
    }
    let names: Vec<_> = containers.iter().map(|c| c.name.as_str()).collect();
    let annotations = pod.metadata.annotations.as_ref();
    let annotated = annotations.and_then(|all| all.get("kubectl.kubernetes.io/default-container"));
    let chosen = annotated.map_or(names[0], String::as_str);
    out::note(&format!("Defaulted container {chosen:?} out of: {}", names.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table = [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("1d1h", 90_000)];
        for (text, seconds) in table {
            assert_eq!(duration(text).map(|d| d.as_secs()), Ok(seconds), "{text}");
        }
        for text in ["", "5", "x", "-5m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
