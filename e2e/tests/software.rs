//! Real software from a real registry: pulled, run, probed, restarted, replaced, removed.

use std::fs;

use reeve_e2e::image::{Image, Layer};
use reeve_e2e::{Lab, Node, NodeOptions, Registry, http, node::is_ready, until};
use serde_json::{Value, json};

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// Pushes nginx, redis and postgresql, as Debian packages them.
fn push_software(lab: &Lab, registry: &Registry, login: Option<&str>) {
    let path = "PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let nginx = Image::debian(
        &["nginx-light"],
        json!({"Cmd": ["nginx", "-g", "daemon off;"], "Env": [path], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}),
    )
    // What the package's script would have done.
    .with(Layer::of_files(&[
        ("var/www/html/index.html", 0o644, b"served by nginx"),
        ("etc/nginx/sites-enabled/default", 0o644, b"server { listen 80 default_server; root /var/www/html; }"),
    ]));
    nginx.push(lab, registry, "web/nginx:1", login);
    let redis = Image::debian(
        &["redis-server"],
        json!({"Entrypoint": ["redis-server"], "Cmd": ["--save", "", "--dir", "/tmp"], "Env": [path], "User": "redis"}),
    );
    redis.push(lab, registry, "cache/redis:7", login);
    let start = "mkdir -p /data/db && chown postgres /data/db && exec su postgres -c \
        '[ -e /data/db/PG_VERSION ] || initdb -D /data/db -A trust >/dev/null; \
         exec postgres -D /data/db -k /tmp -c listen_addresses=*'";
    let postgres =
        Image::debian(&["postgresql-15"], json!({"Cmd": ["sh", "-c", start], "Env": [path, "LC_ALL=C"]}));
    postgres.push(lab, registry, "db/postgres:15", login);
}

#[test]
fn nginx_redis_and_postgresql() {
    let lab = Lab::new();
    let registry = Registry::open(&lab, 5000);
    push_software(&lab, &registry, None);
    let mut node = Node::start(&lab);
    let data = lab.path("pgdata");
    fs::create_dir_all(&data).expect("directory");

    node.apply(
        "stack.yaml",
        &format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: nginx}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: nginx
    image: {host}/web/nginx:1
    ports: [{{containerPort: 80, hostPort: 8081}}]
    livenessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 2}}
    readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: redis}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: redis
    image: {host}/cache/redis:7
    args: [--save, '', --dir, /tmp, --protected-mode, 'no']
    readinessProbe: {{exec: {{command: [redis-cli, ping]}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: postgres}}
spec:
  terminationGracePeriodSeconds: 10
  containers:
  - name: postgres
    image: {host}/db/postgres:15
    volumeMounts: [{{name: data, mountPath: /data}}]
    startupProbe: {{exec: {{command: [pg_isready, -h, /tmp]}}, periodSeconds: 1, failureThreshold: 60}}
    readinessProbe: {{tcpSocket: {{port: 5432}}, periodSeconds: 1}}
    resources: {{limits: {{memory: 512Mi, cpu: '2'}}}}
  volumes: [{{name: data, hostPath: {{path: {data}}}}}]
",
            host = registry.host,
            data = data.display()
        ),
    );
    for name in ["nginx", "redis", "postgres"] {
        node.wait_ready(name);
    }
    assert_eq!(http::get(&lab, "http://127.0.0.1:8081/").expect("nginx answers").0, 200);

    // Other pods reach them by their addresses.
    let pod = node.pod("redis").expect("redis");
    let address = pod["status"]["podIP"].as_str().expect("address");
    assert_eq!(node.ok(&["exec", "nginx", "--", "nc", "-w", "2", address, "6379", "-e", "true"]), "");
    assert_eq!(node.ok(&["exec", "redis", "--", "redis-cli", "set", "k", "v"]).trim(), "OK");

    let sql = |text: &str| {
        let command = ["exec", "postgres", "--", "psql", "-h", "/tmp", "-U", "postgres", "-Atc", text];
        node.ok(&command).trim().to_owned()
    };
    sql("create table t(n int); insert into t values (42)");

    // The main process of redis is killed: a new container, and nothing else changes.
    let nginx_before = container(&node.pod("nginx").expect("nginx"))["containerID"].clone();
    let redis = node.pod_pid("redis");
    // SAFETY: the process is the first of this test's own container.
    unsafe { libc::kill(redis as i32, libc::SIGKILL) };
    let restarted = node.wait_pod("redis", "is restarted and ready", 60, |pod| {
        container(pod)["restartCount"] == 1 && is_ready(pod)
    });
    assert_eq!(container(&restarted)["lastState"]["terminated"]["exitCode"], 137);

    // postgresql is replaced by an edit, and keeps its data.
    let text = fs::read_to_string(node.manifests.join("stack.yaml")).expect("manifest");
    let before = container(&node.pod("postgres").expect("postgres"))["containerID"].clone();
    node.apply("stack.yaml", &text.replace("512Mi", "640Mi"));
    node.wait_pod("postgres", "is replaced and ready", 90, |pod| {
        is_ready(pod) && container(pod)["containerID"] != before
    });
    assert_eq!(sql("select n from t"), "42");
    assert_eq!(container(&node.pod("nginx").expect("nginx"))["containerID"], nginx_before);

    let listed = node.ok(&["image", "ls"]);
    for name in ["web/nginx", "cache/redis", "db/postgres"] {
        assert!(listed.contains(name), "{listed}");
    }
    node.empty();
    node.ok(&["image", "rm", &registry.reference("cache/redis:7")]);
    assert!(!node.ok(&["image", "ls"]).contains("cache/redis"));
}

#[test]
fn a_registry_behind_a_password_and_a_mirror() {
    let lab = Lab::new();
    let registry = Registry::with_password(&lab, 5001, "reader", "s3cret");
    let open = Registry::open(&lab, 5002);
    Image::busybox().push(&lab, &registry, "private/tools:1", Some("reader:s3cret"));
    Image::busybox().push(&lab, &open, "library/tools:2", None);
    let certs = lab.path("certs.d");
    fs::create_dir_all(certs.join("registry.test")).expect("folder");
    fs::write(
        certs.join("registry.test/hosts.toml"),
        format!("server = \"https://registry.test\"\n[host.\"http://{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n", open.host),
    )
    .expect("hosts.toml");
    let node = Node::start_with(
        &lab,
        NodeOptions {
            cri_only: true,
            arguments: vec!["--certs-dir".into(), certs.display().to_string()],
            ..Default::default()
        },
    );

    let private = registry.reference("private/tools:1");
    let refused = node.crictl(&["pull", &private]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("private/tools") && (text.contains("user name and password")), "{text}");
    node.crictl_ok(&["pull", "--creds", "reader:s3cret", &private]);
    node.crictl_ok(&["pull", "registry.test/library/tools:2"]);
    let images = node.crictl_ok(&["images"]);
    assert!(images.contains("registry.test/library/tools"), "{images}");
    assert!(!node.log().contains("s3cret"), "a password is in the log");
    node.crictl_ok(&["rmi", &private]);
    until("the image is gone", 5, || !node.crictl_ok(&["images"]).contains("private/tools"));
}

#[test]
fn a_registry_that_fails_and_recovers() {
    let lab = Lab::new();
    let mut node = Node::start(&lab);
    let image = "localhost:5003/late/tools:1";
    node.apply(
        "late.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: late}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
             - {{name: main, image: '{image}', command: [sleep, '1000']}}\n"
        ),
    );
    node.wait_pod("late", "reports that the image cannot be had", 40, |pod| {
        let reason = container(pod)["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        matches!(reason, "ErrImagePull" | "ImagePullBackOff")
    });
    let registry = Registry::open(&lab, 5003);
    Image::busybox().push(&lab, &registry, "late/tools:1", None);
    node.wait_ready("late");
    node.empty();
}
