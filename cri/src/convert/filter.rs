//! Filters of the list calls: a field that is set must fit, and all set fields together.

use std::collections::{BTreeMap, HashMap};

use reeve_engine::{Container, Sandbox};
use reeve_proto::cri;

use super::{container_status, sandbox_status};

/// The beginning of an id is enough, as for every call that takes one.
fn fits_id(wanted: &str, id: &str) -> bool {
    id.starts_with(wanted)
}

fn fits_labels(wanted: &HashMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether `sandbox` is asked for.
pub(crate) fn fits_sandbox(filter: Option<&cri::PodSandboxFilter>, sandbox: &Sandbox) -> bool {
    let Some(filter) = filter else { return true };
    fits_id(&filter.id, &sandbox.id)
        && filter.state.is_none_or(|wanted| wanted.state == sandbox_status::state(sandbox.state) as i32)
        && fits_labels(&filter.label_selector, &sandbox.spec.labels)
}

/// Whether `container` is asked for.
pub(crate) fn fits_container(filter: Option<&cri::ContainerFilter>, container: &Container) -> bool {
    let Some(filter) = filter else { return true };
    fits_id(&filter.id, &container.id)
        && fits_id(&filter.pod_sandbox_id, &container.sandbox_id)
        && filter.state.is_none_or(|wanted| wanted.state == container_status::state(container.state) as i32)
        && fits_labels(&filter.label_selector, &container.spec.labels)
}

/// Whether counters of `container` are asked for.
pub(crate) fn fits_container_stats(
    filter: Option<&cri::ContainerStatsFilter>,
    container: &Container,
) -> bool {
    let Some(filter) = filter else { return true };
    fits_id(&filter.id, &container.id)
        && fits_id(&filter.pod_sandbox_id, &container.sandbox_id)
        && fits_labels(&filter.label_selector, &container.spec.labels)
}

/// Whether counters of `sandbox` are asked for.
pub(crate) fn fits_sandbox_stats(filter: Option<&cri::PodSandboxStatsFilter>, sandbox: &Sandbox) -> bool {
    let Some(filter) = filter else { return true };
    fits_id(&filter.id, &sandbox.id) && fits_labels(&filter.label_selector, &sandbox.spec.labels)
}

#[cfg(test)]
mod tests {
    use reeve_engine::{ContainerState, SandboxState};

    use super::super::container_status::tests::container;
    use super::super::sandbox_status::tests::sandbox;
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn an_empty_filter_fits_all() {
        let container = container("abc", "s", ContainerState::Running, &[]);
        assert!(fits_container(None, &container));
        assert!(fits_container(Some(&cri::ContainerFilter::default()), &container));
    }

    #[test]
    fn containers_are_found_by_each_field_and_by_all_together() {
        let container =
            container("abcdef", "sandbox-1", ContainerState::Running, &[("app", "web"), ("tier", "front")]);
        let running = Some(cri::ContainerStateValue { state: cri::ContainerState::ContainerRunning as i32 });
        let exited = Some(cri::ContainerStateValue { state: cri::ContainerState::ContainerExited as i32 });
        let base = cri::ContainerFilter {
            id: "abc".to_owned(),
            state: running,
            pod_sandbox_id: "sandbox-1".to_owned(),
            label_selector: labels(&[("app", "web")]),
        };
        let with = |change: fn(&mut cri::ContainerFilter)| {
            let mut filter = base.clone();
            change(&mut filter);
            fits_container(Some(&filter), &container)
        };

        assert!(with(|_| {}));
        assert!(!with(|filter| filter.id = "bcd".to_owned()));
        assert!(!with(|filter| filter.pod_sandbox_id = "sandbox-2".to_owned()));
        assert!(!with(|filter| filter.label_selector = labels(&[("app", "db")])));
        assert!(!with(|filter| filter.label_selector = labels(&[("app", "web"), ("zone", "a")])));
        assert!(!fits_container(Some(&cri::ContainerFilter { state: exited, ..base.clone() }), &container));
    }

    #[test]
    fn created_is_a_state_to_filter_by_although_it_is_zero() {
        let created = Some(cri::ContainerStateValue { state: cri::ContainerState::ContainerCreated as i32 });
        let filter = cri::ContainerFilter { state: created, ..Default::default() };
        assert!(!fits_container(Some(&filter), &container("a", "s", ContainerState::Running, &[])));
        assert!(fits_container(Some(&filter), &container("a", "s", ContainerState::Created, &[])));
    }

    #[test]
    fn sandboxes_are_found_by_state_and_label() {
        let ready = sandbox("abc", SandboxState::Ready, &[("app", "web")]);
        let filter = |state: cri::PodSandboxState| cri::PodSandboxFilter {
            id: String::new(),
            state: Some(cri::PodSandboxStateValue { state: state as i32 }),
            label_selector: labels(&[("app", "web")]),
        };
        assert!(fits_sandbox(Some(&filter(cri::PodSandboxState::SandboxReady)), &ready));
        assert!(!fits_sandbox(Some(&filter(cri::PodSandboxState::SandboxNotready)), &ready));
    }
}
