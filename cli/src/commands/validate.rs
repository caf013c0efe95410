//! `reeve validate`: manifests checked without running them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use reeve_manifests::{Diagnostic, load_file};

use crate::exit::FAILED;
use crate::out;

const EXAMPLES: &str = "\
Examples:
  reeve validate manifests/           every file in a directory, as the agent would read it
  reeve validate web.yaml db.yaml";

/// Check manifests without running them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Files, or directories of files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Say nothing but what is wrong
    #[arg(short, long)]
    quiet: bool,
}

/// Checks every file; returns the exit code.
pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<u8> {
    let mut report = Report::default();
    for path in &args.paths {
        for file in files(path)? {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            report.add(&path.to_string_lossy(), &file, &text);
        }
    }
    report.problems.iter().try_for_each(|problem| out::line(&format!("{problem}\n")))?;
    if !args.quiet || report.errors > 0 {
        out::line(&report.summary())?;
    }
    Ok(if report.errors == 0 { 0 } else { FAILED })
}

/// What was found.
#[derive(Default)]
struct Report {
    files: usize,
    pods: usize,
    errors: usize,
    problems: Vec<Diagnostic>,
    /// Pods seen, with where they are declared: two files may not declare one.
    seen: std::collections::BTreeMap<(Option<String>, Option<String>), String>,
}

impl Report {
    fn add(&mut self, source: &str, file: &Path, text: &str) {
        self.files += 1;
        match load_file(source, file, text) {
            Ok(loaded) => {
                self.problems.extend(loaded.warnings);
                self.pods += loaded.pods.len();
                for declared in loaded.pods {
                    let meta = declared.pod.metadata;
                    let here = format!("{}:{}", file.display(), declared.line);
                    let name = meta.name.clone().unwrap_or_default();
                    if let Some(first) = self.seen.insert((meta.namespace, meta.name), here) {
                        self.errors += 1;
                        self.problems.push(twice(file, declared.line, &name, &first));
                    }
                }
            }
            Err(errors) => {
                self.errors += errors.len();
                self.problems.extend(errors);
            }
        }
    }

    fn summary(&self) -> String {
        let count = |number: usize, word: &str| match number {
            1 => format!("1 {word}"),
            number => format!("{number} {word}s"),
        };
        format!(
            "{} in {}, {}",
            count(self.pods, "pod"),
            count(self.files, "file"),
            if self.errors == 0 { "no error".into() } else { count(self.errors, "error") },
        )
    }
}

fn twice(file: &Path, line: usize, name: &str, first: &str) -> Diagnostic {
    Diagnostic {
        severity: reeve_manifests::Severity::Error,
        file: file.to_owned(),
        line,
        column: 1,
        message: format!("pod {name} is declared in {first} too"),
        snippet: String::new(),
        hint: Some("give one of them another name or namespace".into()),
    }
}

/// The manifests at `path`: itself, or those in it and below it, in the order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let meta = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("cannot read {}", path.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden {
            found.extend(files(&path)?);
        } else if !hidden && is_manifest(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}
