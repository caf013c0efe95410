//! A real Kubernetes control plane in a lab: etcd, kube-apiserver, scheduler and controller manager.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Output};

use crate::lab::ADDRESS;
use crate::{Lab, tools, until};

/// Its processes, and credentials that may do everything.
pub struct Cluster<'lab> {
    lab: &'lab Lab,
    children: Vec<(String, Child)>,
    /// For the administrator.
    pub kubeconfig: PathBuf,
}

impl<'lab> Cluster<'lab> {
    /// Starts the control plane and waits until it serves the default namespace.
    pub fn start(lab: &'lab Lab) -> Cluster<'lab> {
        let dir = lab.path("cluster");
        fs::create_dir_all(&dir).expect("scratch");
        certificates(lab, &dir);
        let kubeconfig = dir.join("admin.kubeconfig");
        fs::write(dir.join("tokens.csv"), "admin-token,admin,admin,system:masters\n").expect("tokens");
        fs::write(&kubeconfig, kubeconfig_text(&dir)).expect("kubeconfig");
        let mut cluster = Cluster { lab, children: Vec::new(), kubeconfig };
        cluster.start_etcd(&dir);
        cluster.start_apiserver(&dir);
        until("the API server is ready", 120, || {
            cluster.kubectl(&["get", "--raw", "/readyz"]).status.success()
        });
        cluster.start_controllers();
        until("the default namespace has its service account", 60, || {
            cluster.kubectl(&["get", "serviceaccount", "default"]).status.success()
        });
        cluster
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let log = File::create(self.lab.path(format!("cluster/{program}.log"))).expect("log");
        let child = self
            .lab
            .command(tools::go_tool(program))
            .args(arguments)
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        self.children.push((program.to_owned(), child));
    }

    fn start_etcd(&mut self, dir: &Path) {
        let data = dir.join("etcd");
        self.spawn(
            "etcd",
            &[
                "--data-dir",
                data.to_str().expect("UTF-8"),
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        );
    }

    fn start_apiserver(&mut self, dir: &Path) {
        let file = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
        let arguments = [
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            format!("--advertise-address={ADDRESS}"),
            "--secure-port=6443".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged".to_owned(),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("sa.key")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
        ];
        self.spawn("kube-apiserver", &arguments.each_ref().map(String::as_str));
    }

    fn start_controllers(&mut self) {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        self.spawn("kube-scheduler", &[&kubeconfig, "--leader-elect=false"]);
        let key = format!("--service-account-private-key-file={}", self.lab.path("cluster/sa.key").display());
        self.spawn(
            "kube-controller-manager",
            &[&kubeconfig, "--leader-elect=false", &key, "--node-monitor-grace-period=20s"],
        );
    }

    /// A `kubectl` command as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.lab
            .command(tools::go_tool("kubectl"))
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(arguments)
            .output()
            .expect("kubectl")
    }

    /// A `kubectl` command that must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(
            output.status.success(),
            "`kubectl {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Creates or changes the objects of a manifest.
    pub fn apply(&self, manifest: &str) {
        let file = self.lab.path("apply.yaml");
        fs::write(&file, manifest).expect("scratch");
        self.ok(&["apply", "-f", file.to_str().expect("UTF-8")]);
    }

    /// One field of an object, by JSON path; empty where it is not there.
    pub fn field(&self, object: &[&str], path: &str) -> String {
        let template = format!("jsonpath={{{path}}}");
        let mut arguments = vec!["get"];
        arguments.extend(object);
        arguments.extend(["--ignore-not-found", "-o", &template]);
        String::from_utf8_lossy(&self.kubectl(&arguments).stdout).into_owned()
    }

    /// What the control plane knows and says, for a test that failed.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "nodes,pods,events", "-A"][..],
            &["get", "nodes", "-o", "yaml"],
            &["get", "pods", "-o", "yaml"],
        ] {
            text.push_str(&String::from_utf8_lossy(&self.kubectl(arguments).stdout));
        }
        for (name, _) in &self.children {
            let log = fs::read_to_string(self.lab.path(format!("cluster/{name}.log"))).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(12).collect();
            text.push_str(&format!(
                "--- {name}\n{}\n",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            ));
        }
        text
    }

    /// Ends a part of the control plane, as a crash would.
    pub fn kill(&mut self, program: &str) {
        for (name, child) in &mut self.children {
            if name == program {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        self.children.retain(|(name, _)| name != program);
    }

    /// Starts the API server again after [`Cluster::kill`].
    pub fn restart_apiserver(&mut self) {
        let dir = self.lab.path("cluster");
        self.start_apiserver(&dir);
        until("the API server is ready again", 120, || {
            self.kubectl(&["get", "--raw", "/readyz"]).status.success()
        });
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn certificates(lab: &Lab, dir: &Path) {
    let script = format!(
        "set -e; cd {}
        openssl genrsa -out sa.key 2048
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=test-ca
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=kube-apiserver
        printf 'subjectAltName=IP:127.0.0.1,IP:10.96.0.1,IP:{ADDRESS},DNS:localhost\\nextendedKeyUsage=serverAuth\\nbasicConstraints=CA:FALSE\\n' > ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 30 -extfile ext",
        dir.display()
    );
    lab.run(["sh", "-c", &script]);
}

fn kubeconfig_text(dir: &Path) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {{server: 'https://127.0.0.1:6443', certificate-authority: {}}}
users:
- name: admin
  user: {{token: admin-token}}
contexts:
- name: test
  context: {{cluster: test, user: admin}}
",
        dir.join("ca.crt").display()
    )
}
