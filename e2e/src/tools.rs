//! Where the programs under test and their peers are.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The folder with `reeve`, `reeve-runtime`, `reeve-shim` and `quickstart.tar` (`make build`).
///
/// # Panics
/// When it has not been built.
pub fn dist() -> PathBuf {
    let dist = std::env::var_os("REEVE_DIST").map_or_else(|| cache().join("target/dist"), PathBuf::from);
    assert!(dist.join("reeve").exists(), "{} holds no reeve: run `make build` first", dist.display());
    dist
}

/// What outlives a clone.
pub fn cache() -> PathBuf {
    std::env::var_os("REEVE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/reeve"),
        PathBuf::from,
    )
}

/// A Go program of `e2e/tools`, built on first use.
///
/// # Panics
/// When the build fails.
pub fn go_tool(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("REEVE_TOOLS") {
            return PathBuf::from(folder);
        }
        let script = repository().join("e2e/tools/build");
        let output = Command::new(&script).output().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
        assert!(
            output.status.success(),
            "{} failed:\n{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    });
    folder.join(name)
}

/// The repository's top folder.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
