//! The repository's own rules: which crate may use which, and that documents name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reeve_e2e::tools::repository;
use serde_json::Value;

/// What each crate may depend on, of ours (docs/architecture.md).
const ALLOWED: [(&str, &[&str]); 12] = [
    ("reeve-proto", &[]),
    ("reeve-runtime", &[]),
    ("reeve-shim", &["reeve-runtime", "reeve-proto"]),
    ("reeve-image", &[]),
    ("reeve-network", &[]),
    ("reeve-engine", &["reeve-image", "reeve-network", "reeve-proto"]),
    ("reeve-cri", &["reeve-engine", "reeve-proto"]),
    ("reeve-manifests", &[]),
    ("reeve-agent", &["reeve-manifests", "reeve-proto"]),
    (
        "reeve",
        &[
            "reeve-agent",
            "reeve-cri",
            "reeve-engine",
            "reeve-image",
            "reeve-manifests",
            "reeve-network",
            "reeve-proto",
        ],
    ),
    ("reeve-quickstart", &[]),
    ("reeve-e2e", &[]),
];

/// Foreign crates that must not reach a crate of ours, directly.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("reeve-runtime", &["tokio", "tonic", "prost", "kube", "k8s-openapi"]),
    ("reeve-shim", &["tokio", "tonic", "kube", "k8s-openapi", "reqwest"]),
    ("reeve-engine", &["tonic", "kube", "k8s-openapi"]),
    ("reeve-manifests", &["tokio", "tonic", "kube"]),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(repository().join("Cargo.toml"))
        .output()
        .expect("cargo metadata");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Dependencies of each crate that end up in its binaries; those of tests are free.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().expect("dependencies").iter();
            let linked = names
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().expect("name").to_owned());
            (package["name"].as_str().expect("name").to_owned(), linked.collect())
        })
        .collect()
}

#[test]
fn crates_depend_only_downwards() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for (name, dependencies) in dependencies() {
        let allowed = allowed.get(&*name).unwrap_or_else(|| panic!("{name} has no row in ALLOWED"));
        for dependency in dependencies.iter().filter(|d| d.starts_with("reeve")) {
            assert!(allowed.contains(&&**dependency), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn what_a_crate_must_not_know_it_does_not_use() {
    let dependencies = dependencies();
    for (name, forbidden) in FORBIDDEN {
        for dependency in &dependencies[name] {
            assert!(!forbidden.contains(&&**dependency), "{name} must not use {dependency}");
        }
    }
}

/// `plan/` decides and does nothing.
#[test]
fn planning_is_pure() {
    for file in files_below(&repository().join("agent/src/plan"), "rs") {
        let text = fs::read_to_string(&file).expect("source");
        let body = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["tokio::", "kube::", "tonic::", "nix::", "SystemTime::now", "Instant::now", "async fn"] {
            assert!(!body.contains(word), "{} uses {word}", file.display());
        }
    }
}

fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// Links between documents, and paths in backquotes that begin with one of the repository's folders.
#[test]
fn documents_name_what_exists() {
    let top = repository();
    let folders: Vec<String> = fs::read_dir(&top)
        .expect("repository")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| format!("{}/", entry.file_name().to_string_lossy()))
        .collect();
    let mut missing = Vec::new();
    for document in files_below(&top, "md") {
        let text = fs::read_to_string(&document).expect("document");
        let here = document.parent().expect("folder");
        for target in links(&text) {
            if !here.join(&target).exists() {
                missing.push(format!("{}: link {target}", document.display()));
            }
        }
        for path in
            text.split('`').skip(1).step_by(2).filter(|p| !p.contains([' ', '\n', '*', '<', '{', '…']))
        {
            if folders.iter().any(|folder| path.starts_with(folder)) && !top.join(path).exists() {
                missing.push(format!("{}: path {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Targets of Markdown links that point into the repository.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or_default().to_owned())
        .filter(|target| !target.is_empty())
        .collect()
}
