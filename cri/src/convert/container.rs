//! What a client asks a container to be.

use std::path::{Component, Path, PathBuf};

use reeve_engine::{ContainerMetadata, ContainerSpec, Resources, SandboxSpec};
use reeve_proto::cri;

use super::fault::Fault;
use super::{mount, resources, security, signal};

/// The engine's container for `config`, to live in the sandbox of `sandbox`.
pub(crate) fn to_engine(
    config: &cri::ContainerConfig,
    sandbox: &SandboxSpec,
) -> Result<ContainerSpec, Fault> {
    refuse_what_is_missing(config)?;
    let linux = config.linux.clone().unwrap_or_default();
    Ok(ContainerSpec {
        metadata: metadata(config.metadata.as_ref())?,
        image: image(config.image.as_ref())?,
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        env: environment(&config.envs)?,
        mounts: numbered(&config.mounts, mount::to_engine)?,
        devices: numbered(&config.devices, mount::device_to_engine)?,
        labels: config.labels.clone().into_iter().collect(),
        annotations: config.annotations.clone().into_iter().collect(),
        log_path: log_path(&config.log_path)?,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        resources: limits(linux.resources.as_ref())?,
        security: security::to_engine(linux.security_context.as_ref(), sandbox)?,
        stop_signal: signal::to_engine(config.stop_signal)?,
    })
}

fn refuse_what_is_missing(config: &cri::ContainerConfig) -> Result<(), Fault> {
    if config.windows.is_some() {
        return Err(Fault::unsupported("config.windows", "this runtime runs Linux containers"));
    }
    if let Some(device) = config.cdi_devices.first() {
        return Err(Fault::unsupported(
            "config.CDI_devices",
            format!("no CDI device {:?} can be injected", device.name),
        ));
    }
    Ok(())
}

fn metadata(metadata: Option<&cri::ContainerMetadata>) -> Result<ContainerMetadata, Fault> {
    let metadata = metadata.ok_or_else(|| Fault::missing("config.metadata"))?;
    if metadata.name.is_empty() {
        return Err(Fault::missing("config.metadata.name"));
    }
    Ok(ContainerMetadata { name: metadata.name.clone(), attempt: metadata.attempt })
}

fn image(image: Option<&cri::ImageSpec>) -> Result<String, Fault> {
    match image {
        Some(image) if !image.image.is_empty() => Ok(image.image.clone()),
        _ => Err(Fault::missing("config.image.image")),
    }
}

/// The value is bytes since cri-api 0.37; the engine, like the OCI specification, has text.
fn environment(variables: &[cri::KeyValue]) -> Result<Vec<(String, String)>, Fault> {
    numbered(variables, |index, variable| {
        let field = format!("config.envs[{index}]");
        if variable.key.is_empty() || variable.key.contains(['=', '\0']) {
            return Err(Fault::invalid(
                format!("{field}.key"),
                format!("{:?} is no name of a variable", variable.key),
            ));
        }
        match String::from_utf8(variable.value.clone()) {
            Ok(value) if !value.contains('\0') => Ok((variable.key.clone(), value)),
            Ok(_) => Err(Fault::invalid(format!("{field}.value"), "holds a zero byte")),
            Err(_) => Err(Fault::unsupported(format!("{field}.value"), "it is not UTF-8")),
        }
    })
}

/// A log leaves its sandbox's directory for nobody.
fn log_path(path: &str) -> Result<PathBuf, Fault> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if Path::new(path).components().all(plain) {
        Ok(PathBuf::from(path))
    } else {
        Err(Fault::invalid("config.log_path", format!("{path:?} is not relative to the log directory")))
    }
}

fn limits(limits: Option<&cri::LinuxContainerResources>) -> Result<Resources, Fault> {
    match limits {
        Some(limits) => resources::to_engine("config.linux.resources", limits),
        None => Ok(Resources::default()),
    }
}

fn numbered<A, B>(items: &[A], convert: impl Fn(usize, &A) -> Result<B, Fault>) -> Result<Vec<B>, Fault> {
    items.iter().enumerate().map(|(index, item)| convert(index, item)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> cri::ContainerConfig {
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: "nginx".to_owned(), attempt: 1 }),
            image: Some(cri::ImageSpec { image: "registry.test/nginx:1".to_owned(), ..Default::default() }),
            ..Default::default()
        }
    }

    fn variable(key: &str, value: &[u8]) -> cri::KeyValue {
        cri::KeyValue { key: key.to_owned(), value: value.to_vec() }
    }

    #[test]
    fn plain_fields_are_taken_over() {
        let config = cri::ContainerConfig {
            command: vec!["/bin/sh".to_owned()],
            envs: vec![variable("A", b"1"), variable("EMPTY", b"")],
            log_path: "nginx/0.log".to_owned(),
            stop_signal: cri::Signal::Sigquit as i32,
            tty: true,
            ..config()
        };
        let spec = to_engine(&config, &SandboxSpec::default()).unwrap();
        assert_eq!(spec.env, [("A".to_owned(), "1".to_owned()), ("EMPTY".to_owned(), String::new())]);
        assert_eq!(spec.stop_signal, "SIGQUIT");
        assert_eq!(spec.log_path, Path::new("nginx/0.log"));
        assert!(spec.tty);
    }

    #[test]
    fn faults_name_the_field() {
        let faulty = [
            (cri::ContainerConfig { metadata: None, ..config() }, "config.metadata"),
            (cri::ContainerConfig { image: None, ..config() }, "config.image.image"),
            (cri::ContainerConfig { log_path: "../../etc/passwd".to_owned(), ..config() }, "config.log_path"),
            (cri::ContainerConfig { log_path: "/etc/passwd".to_owned(), ..config() }, "config.log_path"),
            (cri::ContainerConfig { envs: vec![variable("A=B", b"")], ..config() }, "config.envs[0].key"),
            (cri::ContainerConfig { envs: vec![variable("A", b"\xff")], ..config() }, "config.envs[0].value"),
            (cri::ContainerConfig { envs: vec![variable("A", b"x\0y")], ..config() }, "config.envs[0].value"),
            (cri::ContainerConfig { windows: Some(Default::default()), ..config() }, "config.windows"),
            (
                cri::ContainerConfig {
                    cdi_devices: vec![cri::CdiDevice { name: "v/c=d".to_owned() }],
                    ..config()
                },
                "config.CDI_devices",
            ),
        ];
        for (config, field) in faulty {
            let fault = to_engine(&config, &SandboxSpec::default()).unwrap_err().to_string();
            assert!(fault.starts_with(field), "{fault}");
        }
    }
}
