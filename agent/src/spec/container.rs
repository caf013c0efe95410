//! The configuration of one container.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod};
use reeve_manifests::container_hash;
use reeve_proto::cri as proto;

use super::env::{Facts, environment};
use super::expand::expand;
use super::{Error, ImageUser, resources, security};
use crate::config::Config;
use crate::pod::PodKey;
use crate::workers::labels;

/// What a container is made from.
pub(crate) struct ContainerInput<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) config: &'a Config,
    pub(crate) agent: &'a str,
    pub(crate) pod_ips: &'a [IpAddr],
    pub(crate) image: proto::ImageSpec,
    pub(crate) image_user: &'a ImageUser,
    pub(crate) restarts: u32,
    pub(crate) level: u32,
    /// File that is mounted as its termination message.
    pub(crate) message_file: &'a Path,
}

impl<'a> ContainerInput<'a> {
    fn facts(&self) -> Facts<'a> {
        Facts {
            pod: self.pod,
            pod_ips: self.pod_ips,
            host_ip: self.config.node_ip,
            node_name: &self.config.node_name,
        }
    }

    /// Environment of the container.
    pub(crate) fn environment(&self) -> Result<Vec<(String, String)>, Error> {
        environment(self.container, &self.facts())
    }
}

/// Makes the configuration of a container, all but the mounts of its volumes.
pub(crate) fn container_config(
    input: &ContainerInput<'_>,
    env: &[(String, String)],
    mounts: Vec<proto::Mount>,
) -> proto::ContainerConfig {
    let c = input.container;
    let key = PodKey::of(input.pod);
    let known: HashMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let words = |list: &Option<Vec<String>>| list.iter().flatten().map(|word| expand(word, &known)).collect();
    let mut labels = labels::sandbox_labels(&key, input.agent);
    labels.insert(labels::CONTAINER_NAME.into(), c.name.clone());
    let annotations = HashMap::from([
        (labels::RESTART_COUNT.to_owned(), input.restarts.to_string()),
        (labels::CONTAINER_HASH.to_owned(), container_hash(c)),
        (labels::CRASH_LEVEL.to_owned(), input.level.to_string()),
        (labels::MESSAGE_PATH.to_owned(), input.message_file.to_string_lossy().into_owned()),
        (labels::MESSAGE_POLICY.to_owned(), c.termination_message_policy.clone().unwrap_or_default()),
    ]);
    proto::ContainerConfig {
        metadata: Some(proto::ContainerMetadata { name: c.name.clone(), attempt: input.restarts }),
        image: Some(input.image.clone()),
        command: words(&c.command),
        args: words(&c.args),
        working_dir: c.working_dir.clone().unwrap_or_default(),
        envs: env.iter().map(|(k, v)| proto::KeyValue { key: k.clone(), value: v.clone().into() }).collect(),
        mounts,
        labels,
        annotations,
        log_path: format!("{}/{}.log", c.name, input.restarts),
        stdin: c.stdin.unwrap_or(false),
        stdin_once: c.stdin_once.unwrap_or(false),
        tty: c.tty.unwrap_or(false),
        linux: Some(proto::LinuxContainerConfig {
            resources: Some(resources::linux_resources(c, input.pod)),
            security_context: Some(security::container_context(c, input.pod, input.image_user)),
        }),
        ..proto::ContainerConfig::default()
    }
}
