//! `reeve image pull`.

use std::io::IsTerminal;

use anyhow::bail;
use clap::Args;
use http::Method;
use reeve_agent::images::PullProgress;
use serde::Deserialize;

use super::ls::size;
use crate::client::{Agent, Query};
use crate::out;
use crate::terminal::screen;

/// Columns of the bar.
const BAR: u64 = 30;

/// Pull images from their registries
#[derive(Args, Debug)]
pub(super) struct PullArgs {
    /// Name of the image, as in a manifest
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// A line of the answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Told {
    Progress(PullProgress),
    Pulling(u64),
    Id(String),
    Error(String),
}

pub(super) async fn run(agent: &Agent, args: &PullArgs) -> anyhow::Result<()> {
    let shows = !args.quiet && std::io::stdout().is_terminal();
    for image in &args.images {
        let path = Query::default().add("ref", image).on("/images/pull");
        let mut lines = agent.send(Method::POST, &path).await?.lines();
        loop {
            let line = match lines.next::<Told>().await? {
                Some(Told::Progress(progress)) => bar(progress),
                Some(Told::Pulling(seconds)) => format!("pulling, {seconds} s"),
                Some(Told::Id(id)) => {
                    screen::show(Vec::new())?;
                    out::line(&format!("{image} {id}"))?;
                    break;
                }
                Some(Told::Error(error)) => {
                    screen::show(Vec::new())?;
                    bail!("cannot pull {image}: {error}");
                }
                None => bail!("the agent was stopped while it pulled {image}"),
            };
            if shows {
                screen::show(vec![format!("{image}  {line}")])?;
            }
        }
    }
    Ok(())
}

/// `[=====>     ] 12.3MB of 45.6MB, 2 of 5 layers`.
fn bar(progress: PullProgress) -> String {
    if progress.size == 0 {
        return "asking the registry".into();
    }
    let done = (BAR * progress.downloaded.min(progress.size) / progress.size) as usize;
    let head = if done < BAR as usize { ">" } else { "" };
    let filled = format!("{}{head}", "=".repeat(done));
    format!(
        "[{filled:<width$}] {} of {}, {} of {} layers",
        size(progress.downloaded),
        size(progress.size),
        progress.ready,
        progress.layers,
        width = BAR as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        let at = |downloaded| bar(PullProgress { layers: 4, ready: 1, size: 1_000_000, downloaded });
        assert_eq!(at(0), "[>                             ] 0B of 1.0MB, 1 of 4 layers");
        assert_eq!(at(500_000), "[===============>              ] 500kB of 1.0MB, 1 of 4 layers");
        assert_eq!(at(1_000_000), "[==============================] 1.0MB of 1.0MB, 1 of 4 layers");
        assert_eq!(bar(PullProgress::default()), "asking the registry");
    }

    #[test]
    fn lines_of_the_answer() {
        let told = |line: &str| serde_json::from_str::<Told>(line).expect("a line");
        assert!(matches!(told(r#"{"id": "sha256:ab"}"#), Told::Id(id) if id == "sha256:ab"));
        assert!(matches!(told(r#"{"error": "no"}"#), Told::Error(error) if error == "no"));
        assert!(matches!(told(r#"{"pulling": 3}"#), Told::Pulling(3)));
        let progress = r#"{"progress": {"layers": 1, "ready": 0, "size": 9, "downloaded": 1}}"#;
        assert!(matches!(told(progress), Told::Progress(p) if p.size == 9));
    }
}
