//! Where the guest's kernel comes from: `$REEVE_VM_KERNEL`, the cache, or the build.
//!
//! The cache is `${REEVE_CACHE:-~/.cache/reeve}/vm/<digest of configuration and script>/linux`, so an edit of either
//! leads to another kernel and clones share theirs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
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
        return if given.extension().is_some_and(|end| end == "zst") { unpacked(&given) } else { Ok(given) };
    }
    let mut digest = Sha256::new();
    for file in [CONFIG, SCRIPT] {
        digest.update(fs::read(file).context(file)?);
    }
    cached(digest, |kernel| {
        eprintln!("reeve-vm: building the guest's kernel (once, some ten minutes): {}", kernel.display());
        // Our output is the command's.
        let status = Command::new(SCRIPT).arg(kernel).stdout(io::stderr()).status().context(SCRIPT)?;
        ensure!(status.success(), "{SCRIPT} failed: {status}");
        Ok(())
    })
}

/// A packed kernel's contents, kept in the cache under the digest of what is packed.
fn unpacked(packed: &Path) -> Result<PathBuf> {
    let bytes = fs::read(packed).with_context(|| packed.display().to_string())?;
    let mut digest = Sha256::new();
    digest.update(&bytes);
    cached(digest, |kernel| {
        let whole = zstd::decode_all(&bytes[..]).with_context(|| packed.display().to_string())?;
        let new = kernel.with_extension("new");
        fs::write(&new, whole).with_context(|| new.display().to_string())?;
        fs::set_permissions(&new, PermissionsExt::from_mode(0o755))
            .with_context(|| new.display().to_string())?;
        fs::rename(&new, kernel).with_context(|| kernel.display().to_string())
    })
}

/// The kernel of this digest, made if it is missing: under a lock, so that two runners do not both make it.
fn cached(digest: Sha256, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/reeve"));
    let cache = std::env::var_os("REEVE_CACHE").map(PathBuf::from).or_else(home);
    let cache = cache.context("neither REEVE_CACHE nor HOME is set")?.join("vm");
    let name: String = digest.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let kernel = cache.join(name).join("linux");
    if kernel.exists() {
        return Ok(kernel);
    }
    let directory = kernel.parent().unwrap_or(&cache);
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| path.display().to_string())?;
    if !kernel.exists() {
        make(&kernel)?;
    }
    Ok(kernel)
}
