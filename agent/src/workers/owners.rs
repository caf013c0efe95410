//! Which source a pod's name belongs to, where several declare it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use reeve_manifests::{Diagnostic, Severity};

use crate::pod::DesiredPod;

/// What every source declares, by UID.
pub(super) type Declared = BTreeMap<Arc<str>, BTreeMap<String, Arc<DesiredPod>>>;

/// Sources by the names (`namespace/name`) of pods: the first to declare a name has it until it declares it no more.
#[derive(Default)]
pub(super) struct Owners {
    by_name: BTreeMap<String, Arc<str>>,
}

/// What a name's owner is to be run, and what the others declare in vain.
#[derive(Default)]
pub(super) struct Settled {
    /// By UID.
    pub(super) wanted: BTreeMap<String, Arc<DesiredPod>>,
    /// What is wrong, by source.
    pub(super) conflicts: BTreeMap<Arc<str>, Vec<Diagnostic>>,
}

impl Owners {
    /// Notes a pod that an agent before this one ran.
    pub(super) fn restore(&mut self, name: String, source: &str) {
        if !source.is_empty() {
            self.by_name.insert(name, source.into());
        }
    }

    /// Decides who has which name. A source that has not spoken yet loses none.
    pub(super) fn settle(&mut self, declared: &Declared, all_spoke: bool) -> Settled {
        let mut names: BTreeMap<String, Vec<&Arc<DesiredPod>>> = BTreeMap::new();
        for pod in declared.values().flat_map(BTreeMap::values) {
            names.entry(pod.key().full_name()).or_default().push(pod);
        }
        self.by_name.retain(|name, owner| {
            let may_come = !all_spoke && !declared.contains_key(owner);
            may_come || names.get(name).is_some_and(|pods| pods.iter().any(|pod| pod.source == *owner))
        });
        let mut settled = Settled::default();
        for (name, pods) in names {
            let Some(first) = pods.first() else { continue };
            let owner = self.by_name.entry(name).or_insert_with(|| first.source.clone());
            let held = pods.iter().find(|pod| pod.source == *owner);
            for pod in &pods {
                if pod.source == *owner {
                    settled.wanted.insert(pod.key().uid, (*pod).clone());
                } else {
                    let origin = held.map_or_else(|| owner.to_string(), |held| origin(held));
                    let conflict = declared_twice(pod, &origin);
                    settled.conflicts.entry(pod.source.clone()).or_default().push(conflict);
                }
            }
        }
        settled
    }
}

/// Where a pod is declared, for people.
fn origin(pod: &DesiredPod) -> String {
    if pod.origin.is_empty() { format!("source {}", pod.source) } else { pod.origin.clone() }
}

fn declared_twice(pod: &DesiredPod, owner: &str) -> Diagnostic {
    // An origin is FILE:LINE, or nothing where the source has no files.
    let place = pod.origin.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let (file, line) = place.unwrap_or((&pod.source, 0));
    Diagnostic {
        severity: Severity::Error,
        file: PathBuf::from(file),
        line,
        column: usize::from(line > 0),
        message: format!(
            "pod {} of {} is declared already in {owner}, which runs on",
            pod.key().full_name(),
            origin(pod)
        ),
        snippet: String::new(),
        hint: Some("give it another name, or remove one of the two".into()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn declare(declared: &mut Declared, source: &str, uid: &str, origin: &str) {
        let metadata = json!({"name": "web", "namespace": "default", "uid": uid});
        let pod: Pod = serde_json::from_value(json!({ "metadata": metadata })).expect("a pod");
        let pod = DesiredPod { source: source.into(), pod: Arc::new(pod), origin: origin.into() };
        declared.entry(source.into()).or_default().insert(uid.into(), Arc::new(pod));
    }

    fn wanted(settled: &Settled) -> Vec<&str> {
        settled.wanted.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_first_keeps_a_name_through_edits_until_it_gives_it_up() {
        let (mut owners, mut declared) = (Owners::default(), Declared::new());
        declare(&mut declared, "z", "z1", "/z/web.yaml:3");
        assert!(owners.settle(&declared, true).conflicts.is_empty());
        declare(&mut declared, "a", "a1", "/a/web.yaml:7");
        let settled = owners.settle(&declared, true);
        assert_eq!(wanted(&settled), ["z1"]);
        let conflict = &settled.conflicts["a"][0];
        assert_eq!((conflict.file.to_str(), conflict.line), (Some("/a/web.yaml"), 7));
        assert_eq!(
            conflict.message,
            "pod default/web of /a/web.yaml:7 is declared already in /z/web.yaml:3, which runs on"
        );
        declared.remove("z");
        declare(&mut declared, "z", "z2", "/z/web.yaml:3");
        assert_eq!(wanted(&owners.settle(&declared, true)), ["z2"], "an edit changes no owner");
        declared.remove("z");
        let settled = owners.settle(&declared, true);
        assert_eq!((wanted(&settled), settled.conflicts.len()), (vec!["a1"], 0));
    }

    #[test]
    fn a_late_source_keeps_what_ran_before_a_restart() {
        let (mut owners, mut declared) = (Owners::default(), Declared::new());
        owners.restore("default/web".into(), "/z");
        declare(&mut declared, "cluster", "c1", "");
        let settled = owners.settle(&declared, false);
        assert!(settled.wanted.is_empty());
        assert_eq!(
            settled.conflicts["cluster"][0].message,
            "pod default/web of source cluster is declared already in /z, which runs on"
        );
        assert_eq!(wanted(&owners.settle(&declared, true)), ["c1"]);
    }
}
