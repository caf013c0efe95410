//! `reeve get sources`: where pods come from, and what is wrong there.

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::output::{self, Format};
use crate::out;
use crate::settings::ClientFlags;
use crate::view::{age, table};

const EXAMPLES: &str = "\
Examples:
  reeve get sources             each directory and cluster, with what is wrong in it
  reeve get sources -o json     for a program";

/// Show where pods come from, and what is wrong there
#[derive(Args, Debug)]
#[command(visible_alias = "source", after_help = EXAMPLES)]
pub(super) struct SourcesArgs {
    /// How to show them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,

    #[command(flatten)]
    client: ClientFlags,
}

pub(super) async fn run(args: SourcesArgs) -> anyhow::Result<()> {
    let answer: Value = args.client.agent().get("/sources").await?;
    let sources = answer["items"].as_array().cloned().unwrap_or_default();
    match args.output {
        Some(format @ (Format::Yaml | Format::Json)) => output::object(&answer, format, false),
        Some(Format::Name) => Ok(sources
            .iter()
            .try_for_each(|source| out::line(source["name"].as_str().unwrap_or_default()))?),
        None | Some(Format::Wide) => Ok(out::lines(&page(&sources, Timestamp::now()))?),
    }
}

/// The table of sources, and under it what is wrong.
fn page(sources: &[Value], now: Timestamp) -> Vec<String> {
    let rows: Vec<_> = sources.iter().map(|source| row(source, now)).collect();
    let mut lines = table::render(&["SOURCE", "SYNCED", "PODS", "PROBLEMS", "LAST SCAN"], &rows);
    for source in sources {
        if let Some(error) = source["error"].as_str() {
            lines.push(String::new());
            lines.push(format!("{}: {error}", source["name"].as_str().unwrap_or_default()));
        }
        for diagnostic in source["diagnostics"].as_array().into_iter().flatten() {
            lines.push(String::new());
            lines.extend(problem(diagnostic));
        }
    }
    lines
}

fn row(source: &Value, now: Timestamp) -> Vec<String> {
    let problems =
        source["diagnostics"].as_array().map_or(0, Vec::len) + usize::from(source["error"].is_string());
    let scanned = source["lastScan"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    vec![
        source["name"].as_str().unwrap_or_default().to_owned(),
        if source["synced"] == true { "yes" } else { "no" }.to_owned(),
        source["pods"].as_u64().unwrap_or(0).to_string(),
        problems.to_string(),
        scanned.map_or_else(|| "never".into(), |time| format!("{} ago", age::since(Some(&time), now))),
    ]
}

/// `file:line:column: what is wrong`, the line itself, and what would be right.
fn problem(diagnostic: &Value) -> Vec<String> {
    let text = |key: &str| diagnostic[key].as_str().unwrap_or_default().to_owned();
    let (line, column) = (&diagnostic["line"], diagnostic["column"].as_u64().unwrap_or(1));
    let at = if *line == 0 { String::new() } else { format!(":{line}:{column}") };
    let mut lines = vec![format!("{}{at}: {}", text("file"), text("message"))];
    if !text("snippet").is_empty() {
        let gutter = line.to_string();
        let column = usize::try_from(column).unwrap_or(1).saturating_sub(1);
        lines.push(format!("  {gutter} | {}", text("snippet")));
        lines.push(format!("  {} | {}^", " ".repeat(gutter.len()), " ".repeat(column)));
    }
    if let Some(hint) = diagnostic["hint"].as_str() {
        lines.push(format!("  hint: {hint}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn problems_stand_under_the_table() {
        let sources = [
            json!({
                "name": "/etc/pods", "synced": true, "pods": 2, "lastScan": "2026-11-21T11:59:30Z",
                "diagnostics": [{"file": "/etc/pods/web.yaml", "line": 7, "column": 5, "message": "unknown field `imge`",
                                 "snippet": "    imge: web", "hint": "did you mean `image`?"}],
            }),
            json!({"name": "cluster", "synced": false, "pods": 0, "error": "connection refused", "lastScan": null}),
        ];
        let lines = page(&sources, crate::view::fixtures::now());
        insta::assert_snapshot!(lines.join("\n"));
    }
}
