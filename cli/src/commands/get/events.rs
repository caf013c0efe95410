//! `reeve get events`.

use anyhow::bail;
use clap::Args;
use http::Method;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::output::{self, Format};
use crate::client::{Agent, Query, segment};
use crate::out;
use crate::settings::{ClientFlags, NamespaceFlag};
use crate::view::{event_row, table};

const EXAMPLES: &str = "\
Examples:
  reeve get events              what happened to the pods of the namespace default, oldest first
  reeve get events -A -w        of all namespaces, and what happens from now on
  reeve get events --for web    of one pod";

/// Show what happened
#[derive(Args, Debug)]
#[command(visible_alias = "event", alias = "ev", after_help = EXAMPLES)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    namespace: NamespaceFlag,

    /// Events of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Only of this pod
    #[arg(long = "for", value_name = "POD")]
    pod: Option<String>,

    /// How to show them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,

    /// Go on with what happens until interrupted
    #[arg(short, long)]
    watch: bool,

    /// Leave the line with the heads of the columns out
    #[arg(long)]
    no_headers: bool,

    #[command(flatten)]
    client: ClientFlags,
}

impl EventsArgs {
    fn path(&self) -> String {
        if self.all_namespaces {
            return "/api/v1/events".into();
        }
        format!("/api/v1/namespaces/{}/events", segment(&self.namespace.namespace))
    }

    fn wants(&self, event: &Event) -> bool {
        let Some(pod) = self.pod.as_deref() else { return true };
        let pod = pod.strip_prefix("pod/").unwrap_or(pod);
        event.involved_object.name.as_deref().is_some_and(|name| {
            name == pod || name.strip_prefix(pod).is_some_and(|rest| rest.starts_with('-'))
        })
    }
}

pub(super) async fn run(args: EventsArgs) -> anyhow::Result<()> {
    let agent = args.client.agent();
    if args.watch {
        return watch(&agent, &args).await;
    }
    let mut events = agent.get::<List<Event>>(&args.path()).await?.items;
    events.retain(|event| args.wants(event));
    events.sort_by_key(event_row::last_seen);
    match args.output {
        Some(format @ (Format::Yaml | Format::Json)) => output::object(&output::list(&events), format, false),
        Some(Format::Name) => Ok(events.iter().try_for_each(|event| out::line(&name(event)))?),
        None | Some(Format::Wide) if events.is_empty() => {
            out::note("No events.");
            Ok(())
        }
        None | Some(Format::Wide) => {
            let now = Timestamp::now();
            let rows: Vec<_> = events.iter().map(|event| event_row::row(event, now)).collect();
            Ok(out::lines(&table::render(head(&args), &rows))?)
        }
    }
}

fn head(args: &EventsArgs) -> &'static [&'static str] {
    if args.no_headers { &[] } else { &event_row::HEAD }
}

fn name(event: &Event) -> String {
    format!("event/{}", event.metadata.name.as_deref().unwrap_or_default())
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Widths that most events fit in: columns cannot be moved once they are written.
const WIDTHS: [usize; 5] = [9, 7, 16, 24, 0];

async fn watch(agent: &Agent, args: &EventsArgs) -> anyhow::Result<()> {
    let path = Query::default().flag("watch", true).on(&args.path());
    let mut lines = agent.send(Method::GET, &path).await?.lines();
    if matches!(args.output, None | Some(Format::Wide)) && !args.no_headers {
        out::line(&table::line(&WIDTHS, event_row::HEAD.into_iter()))?;
    }
    while let Some(change) = lines.next::<Change>().await? {
        if change.kind == "BOOKMARK" {
            continue;
        }
        let event: Event = serde_json::from_value(change.object)?;
        if !args.wants(&event) {
            continue;
        }
        match args.output {
            Some(format @ (Format::Yaml | Format::Json)) => output::object(&event, format, true)?,
            Some(Format::Name) => out::line(&name(&event))?,
            None | Some(Format::Wide) => {
                let cells = event_row::row(&event, Timestamp::now());
                out::line(&table::line(&WIDTHS, cells.iter().map(String::as_str)))?;
            }
        }
    }
    bail!("the agent ended the watch: it was stopped")
}
