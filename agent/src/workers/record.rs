//! What the agent keeps of a pod on disk, so that it starts offline and ends what it was ending.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde::{Deserialize, Serialize};

/// A file of the agent cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

impl Error {
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error { path: path.to_path_buf(), source }
    }
}

/// `<root>/pods/<uid>/pod.json`: written before anything of the pod is made, removed after all of it is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) source: String,
    pub(crate) pod: Pod,
    pub(crate) accepted: Timestamp,
    /// When it was told to end.
    #[serde(default)]
    pub(crate) ending: Option<Timestamp>,
    /// Containers, by id, that their probes found started and ready: a new agent goes on from there.
    #[serde(default)]
    pub(crate) started: BTreeSet<String>,
    #[serde(default)]
    pub(crate) ready: BTreeSet<String>,
    /// Its last status, once it has finished for good.
    #[serde(default)]
    pub(crate) finished: Option<PodStatus>,
}

impl Record {
    /// The record of a pod that is accepted now.
    pub(crate) fn new(source: &str, pod: Pod, accepted: Timestamp) -> Record {
        Record {
            source: source.to_owned(),
            pod,
            accepted,
            ending: None,
            started: BTreeSet::new(),
            ready: BTreeSet::new(),
            finished: None,
        }
    }

    pub(crate) fn file(pod_dir: &Path) -> PathBuf {
        pod_dir.join("pod.json")
    }

    pub(crate) fn write(&self, pod_dir: &Path) -> Result<(), Error> {
        // A power failure ends the pod and clears its sandbox with the machine's memory: nothing is lost that
        // waiting for the disk, twice for each pod, would save.
        write_json(&Record::file(pod_dir), self, Durable::AfterCrash)
    }

    /// Records of all pods below `<root>/pods`; ones that cannot be read are passed over with a warning, since
    /// their sandboxes are found by labels too.
    pub(crate) fn read_all(pods: &Path) -> Result<Vec<Record>, Error> {
        let entries = match std::fs::read_dir(pods) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::at(pods)(e)),
        };
        let mut records = Vec::new();
        for entry in entries.flatten() {
            let path = Record::file(&entry.path());
            match read_json::<Record>(&path) {
                Ok(Some(record)) => records.push(record),
                // Its making was interrupted before anything else was made.
                Ok(None) => drop(std::fs::remove_dir(entry.path())),
                Err(error) => {
                    tracing::warn!(path = %path.display(), source = %error.source, "cannot read record")
                }
            }
        }
        Ok(records)
    }
}

/// Reads a file of ours; `None` where there is none.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::at(path)(e)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| Error::at(path)(e.into()))
}

/// What a file that is written survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// The end of the agent.
    AfterCrash,
    /// A power failure too.
    AfterPowerFailure,
}

/// Replaces a file whole: a crash leaves the old one or the new one.
pub(crate) fn write_json(path: &Path, value: &impl Serialize, durable: Durable) -> Result<(), Error> {
    let text = serde_json::to_vec(value).map_err(|e| Error::at(path)(e.into()))?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(Error::at(parent))?;
    let new = path.with_extension("new");
    let written = std::fs::File::create(&new).and_then(|mut file| {
        file.write_all(&text)?;
        if durable == Durable::AfterPowerFailure { file.sync_all() } else { Ok(()) }
    });
    written.map_err(Error::at(&new))?;
    std::fs::rename(&new, path).map_err(Error::at(path))?;
    if durable == Durable::AfterCrash {
        return Ok(());
    }
    let synced = std::fs::File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(Error::at(parent))
}
