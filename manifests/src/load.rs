//! From a file's text to pods.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::default::apply_defaults;
use crate::diagnostic::{Diagnostic, Severity};
use crate::identity::pod_uid;
use crate::place::Place;
use crate::strict::{self, Finding};
use crate::suggest::nearest;
use crate::tree::{self, Node, Value};
use crate::validate::validate;

/// A pod as a file declares it: checked, defaulted, with its UID.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPod {
    /// The pod.
    pub pod: Pod,
    /// Line where its declaration starts.
    pub line: usize,
}

/// What a file gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Its pods.
    pub pods: Vec<LoadedPod>,
    /// What has no effect here.
    pub warnings: Vec<Diagnostic>,
}

/// Kinds that Kubernetes has and people keep beside their pods.
const OTHER_KINDS: &[&str] = &[
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "ConfigMap",
    "Secret",
    "Service",
    "Namespace",
    "PersistentVolumeClaim",
    "Ingress",
    "ServiceAccount",
];

/// Loads a manifest: YAML or JSON, any number of documents, each a Pod or a List of them.
///
/// `source` names where files come from; it is part of the pods' UIDs, so that they stay the same when a file
/// is renamed. Either every pod of the file is good, or the file is refused with all that is wrong with it.
pub fn load_file(source: &str, file: &Path, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let documents = tree::parse(file, text).map_err(|refused| vec![refused])?;
    let mut loader = Loader { source, file, text, loaded: Loaded::default(), errors: Vec::new() };
    for document in &documents {
        loader.document(document);
    }
    loader.twice();
    if loader.errors.is_empty() { Ok(loader.loaded) } else { Err(loader.errors) }
}

struct Loader<'a> {
    source: &'a str,
    file: &'a Path,
    text: &'a str,
    loaded: Loaded,
    errors: Vec<Diagnostic>,
}

impl Loader<'_> {
    fn document(&mut self, node: &Node) {
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        let version = node.get("apiVersion").and_then(Node::text).unwrap_or_default();
        match (version, kind) {
            ("v1", "Pod") => self.pod(node),
            ("v1", "List" | "PodList") => self.list(node),
            _ => self.not_a_pod(node, version, kind),
        }
    }

    fn list(&mut self, node: &Node) {
        if let Value::Map(entries) = &node.value {
            for (key, _) in entries {
                let name = key.text().unwrap_or_default();
                if !["apiVersion", "kind", "items", "metadata"].contains(&name) {
                    self.error(key.place, format!("unknown field {name:?}"), None);
                }
            }
        }
        match node.get("items").map(|items| &items.value) {
            Some(Value::List(items)) => items.iter().for_each(|item| self.document(item)),
            None | Some(Value::Null) => {}
            Some(_) => self.error(node.locate("items"), "items: expected a list".into(), None),
        }
    }

    fn not_a_pod(&mut self, node: &Node, version: &str, kind: &str) {
        let place = node.locate(if kind.is_empty() { "" } else { "kind" });
        if !matches!(node.value, Value::Map(_)) {
            return self.error(place, "this is not a Kubernetes object".into(), None);
        }
        if kind.is_empty() || version.is_empty() {
            let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
            return self.error(
                place,
                format!("the object has no {missing}"),
                Some("start with apiVersion: v1 and kind: Pod".into()),
            );
        }
        if kind == "Pod" {
            let place = node.locate("apiVersion");
            return self.error(place, format!("apiVersion {version:?} has no Pod"), Some("write v1".into()));
        }
        let hint = match nearest(kind, &["Pod", "List"]) {
            Some(near) => Some(format!("did you mean {near}?")),
            None if OTHER_KINDS.contains(&kind) => Some("write the pod itself: kind: Pod".into()),
            None => None,
        };
        self.error(place, format!("kind {kind} of {version} is not supported, only Pod of v1 is"), hint);
    }

    fn pod(&mut self, node: &Node) {
        let (pod, findings) = strict::read::<Pod>(node);
        let failed = findings.iter().any(|f| f.severity == Severity::Error);
        for finding in findings {
            self.finding(finding);
        }
        let Some(mut pod) = pod else { return };
        pod.status = None;
        pod.metadata.uid = None;
        apply_defaults(&mut pod);
        let violations = validate(&pod);
        // A field that was refused often makes its object incomplete: that is said once.
        if !failed {
            for violation in violations {
                let place = node.locate(&violation.path);
                let message = if violation.path.is_empty() {
                    violation.message
                } else {
                    format!("{}: {}", violation.path, violation.message)
                };
                self.error(place, message, violation.hint);
            }
        }
        self.unenforced_limits(node, &pod);
        pod.metadata.uid = Some(pod_uid(self.source, &pod));
        self.loaded.pods.push(LoadedPod { pod, line: node.place.line });
    }

    /// Warns of a size that nothing enforces: only a tmpfs has one.
    fn unenforced_limits(&mut self, node: &Node, pod: &Pod) {
        let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
        for (i, volume) in volumes.enumerate() {
            let Some(empty) = &volume.empty_dir else { continue };
            if empty.size_limit.is_some() && empty.medium.as_deref() != Some("Memory") {
                let path = format!("spec.volumes[{i}].emptyDir.sizeLimit");
                let message = format!("{path} has no effect: only medium Memory has a size");
                self.finding(Finding {
                    severity: Severity::Warning,
                    place: node.locate(&path),
                    path,
                    message,
                    hint: None,
                });
            }
        }
    }

    /// Refuses a pod that the file declares twice.
    fn twice(&mut self) {
        let name = |p: &LoadedPod| (p.pod.metadata.namespace.clone(), p.pod.metadata.name.clone());
        let mut seen = Vec::new();
        let mut repeated = Vec::new();
        for pod in &self.loaded.pods {
            match seen.iter().find(|(other, _)| *other == name(pod)) {
                Some((_, first)) => repeated.push((pod.line, *first, pod.pod.clone())),
                None => seen.push((name(pod), pod.line)),
            }
        }
        for (line, first, pod) in repeated {
            let name = pod.metadata.name.unwrap_or_default();
            let message = format!("pod {name:?} is declared twice, first at line {first}");
            self.error(Place { line, column: 1 }, message, None);
        }
    }

    fn finding(&mut self, finding: Finding) {
        let mut diagnostic = self.diagnostic(finding.place, finding.message, finding.hint);
        diagnostic.severity = finding.severity;
        match finding.severity {
            Severity::Error => self.errors.push(diagnostic),
            Severity::Warning => self.loaded.warnings.push(diagnostic),
        }
    }

    fn error(&mut self, place: Place, message: String, hint: Option<String>) {
        let diagnostic = self.diagnostic(place, message, hint);
        self.errors.push(diagnostic);
    }

    fn diagnostic(&self, place: Place, message: String, hint: Option<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic {
            severity: Severity::Error,
            file: self.file.to_path_buf(),
            line: 0,
            column: 0,
            message,
            snippet: String::new(),
            hint,
        };
        place.show(self.text, &mut diagnostic);
        diagnostic
    }
}
