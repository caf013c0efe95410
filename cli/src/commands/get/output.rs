//! Objects for programs: JSON, YAML, or just their names.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use crate::out;

/// How a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table with more columns
    Wide,
    /// The objects in YAML
    Yaml,
    /// The objects in JSON
    Json,
    /// Names only, one a line
    Name,
}

/// Writes one object as YAML (after a `---`, where several follow) or JSON.
pub(crate) fn object(object: &impl Serialize, format: Format, several: bool) -> anyhow::Result<()> {
    match format {
        Format::Json => out::line(&serde_json::to_string_pretty(object)?)?,
        _ => {
            if several {
                out::line("---")?;
            }
            out::bytes(serde_saphyr::to_string(object)?.as_bytes())?;
        }
    }
    Ok(())
}

/// `items` as the v1 List that kubectl prints.
pub(crate) fn list(items: &[impl Serialize]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
}
