//! What `state` and `list` print.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use reeve_runtime::{Container, Error, Status};
use serde_json::{Value, json};

use crate::args::ListFormat;

/// runc's fields of a container.
pub(crate) fn state(container: &Container) -> Result<Value, Error> {
    let status = container.status()?;
    let state = container.state()?;
    Ok(json!({
        "ociVersion": state.version(),
        "id": container.id(),
        "pid": if status == Status::Stopped { 0 } else { container.pid() },
        "status": status.to_string(),
        "bundle": container.bundle(),
        "rootfs": container.rootfs(),
        "created": container.created(),
        "annotations": state.annotations().clone().unwrap_or_default(),
        "owner": user_name(container.owner()),
    }))
}

/// Prints `value` as runc does: indented by two.
pub(crate) fn print(value: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value:#}")
}

pub(crate) fn list(containers: &[Container], format: ListFormat, quiet: bool) -> Result<(), Error> {
    let written = |result: io::Result<()>| {
        result.map_err(|source| Error::Setup { step: String::from("write to stdout"), source })
    };
    let mut out = io::stdout().lock();
    if quiet {
        return containers.iter().try_for_each(|container| written(writeln!(out, "{}", container.id())));
    }
    let states = containers.iter().map(state).collect::<Result<Vec<_>, _>>()?;
    if format == ListFormat::Json {
        let all = if states.is_empty() { Value::Null } else { Value::Array(states) };
        return written(writeln!(out, "{all}"));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let columns = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut rows = vec![columns.map(str::to_uppercase)];
    rows.extend(states.iter().map(|state| columns.map(|column| text(&state[column]))));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(12) + 3;
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        written(writeln!(out, "{}", cells.trim_end()))?;
    }
    Ok(())
}

/// The name of `uid` on this host, or the number.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let of_uid = |line: &&str| line.split(':').nth(2) == Some(&number);
    passwd.lines().find(of_uid).and_then(|line| line.split(':').next()).unwrap_or(&number).to_owned()
}

/// Now, RFC 3339 in UTC.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    reeve_runtime::rfc3339(since.as_secs(), since.subsec_nanos())
}
