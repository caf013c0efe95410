//! `reeve image import` and `export`. The agent reads and writes the files itself: it runs on this machine.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::Value;

use crate::client::{Agent, Query};
use crate::out;

/// Bring images into the store from archives
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// An OCI image layout (directory or tar), or what `docker save` wrote
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Write images into an archive
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,

    /// Where to write it
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    path: PathBuf,

    /// How it is laid out
    #[arg(long, value_name = "FORMAT", default_value = "oci-tar")]
    format: ExportFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// An OCI image layout in a tar
    OciTar,
    /// An OCI image layout in a directory
    OciDir,
    /// What `docker load` reads
    DockerTar,
}

impl ExportFormat {
    fn name(self) -> &'static str {
        match self {
            ExportFormat::OciTar => "oci-tar",
            ExportFormat::OciDir => "oci-dir",
            ExportFormat::DockerTar => "docker-tar",
        }
    }
}

/// The agent's working directory is not ours.
fn absolute(path: &PathBuf) -> anyhow::Result<String> {
    let path =
        std::path::absolute(path).with_context(|| format!("no absolute path of {}", path.display()))?;
    path.into_os_string().into_string().map_err(|path| anyhow::anyhow!("{path:?} is no UTF-8"))
}

pub(super) async fn import(agent: &Agent, args: &ImportArgs) -> anyhow::Result<()> {
    for path in &args.paths {
        let path = absolute(path)?;
        let answer: Value =
            agent.ask(Method::POST, &Query::default().add("path", &path).on("/images/import")).await?;
        for image in answer["images"].as_array().into_iter().flatten() {
            out::line(&format!("imported {}", image.as_str().unwrap_or_default()))?;
        }
    }
    Ok(())
}

pub(super) async fn export(agent: &Agent, args: &ExportArgs) -> anyhow::Result<()> {
    let query = Query::default().add("path", &absolute(&args.path)?).add("format", args.format.name());
    let query = args.images.iter().fold(query, |query, image| query.add("ref", image));
    agent.ask::<Value>(Method::POST, &query.on("/images/export")).await?;
    out::line(&format!("wrote {}", args.path.display()))?;
    Ok(())
}
