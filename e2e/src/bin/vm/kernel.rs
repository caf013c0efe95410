//! Where the guest's kernel comes from: `$REEVE_VM_KERNEL`, the cache, or the build.
//!
//! The cache is `${REEVE_CACHE:-~/.cache/reeve}/vm/<digest of configuration and script>/linux`, so an edit of either
//! leads to another kernel and clones share theirs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vm/linux.config");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vm/build-kernel");

/// The kernel to boot; built if there is none.
pub(crate) fn find() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("REEVE_VM_KERNEL").map(PathBuf::from) {
        ensure!(given.exists(), "REEVE_VM_KERNEL is {}, which does not exist", given.display());
        return if given.extension().is_some_and(|end| end == "zst") { unpack(&given) } else { Ok(given) };
    }
    let mut digest = Sha256::new();
    for file in [CONFIG, SCRIPT] {
        digest.update(fs::read(file).context(file)?);
    }
    let kernel = slot(digest)?.join("linux");
    if !kernel.exists() {
        eprintln!("reeve-vm: building the guest's kernel (once, some ten minutes): {}", kernel.display());
        let status = Command::new(SCRIPT).arg(&kernel).status().context(SCRIPT)?;
        ensure!(status.success(), "{SCRIPT} failed: {status}");
    }
    Ok(kernel)
}

/// Unpacks a kernel into the cache, under the digest of what is packed.
fn unpack(packed: &Path) -> Result<PathBuf> {
    let bytes = fs::read(packed).with_context(|| packed.display().to_string())?;
    let mut digest = Sha256::new();
    digest.update(&bytes);
    let directory = slot(digest)?;
    let kernel = directory.join("linux");
    if !kernel.exists() {
        let whole = zstd::decode_all(&bytes[..]).with_context(|| packed.display().to_string())?;
        let new = directory.join("linux.new");
        fs::write(&new, whole).with_context(|| new.display().to_string())?;
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::rename(&new, &kernel).with_context(|| kernel.display().to_string())?;
    }
    Ok(kernel)
}

/// The directory of the cache for a digest. Held under a lock until this process ends or boots, so that two tests at
/// once do not both build.
fn slot(digest: Sha256) -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/reeve"));
    let cache = std::env::var_os("REEVE_CACHE").map(PathBuf::from).or_else(home);
    let cache = cache.context("neither REEVE_CACHE nor HOME is set")?.join("vm");
    let name: String = digest.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let directory = cache.join(name);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
    // The lock goes with the descriptor, at the end of the process or at the guest's start.
    std::mem::forget(lock.with_context(|| path.display().to_string())?);
    Ok(directory)
}
