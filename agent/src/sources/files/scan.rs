//! Reading all manifests below a directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use reeve_manifests::{Diagnostic, LoadedPod, Severity, load_file};

use super::ledger::{Ledger, absolute};
use super::names::{is_hidden, is_manifest};
use crate::workers::record::{Durable, Error, read_json, write_json};

/// Deeper directories are a loop or a mistake.
const DEEPEST: usize = 32;
/// The loader refuses larger files; no more is read than tells it so.
const MOST_READ: u64 = 16 << 20;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Clone, Debug, Default)]
struct File {
    version: Option<Version>,
    /// The pods of its last good version.
    good: Vec<LoadedPod>,
    diagnostics: Vec<Diagnostic>,
}

/// All that a scan has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pods: Vec<(PathBuf, LoadedPod)>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Diagnostics that the scan before did not have.
    pub(super) new: Vec<Diagnostic>,
}

/// Reads manifests, and remembers what it has read.
#[derive(Default)]
pub(super) struct Scanner {
    /// Name of the source in the pods' UIDs.
    source: String,
    ledger_file: PathBuf,
    ledger: Ledger,
    files: BTreeMap<PathBuf, File>,
    /// Which file declares a pod, by namespace and name.
    owners: HashMap<(String, String), PathBuf>,
    found: Found,
}

/// Told of each directory before it is read.
type Enter<'a> = &'a mut dyn FnMut(&Path) -> io::Result<()>;

impl Scanner {
    pub(super) fn new(path: &Path, ledger_file: PathBuf) -> Scanner {
        let ledger = read_json(&ledger_file).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read what was last good; manifests are read anew");
            None
        });
        Scanner {
            source: absolute(path).to_string_lossy().into_owned(),
            ledger_file,
            ledger: ledger.unwrap_or_default(),
            ..Scanner::default()
        }
    }

    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// Reads everything below `path`. On an error nothing is known to be gone, and nothing changes.
    pub(super) fn scan(
        &mut self,
        path: &Path,
        half_written: &BTreeSet<PathBuf>,
        enter: Enter<'_>,
    ) -> Result<(), Error> {
        let mut paths = BTreeSet::new();
        let is_dir = std::fs::metadata(path).map_err(Error::at(path))?.is_dir();
        if is_dir {
            walk(path, 0, &mut BTreeSet::new(), &mut paths, enter)?;
        } else {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            enter(parent).map_err(Error::at(parent))?;
            paths.insert(path.to_path_buf());
        }
        let mut files = BTreeMap::new();
        for path in paths {
            let before = self.files.remove(&path).unwrap_or_else(|| self.remembered(&path));
            if let Some(file) = self.read(&path, before, half_written.contains(&path)) {
                files.insert(path, file);
            }
        }
        self.files = files;
        self.collect();
        self.keep();
        Ok(())
    }

    /// What the ledger knows of a file that has not been read yet.
    fn remembered(&self, path: &Path) -> File {
        let pods = self.ledger.files.get(path).into_iter().flatten();
        let good = pods.map(|(line, pod)| LoadedPod { pod: pod.clone(), line: *line }).collect();
        File { good, ..File::default() }
    }

    /// Reads a file if it changed; `None` if it is gone.
    fn read(&self, path: &Path, before: File, half_written: bool) -> Option<File> {
        if half_written {
            return Some(before);
        }
        let (version, text) = match read_text(path, before.version) {
            Ok(Some(read)) => read,
            Ok(None) => return Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let diagnostics = vec![unreadable(path, &error)];
                return Some(File { version: None, good: before.good, diagnostics });
            }
        };
        let version = Some(version);
        Some(match load_file(&self.source, path, &text) {
            Ok(loaded) => File { version, good: loaded.pods, diagnostics: loaded.warnings },
            Err(diagnostics) => File { version, good: before.good, diagnostics },
        })
    }

    /// Gathers all files' pods; a pod that two files declare stays with the file that had it first.
    fn collect(&mut self) {
        let mut found = Found::default();
        let mut owners: HashMap<(String, String), PathBuf> = HashMap::new();
        for first in [true, false] {
            for (path, file) in &self.files {
                for pod in &file.good {
                    let metadata = &pod.pod.metadata;
                    let name = (
                        metadata.namespace.clone().unwrap_or_default(),
                        metadata.name.clone().unwrap_or_default(),
                    );
                    let held = self.owners.get(&name) == Some(path);
                    if held != first {
                        continue;
                    }
                    match owners.get(&name) {
                        Some(owner) => found.diagnostics.push(declared_twice(path, pod, owner)),
                        None => {
                            found.pods.push((path.clone(), pod.clone()));
                            owners.insert(name, path.clone());
                        }
                    }
                }
            }
        }
        found.diagnostics.extend(self.files.values().flat_map(|f| f.diagnostics.iter().cloned()));
        let known = &self.found.diagnostics;
        found.new = found.diagnostics.iter().filter(|d| !known.contains(d)).cloned().collect();
        self.owners = owners;
        self.found = found;
    }

    /// Writes what is good now for the next start.
    fn keep(&mut self) {
        let pods = |file: &File| file.good.iter().map(|p| (p.line, p.pod.clone())).collect::<Vec<_>>();
        let good = self.files.iter().filter(|(_, file)| !file.good.is_empty());
        let ledger = Ledger { files: good.map(|(path, file)| (path.clone(), pods(file))).collect() };
        if ledger == self.ledger {
            return;
        }
        match write_json(&self.ledger_file, &ledger, Durable::AfterPowerFailure) {
            Ok(()) => self.ledger = ledger,
            Err(error) => tracing::error!(%error, source = %error.source, "cannot keep what is good"),
        }
    }
}

/// Finds the manifests below a directory, following links but no loops.
fn walk(
    directory: &Path,
    depth: usize,
    entered: &mut BTreeSet<PathBuf>,
    paths: &mut BTreeSet<PathBuf>,
    enter: Enter<'_>,
) -> Result<(), Error> {
    let real = directory.canonicalize().map_err(Error::at(directory))?;
    if depth > DEEPEST || !entered.insert(real) {
        return Ok(());
    }
    enter(directory).map_err(Error::at(directory))?;
    for entry in std::fs::read_dir(directory).map_err(Error::at(directory))? {
        let path = entry.map_err(Error::at(directory))?.path();
        if is_hidden(&path) {
            continue;
        }
        // A dangling link, or a file that went away just now.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            match walk(&path, depth + 1, entered, paths, enter) {
                // It went away after it was listed, which is a change like any other.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        } else if metadata.is_file() && is_manifest(&path) {
            let link = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
            if link && let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
                // What the link points to may change where it lies.
                enter(parent).map_err(Error::at(parent))?;
            }
            paths.insert(path);
        }
    }
    Ok(())
}

/// Reads a file that is not of version `known`.
fn read_text(path: &Path, known: Option<Version>) -> io::Result<Option<(Version, String)>> {
    let mut file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let version = Version {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    if known == Some(version) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MOST_READ).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8 text"))?;
    Ok(Some((version, text)))
}

fn whole_file(path: &Path, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.to_path_buf(),
        line: 0,
        column: 0,
        message,
        snippet: String::new(),
        hint: None,
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    whole_file(path, format!("cannot read the file: {error}"))
}

fn declared_twice(path: &Path, pod: &LoadedPod, owner: &Path) -> Diagnostic {
    let metadata = &pod.pod.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let mut diagnostic =
        whole_file(path, format!("pod {namespace}/{name} is declared already in {}", owner.display()));
    diagnostic.line = pod.line;
    diagnostic.column = 1;
    diagnostic.hint = Some("give it another name, or remove one of the two".into());
    diagnostic
}
