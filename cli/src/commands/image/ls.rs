//! `reeve image ls`.

use clap::Args;
use reeve_agent::api::images::ImageRow;
use serde_json::Value;

use crate::client::Agent;
use crate::commands::get::{Format, object};
use crate::out;
use crate::view::table;

/// Show the images of this node
#[derive(Args, Debug)]
#[command(visible_alias = "list")]
pub(super) struct LsArgs {
    /// How to show them
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

pub(super) async fn run(agent: &Agent, args: &LsArgs) -> anyhow::Result<()> {
    let answer: Value = agent.get("/images").await?;
    if let Some(format @ (Format::Yaml | Format::Json)) = args.output {
        return object(&answer, format, false);
    }
    let images: Vec<ImageRow> = serde_json::from_value(answer["items"].clone())?;
    let wide = args.output == Some(Format::Wide);
    let mut rows: Vec<_> = images.iter().flat_map(|image| rows(image, wide)).collect();
    rows.sort();
    if args.output == Some(Format::Name) {
        return Ok(rows.iter().try_for_each(|row| out::line(&format!("{}:{}", row[0], row[1])))?);
    }
    Ok(out::lines(&table::render(&["IMAGE", "TAG", "IMAGE ID", "SIZE"], &rows))?)
}

/// A row for each name of an image; one without a name has one too. `wide` gives ids whole.
fn rows(image: &ImageRow, wide: bool) -> Vec<Vec<String>> {
    let hex = image.id.split_once(':').map_or(&image.id[..], |(_, hex)| hex);
    let id: String = if wide { image.id.clone() } else { hex.chars().take(12).collect() };
    let row = |name: &str, tag: &str| vec![name.to_owned(), tag.to_owned(), id.clone(), size(image.size)];
    let none = "<none>";
    if !image.repo_tags.is_empty() {
        let split = |name: &String| name.rsplit_once(':').map(|(name, tag)| row(name, tag));
        return image.repo_tags.iter().map(|name| split(name).unwrap_or_else(|| row(name, none))).collect();
    }
    let digest = image.repo_digests.first().and_then(|name| name.split_once('@'));
    vec![row(digest.map_or(none, |(name, _)| name), none)]
}

/// Bytes as people say them, in powers of 1000 as Docker does.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let table = [(0, "0B"), (999, "999B"), (1000, "1.0kB"), (12_345_678, "12.3MB"), (999_999, "1.0MB")];
        for (bytes, text) in table.into_iter().chain([(123_456_789, "123MB"), (5_000_000_000, "5.0GB")]) {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_row_for_each_name() {
        let mut image = ImageRow {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: vec!["localhost:5000/web:1".into(), "registry.test/web:latest".into()],
            repo_digests: vec!["registry.test/web@sha256:ff".into()],
            size: 1000,
            pinned: false,
        };
        let named = rows(&image, false);
        assert_eq!(named[0], ["localhost:5000/web", "1", "0123456789ab", "1.0kB"]);
        assert_eq!(named[1][..2], ["registry.test/web", "latest"]);
        image.repo_tags.clear();
        assert_eq!(rows(&image, false)[0][..2], ["registry.test/web", "<none>"]);
        image.repo_digests.clear();
        assert_eq!(rows(&image, false)[0][..2], ["<none>", "<none>"]);
    }
}
