//! Debian's docker-registry, in a lab.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::{Lab, http, until};

/// A registry that answers on loopback in its lab.
pub struct Registry {
    child: Child,
    /// `localhost:PORT`, as it stands in a reference.
    pub host: String,
    storage: PathBuf,
}

impl Registry {
    /// One that anybody may pull from and push to.
    pub fn open(lab: &Lab, port: u16) -> Registry {
        Registry::start(lab, port, "")
    }

    /// One that asks for a name and a password.
    pub fn with_password(lab: &Lab, port: u16, user: &str, password: &str) -> Registry {
        let file = lab.path(format!("htpasswd-{port}"));
        fs::write(&file, lab.run(["htpasswd", "-Bbn", user, password])).expect("htpasswd");
        let auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", file.display());
        Registry::start(lab, port, &auth)
    }

    fn start(lab: &Lab, port: u16, auth: &str) -> Registry {
        let storage = lab.path(format!("registry-{port}"));
        fs::create_dir_all(&storage).expect("storage");
        let config = lab.path(format!("registry-{port}.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{auth}",
            storage.display()
        );
        fs::write(&config, text).expect("configuration");
        let child = lab
            .command("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry, from Debian's package");
        let host = format!("localhost:{port}");
        until("the registry answers", 20, || http::get(lab, &format!("http://{host}/v2/")).is_some());
        Registry { child, host, storage }
    }

    /// The reference of `name` in this registry.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// Where it keeps its blobs, for tests that damage them.
    pub fn storage(&self) -> &std::path::Path {
        &self.storage
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
