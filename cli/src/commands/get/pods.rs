//! `reeve get pods`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::output::{self, Format};
use crate::client::{Agent, Lines};
use crate::commands::find;
use crate::out;
use crate::settings::{ClientFlags, NamespaceFlag};
use crate::view::{pod_row, pod_row::PodRow, table};

const EXAMPLES: &str = "\
Examples:
  reeve get pods                  pods of the namespace default
  reeve get pods -A -o wide       all pods, with addresses and ports on this node
  reeve get pods -w               and then every change
  reeve get pods web -o yaml      one pod as the Kubernetes API would show it";

/// Show pods and how they are
#[derive(Args, Debug)]
#[command(visible_alias = "pod", alias = "po", after_help = EXAMPLES)]
pub(super) struct PodsArgs {
    /// Only these pods
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    namespace: NamespaceFlag,

    /// Pods of all namespaces
    #[arg(short = 'A', long, conflicts_with = "names")]
    all_namespaces: bool,

    /// How to show them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,

    /// Go on with every change until interrupted
    #[arg(short, long)]
    watch: bool,

    /// Leave the line with the heads of the columns out
    #[arg(long)]
    no_headers: bool,

    #[command(flatten)]
    client: ClientFlags,
}

pub(super) async fn run(args: PodsArgs) -> anyhow::Result<()> {
    let agent = args.client.agent();
    if args.watch {
        return watch(&agent, &args).await;
    }
    let pods = select(&agent, &args).await?;
    match args.output {
        Some(format @ (Format::Yaml | Format::Json)) => match &pods[..] {
            [pod] if !args.names.is_empty() => output::object(pod, format, false),
            pods => output::object(&output::list(pods), format, false),
        },
        Some(Format::Name) => Ok(pods.iter().try_for_each(|pod| out::line(&name(pod)))?),
        None | Some(Format::Wide) if pods.is_empty() => none(&agent, &args).await,
        None | Some(Format::Wide) => {
            let columns = Columns::new(&args);
            let now = Timestamp::now();
            let rows: Vec<_> = pods.iter().map(|pod| columns.cells(PodRow::of(pod, now))).collect();
            Ok(out::lines(&table::render(&columns.head, &rows))?)
        }
    }
}

async fn select(agent: &Agent, args: &PodsArgs) -> anyhow::Result<Vec<Pod>> {
    let namespace = Some(args.namespace.namespace.as_str()).filter(|_| !args.all_namespaces);
    if args.names.is_empty() {
        return find::pods(agent, namespace).await;
    }
    let mut pods = Vec::new();
    for name in &args.names {
        pods.push(find::pod(agent, &args.namespace.namespace, name).await?);
    }
    Ok(pods)
}

/// Says that there are none, and where there are some.
async fn none(agent: &Agent, args: &PodsArgs) -> anyhow::Result<()> {
    if args.all_namespaces {
        out::note("No pods on this node. `reeve get sources` shows what is read, and what is wrong in it.");
        return Ok(());
    }
    out::note(&format!("No pods in namespace {}.", args.namespace.namespace));
    match find::pods(agent, None).await?.len() {
        0 => {}
        others => out::note(&format!("{others} in other namespaces: -A shows them.")),
    }
    Ok(())
}

fn name(pod: &Pod) -> String {
    format!("pod/{}", pod.metadata.name.as_deref().unwrap_or_default())
}

/// Which columns are wanted.
struct Columns {
    head: Vec<&'static str>,
    namespace: bool,
    wide: bool,
}

impl Columns {
    fn new(args: &PodsArgs) -> Columns {
        let (namespace, wide) = (args.all_namespaces, args.output == Some(Format::Wide));
        let mut head = Vec::new();
        if !args.no_headers {
            head.extend(namespace.then_some("NAMESPACE"));
            head.extend(pod_row::HEAD);
            head.extend(["IP", "NODE", "NODE-PORT"].iter().filter(|_| wide));
        }
        Columns { head, namespace, wide }
    }

    fn cells(&self, row: PodRow) -> Vec<String> {
        let mut cells = Vec::new();
        cells.extend(self.namespace.then_some(row.namespace));
        cells.extend([row.name, row.ready, row.status, row.restarts, row.age]);
        if self.wide {
            cells.extend([row.ip, row.node, row.node_port]);
        }
        cells
    }
}

/// A line of a watch.
#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Shows what is there and then a line for every change, as kubectl does.
async fn watch(agent: &Agent, args: &PodsArgs) -> anyhow::Result<()> {
    let namespace = Some(args.namespace.namespace.as_str()).filter(|_| !args.all_namespaces);
    let path = format!("{}?watch=1", find::pods_path(namespace));
    let mut lines = agent.send(Method::GET, &path).await?.lines();
    let mut shown = Shown { columns: Columns::new(args), widths: Vec::new(), format: args.output };
    let mut first = BTreeMap::new();
    while let Some(change) = lines.next::<Change>().await? {
        if change.kind == "BOOKMARK" {
            break;
        }
        let pod: Pod = serde_json::from_value(change.object)?;
        first.insert((pod.metadata.namespace.clone(), pod.metadata.name.clone()), pod);
    }
    let wanted = |pod: &Pod| {
        let one = std::slice::from_ref(pod);
        args.names.is_empty()
            || args.names.iter().any(|name| find::choose(one, &args.namespace.namespace, name).is_some())
    };
    shown.first(&first.into_values().filter(|pod| wanted(pod)).collect::<Vec<_>>())?;
    follow(&mut lines, &mut shown, wanted).await
}

async fn follow(lines: &mut Lines, shown: &mut Shown, wanted: impl Fn(&Pod) -> bool) -> anyhow::Result<()> {
    while let Some(change) = lines.next::<Change>().await? {
        if change.kind != "BOOKMARK" {
            let pod: Pod = serde_json::from_value(change.object)?;
            if wanted(&pod) {
                shown.next(&pod)?;
            }
        }
    }
    bail!("the agent ended the watch: it was stopped")
}

/// The output of a watch, whose columns stay as wide as they began.
struct Shown {
    columns: Columns,
    widths: Vec<usize>,
    format: Option<Format>,
}

impl Shown {
    fn first(&mut self, pods: &[Pod]) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let rows: Vec<_> = pods.iter().map(|pod| self.columns.cells(PodRow::of(pod, now))).collect();
        // Room for the words that are still to come, so that columns stand still.
        let mut room = rows.clone();
        room.push(self.columns.cells(PodRow {
            status: "CrashLoopBackOff".into(),
            restarts: "10 (3m12s ago)".into(),
            age: "9m59s".into(),
            ..rows_blank()
        }));
        self.widths = table::widths(&self.columns.head, &room);
        match self.format {
            None | Some(Format::Wide) => {
                if !self.columns.head.is_empty() {
                    out::line(&table::line(&self.widths, self.columns.head.iter().copied()))?;
                }
                for row in &rows {
                    out::line(&table::line(&self.widths, row.iter().map(String::as_str)))?;
                }
                Ok(())
            }
            _ => pods.iter().try_for_each(|pod| self.next(pod)),
        }
    }

    fn next(&self, pod: &Pod) -> anyhow::Result<()> {
        match self.format {
            Some(format @ (Format::Yaml | Format::Json)) => output::object(pod, format, true),
            Some(Format::Name) => Ok(out::line(&name(pod))?),
            None | Some(Format::Wide) => {
                let cells = self.columns.cells(PodRow::of(pod, Timestamp::now()));
                Ok(out::line(&table::line(&self.widths, cells.iter().map(String::as_str)))?)
            }
        }
    }
}

fn rows_blank() -> PodRow {
    PodRow::of(&Pod::default(), Timestamp::UNIX_EPOCH)
}
