//! Which files are manifests.

use std::ffi::OsStr;
use std::path::Path;

/// Whether a name is that of a manifest, and not what an editor or a copying program leaves beside it.
pub(super) fn is_manifest(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    // `.web.yaml.swp`, `.#web.yaml`, `#web.yaml#`, `web.yaml~`, `web.yaml.tmp`, `4913`
    if is_hidden(path) || name.starts_with('#') || name.ends_with('~') {
        return false;
    }
    matches!(path.extension().and_then(OsStr::to_str), Some("yaml" | "yml" | "json"))
}

/// Hidden files, and the `..data` and `..2006_01_02` directories of a mounted ConfigMap, whose files are reached
/// through the links beside them.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
