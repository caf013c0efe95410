use oci_spec::runtime::Spec;

use super::*;
use crate::store::samples;
use crate::types::*;

struct Case {
    sandbox: SandboxRecord,
    container: ContainerRecord,
}

impl Case {
    fn new(sandbox: SandboxSpec, spec: ContainerSpec) -> Self {
        let sandbox = samples::sandbox("s1", sandbox);
        let container = samples::container("c1", "s1", spec);
        Self { sandbox, container }
    }

    fn generate(&self) -> Value {
        let command = Command { args: vec!["/bin/web".into()], env: vec!["A=1".into()], cwd: "/".into() };
        let input = Input {
            container: &self.container,
            sandbox: &self.sandbox,
            command: &command,
            target_pid: 99,
            sandbox_dir: Path::new("/run/reeve/sandboxes/s1"),
            cgroup_v2: false,
            swap: true,
        };
        let value = super::generate(&input).unwrap();
        let typed: Spec = serde_json::from_value(value.clone()).expect("the specification's form");
        let again = serde_json::to_value(typed).unwrap();
        same(&value, &again, "config");
        value
    }
}

/// The typed form drops fields that it does not know, and so shows misspelt ones. Empty lists it may drop too.
fn same(ours: &Value, typed: &Value, place: &str) {
    match ours {
        Value::Object(fields) => {
            for (name, field) in fields {
                let empty = field.as_array().is_some_and(Vec::is_empty);
                if !(typed[name].is_null() && empty) {
                    same(field, &typed[name], &format!("{place}.{name}"));
                }
            }
        }
        // Sets come back in another order.
        Value::Array(list) if place.contains("capabilities") => {
            assert_eq!(list.len(), typed.as_array().map_or(0, Vec::len), "{place}");
        }
        Value::Array(list) => {
            assert_eq!(list.len(), typed.as_array().map_or(0, Vec::len), "{place}");
            for (index, entry) in list.iter().enumerate() {
                same(entry, &typed[index], &format!("{place}[{index}]"));
            }
        }
        other => assert_eq!(other, typed, "{place}"),
    }
}

fn namespaces(config: &Value) -> Vec<String> {
    let list = config["linux"]["namespaces"].as_array().unwrap().iter();
    list.map(|entry| {
        let kind = entry["type"].as_str().unwrap();
        entry["path"].as_str().map_or(kind.to_owned(), |path| format!("{kind}={path}"))
    })
    .collect()
}

fn mount<'a>(config: &'a Value, target: &str) -> &'a Value {
    let mut list = config["mounts"].as_array().unwrap().iter();
    list.find(|mount| mount["destination"] == target).unwrap_or(&Value::Null)
}

#[test]
fn the_plain_case() {
    let config = Case::new(SandboxSpec::default(), ContainerSpec::default()).generate();
    assert_eq!(config["process"]["user"], json!({ "uid": 10, "gid": 20, "additionalGids": [20, 30] }));
    assert_eq!(config["process"]["env"], json!(["A=1", "HOME=/home/web"]));
    assert_eq!(config["linux"]["cgroupsPath"], "/reeve/s1/c1");
    assert_eq!(
        namespaces(&config),
        ["mount", "ipc=/proc/42/ns/ipc", "network=/proc/42/ns/net", "uts=/proc/42/ns/uts", "pid"]
    );
    assert_eq!(config["linux"]["maskedPaths"], json!(MASKED));
    assert_eq!(config["linux"]["readonlyPaths"], json!(READONLY));
    assert_eq!(mount(&config, "/dev/shm")["source"], "/run/reeve/sandboxes/s1/shm");
    assert_eq!(mount(&config, "/etc/hosts")["source"], "/run/reeve/sandboxes/s1/hosts");
    assert!(config["linux"]["seccomp"].is_null(), "unconfined unless asked for");
}

#[test]
fn host_namespaces() {
    let sandbox =
        SandboxSpec { host_network: true, host_ipc: true, host_pid: true, ..SandboxSpec::default() };
    let security = Security { pid: PidNamespace::Host, ..Security::default() };
    let config = Case::new(sandbox, ContainerSpec { security, ..ContainerSpec::default() }).generate();
    assert_eq!(namespaces(&config), ["mount"]);
    assert_eq!(mount(&config, "/dev/shm")["source"], "/dev/shm");
}

#[test]
fn pid_namespaces() {
    let shared = SandboxSpec { share_pid: true, ..SandboxSpec::default() };
    for (pid, expected) in [
        (PidNamespace::Sandbox, "pid=/proc/43/ns/pid"),
        (PidNamespace::Container, "pid"),
        (PidNamespace::Target("other".into()), "pid=/proc/99/ns/pid"),
    ] {
        let security = Security { pid, ..Security::default() };
        let case = Case::new(shared.clone(), ContainerSpec { security, ..ContainerSpec::default() });
        assert_eq!(namespaces(&case.generate()).last().unwrap(), expected);
    }
}

#[test]
fn privileged() {
    let security = Security { privileged: true, seccomp: Seccomp::RuntimeDefault, ..Security::default() };
    let config =
        Case::new(SandboxSpec::default(), ContainerSpec { security, ..Default::default() }).generate();
    assert_eq!(config["linux"]["maskedPaths"], json!([]));
    assert!(config["linux"]["seccomp"].is_null());
    assert!(config["process"]["capabilities"]["bounding"].as_array().unwrap().len() > 35);
    assert!(mount(&config, "/sys")["options"].as_array().unwrap().contains(&json!("rw")));
}

#[test]
fn confined() {
    let security = Security {
        readonly_rootfs: true,
        no_new_privs: true,
        masked_paths: Some(vec!["/proc/x".into()]),
        seccomp: Seccomp::RuntimeDefault,
        ..Security::default()
    };
    let resources =
        Resources { oom_score_adj: Some(500), memory_limit: Some(1 << 26), ..Resources::default() };
    let config =
        Case::new(SandboxSpec::default(), ContainerSpec { security, resources, ..Default::default() })
            .generate();
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert_eq!(config["process"]["oomScoreAdj"], 500);
    assert_eq!(config["linux"]["maskedPaths"], json!(["/proc/x"]));
    assert_eq!(config["linux"]["resources"]["memory"]["limit"], 1 << 26);
    assert_eq!(config["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(mount(&config, "/etc/hosts")["options"], json!(["rbind", "rprivate", "ro"]));
}

#[test]
fn the_callers_mounts_win_and_come_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let bind =
        |path: &str| Mount { host_path: dir.path().into(), container_path: path.into(), ..Mount::default() };
    let mounts = vec![bind("/data/deep/er"), bind("/etc/hosts"), bind("/data"), bind("/dev/shm")];
    let spec = ContainerSpec { mounts, ..ContainerSpec::default() };
    let config = Case::new(SandboxSpec::default(), spec).generate();
    let real = dir.path().canonicalize().unwrap();
    assert_eq!(mount(&config, "/etc/hosts")["source"], json!(real));
    assert_eq!(mount(&config, "/dev/shm")["source"], json!(real));
    let targets: Vec<_> =
        config["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
    assert_eq!(targets.iter().filter(|target| **target == "/etc/hosts").count(), 1);
    let place = |target| targets.iter().position(|t| *t == target).unwrap();
    assert!(place("/data") < place("/data/deep/er"));
    assert!(place("/sys") < place("/data"));
}
