//! What was last good, kept over restarts: a manifest that is broken while the agent is down must not end the
//! pod that it declared before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The last good pods of each file, with the lines where they stood.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) files: BTreeMap<PathBuf, Vec<(usize, Pod)>>,
}

/// File of a source's ledger.
pub(super) fn file(root: &Path, source: &Path) -> PathBuf {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, absolute(source).as_os_str().as_encoded_bytes());
    root.join("agent/sources").join(format!("{id}.json"))
}

/// One spelling for a path, however it is given.
pub(super) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf())
}
