//! What a client gets to see of a container.

use reeve_engine::{Container, ContainerMetadata, ContainerState};
use reeve_proto::cri;

use super::{mount, resources, signal};

pub(crate) fn state(state: ContainerState) -> cri::ContainerState {
    match state {
        ContainerState::Created => cri::ContainerState::ContainerCreated,
        ContainerState::Running => cri::ContainerState::ContainerRunning,
        ContainerState::Exited => cri::ContainerState::ContainerExited,
        ContainerState::Unknown => cri::ContainerState::ContainerUnknown,
    }
}

pub(crate) fn metadata(metadata: &ContainerMetadata) -> cri::ContainerMetadata {
    cri::ContainerMetadata { name: metadata.name.clone(), attempt: metadata.attempt }
}

/// Whether the container's creator named the image by its id, as the kubelet does after a pull.
pub(crate) fn is_made_by_image_id(container: &Container) -> bool {
    fn hex(id: &str) -> &str {
        id.strip_prefix("sha256:").unwrap_or(id)
    }
    hex(&container.image_id).starts_with(hex(&container.spec.image))
}

fn image(name: String) -> Option<cri::ImageSpec> {
    Some(cri::ImageSpec { image: name, ..cri::ImageSpec::default() })
}

/// One line of a list. `image_name` is how people know its image.
pub(crate) fn to_cri(container: &Container, image_name: String) -> cri::Container {
    cri::Container {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox_id.clone(),
        metadata: Some(metadata(&container.spec.metadata)),
        image: image(image_name),
        image_ref: container.image_ref.clone(),
        state: state(container.state) as i32,
        created_at: container.created_at,
        labels: container.spec.labels.clone().into_iter().collect(),
        annotations: container.spec.annotations.clone().into_iter().collect(),
        image_id: container.image_id.clone(),
    }
}

/// Everything about a container. `image_name` is how people know its image.
pub(crate) fn status(container: &Container, image_name: String) -> cri::ContainerStatus {
    cri::ContainerStatus {
        id: container.id.clone(),
        metadata: Some(metadata(&container.spec.metadata)),
        state: state(container.state) as i32,
        created_at: container.created_at,
        started_at: container.started_at,
        finished_at: container.finished_at,
        exit_code: container.exit_code,
        image: image(image_name),
        image_ref: container.image_ref.clone(),
        reason: container.reason.clone(),
        message: container.message.clone(),
        labels: container.spec.labels.clone().into_iter().collect(),
        annotations: container.spec.annotations.clone().into_iter().collect(),
        mounts: container.spec.mounts.iter().map(mount::to_cri).collect(),
        log_path: container.log_path.to_string_lossy().into_owned(),
        resources: Some(cri::ContainerResources {
            linux: Some(resources::to_cri(&container.resources)),
            windows: None,
        }),
        image_id: container.image_id.clone(),
        user: Some(cri::ContainerUser {
            linux: Some(cri::LinuxContainerUser {
                uid: container.uid.into(),
                gid: container.gid.into(),
                supplemental_groups: container.groups.iter().copied().map(i64::from).collect(),
            }),
        }),
        stop_signal: signal::to_cri(container.stop_signal) as i32,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use reeve_engine::{ContainerSpec, Resources};

    use super::*;

    /// A container for tests.
    pub(crate) fn container(
        id: &str,
        sandbox: &str,
        state: ContainerState,
        labels: &[(&str, &str)],
    ) -> Container {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Container {
            id: id.to_owned(),
            sandbox_id: sandbox.to_owned(),
            spec: Arc::new(ContainerSpec {
                image: "registry.test/a:1".to_owned(),
                labels,
                ..Default::default()
            }),
            resources: Arc::new(Resources { memory_limit: Some(1 << 20), ..Resources::default() }),
            image_id: "sha256:1".to_owned(),
            image_ref: "registry.test/a@sha256:2".to_owned(),
            state,
            created_at: 1,
            started_at: 2,
            finished_at: 3,
            exit_code: 137,
            reason: "OOMKilled".to_owned(),
            message: String::new(),
            log_path: PathBuf::from("/var/log/pods/p/a/0.log"),
            pid: 9,
            uid: 1000,
            gid: 100,
            groups: Arc::new(vec![100, 2000]),
            stop_signal: 15,
        }
    }

    #[test]
    fn an_exit_is_told_in_full() {
        let status = status(&container("c", "s", ContainerState::Exited, &[]), "a:1".to_owned());
        assert_eq!(status.image.unwrap().image, "a:1");
        assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
        assert_eq!((status.created_at, status.started_at, status.finished_at), (1, 2, 3));
        assert_eq!(status.stop_signal, cri::Signal::Sigterm as i32);
        assert_eq!(status.user.unwrap().linux.unwrap().supplemental_groups, [100, 2000]);
        assert_eq!(status.resources.unwrap().linux.unwrap().memory_limit_in_bytes, 1 << 20);
    }

    #[test]
    fn an_image_named_by_its_id_is_recognised() {
        let named = |image: &str| {
            let mut container = container("c", "s", ContainerState::Created, &[]);
            container.image_id = "sha256:0123456789ab".to_owned();
            container.spec = Arc::new(ContainerSpec { image: image.to_owned(), ..Default::default() });
            is_made_by_image_id(&container)
        };
        assert!(named("sha256:0123456789ab") && named("0123456789ab") && named("01234"));
        assert!(!named("registry.test/a:1") && !named("registry.test/a@sha256:0123456789ab"));
    }
}
