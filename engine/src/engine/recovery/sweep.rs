//! What belongs to no record: processes, mounts, directories, cgroups, networks. Only below directories and names
//! that are this engine's own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::engine::inner::{Inner, blocking, is_id, remove_dir};
use crate::engine::sandbox::unmount_shm;
use crate::error::{IoContext, Result, chain};
use crate::process::{Pidfd, ProcessId};

impl Inner {
    /// Kills the shims of this engine that no record names, and waits for their ends.
    pub(super) async fn end_unknown_shims(&self) -> Result<()> {
        let dir = self.config.shims_dir();
        for (id, process) in blocking(move || shims_below(&dir)).await? {
            // A shim is started once, and on record from then on; what else looks like it was forked by it.
            if self.sandboxes.get(&id).is_some_and(|entry| entry.record.get().shim.is_some()) {
                continue;
            }
            tracing::info!(sandbox = id, pid = process.pid, "ending a shim that no record names");
            if let Some(pidfd) = process.open().at("look for the shim in", self.config.shim_dir(&id))? {
                end(&pidfd).await.at("end the shim in", self.config.shim_dir(&id))?;
            }
        }
        Ok(())
    }

    /// Removes what no record names. What fails is left for the next time.
    pub(super) async fn sweep(&self) {
        let sandboxes: HashSet<_> =
            self.sandboxes.all_with(|_| true).iter().map(|entry| entry.id.clone()).collect();
        let containers: HashSet<_> =
            self.containers.all_with(|_| true).iter().map(|entry| entry.id.clone()).collect();
        match self.network.sweep(&sandboxes).await {
            Ok(swept) if swept.is_empty() => {}
            Ok(swept) => tracing::info!(?swept, "removed leftover networks"),
            Err(error) => tracing::warn!("cannot remove leftover networks: {}", chain(&error)),
        }
        let (config, hierarchies) = (self.config.clone(), self.hierarchies.clone());
        let swept = blocking(move || {
            for dir in unknown(&config.sandboxes_dir(), &sandboxes)? {
                unmount_shm(&dir)?;
                remove_dir(&dir)?;
            }
            for (parent, known) in [
                (config.shims_dir(), &sandboxes),
                (config.bundles_dir(), &containers),
                (config.writable_dir(), &containers),
            ] {
                unknown(&parent, known)?.iter().try_for_each(|dir| remove_dir(dir))?;
            }
            let cgroups =
                hierarchies.sweep(&config.cgroup_parent, |name| is_id(name) && !sandboxes.contains(name));
            if !cgroups.is_empty() {
                tracing::info!(?cgroups, "removed leftover cgroups");
            }
            Ok(())
        });
        if let Err(error) = swept.await {
            tracing::warn!("cannot remove leftovers: {}", chain(&error));
        }
    }
}

async fn end(pidfd: &Pidfd) -> std::io::Result<()> {
    pidfd.kill()?;
    pidfd.ended().await
}

/// Subdirectories named like ids of ours that are not in `known`.
fn unknown(parent: &Path, known: &HashSet<String>) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read", parent)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.at("read", parent)?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_id(name) && !known.contains(name)) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Processes that were started with `--id ID --dir <dir>/ID`.
fn shims_below(dir: &Path) -> Result<Vec<(String, ProcessId)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").at("read", "/proc")? {
        let entry = entry.at("read", "/proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Taken first: a process that comes after it under this number has another beginning. One that has
        // ended meanwhile is none.
        let Ok(process) = ProcessId::of(pid) else { continue };
        let Ok(command) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if let Some(id) = shim_id(&command, dir) {
            found.push((id, process));
        }
    }
    Ok(found)
}

fn shim_id(command: &[u8], dir: &Path) -> Option<String> {
    let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let value = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].to_string());
    let id = value("--id")?;
    (is_id(&id) && dir.join(&id) == Path::new(&value("--dir")?)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shims_of_this_directory_are_ours() {
        let (id, dir) = ("a".repeat(64), Path::new("/run/reeve/shims"));
        let line = |dir: &str| format!("/usr/bin/reeve-shim\0--id\0{id}\0--dir\0{dir}/{id}\0--share-pid\0");
        assert_eq!(shim_id(line("/run/reeve/shims").as_bytes(), dir), Some(id.clone()));
        assert_eq!(shim_id(line("/run/other/shims").as_bytes(), dir), None);
        assert_eq!(shim_id(b"sh\0-c\0true\0", dir), None);
        assert_eq!(shim_id(b"x\0--id\0short\0--dir\0/run/reeve/shims/short\0", dir), None);
    }

    #[test]
    fn only_directories_named_like_ids_are_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let (known, stray) = ("1".repeat(64), "2".repeat(64));
        for name in [known.as_str(), stray.as_str(), "lost+found"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = unknown(dir.path(), &HashSet::from([known])).unwrap();
        assert_eq!(found, [dir.path().join(stray)]);
        assert!(unknown(Path::new("/absent"), &HashSet::new()).unwrap().is_empty());
    }
}
