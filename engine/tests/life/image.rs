//! A small image with two layers, as a tar of an OCI image layout.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const NAME: &str = "registry.test/busybox:1";

const PROGRAM: &str = "/usr/bin/busybox";
const APPLETS: &[&str] = &[
    "sh", "sleep", "cat", "echo", "id", "head", "stty", "kill", "mount", "hostname", "tail", "dd", "ls",
    "env", "pwd", "grep", "ps", "yes", "touch", "true", "false", "tty", "wc",
];

/// Writes the image and gives the tar's path.
pub(crate) fn archive(dir: &Path) -> PathBuf {
    let path = dir.join("busybox.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    let mut blob = |media_type: &str, bytes: &[u8]| -> Value {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        file(&mut tar, &format!("blobs/sha256/{hex}"), bytes);
        json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
    };
    let layers = [programs(), accounts()].map(|layer| blob("application/vnd.oci.image.layer.v1.tar", &layer));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "WorkingDir": "/tmp" },
        "rootfs": { "type": "layers", "diff_ids": layers.clone().map(|layer| layer["digest"].clone()) },
        "history": [],
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    });
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    manifest["annotations"] =
        json!({ "org.opencontainers.image.ref.name": NAME, "io.containerd.image.name": NAME });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    file(&mut tar, "index.json", index.to_string().as_bytes());
    file(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    tar.finish().unwrap();
    path
}

fn programs() -> Vec<u8> {
    let program = fs::read(PROGRAM).expect("busybox-static is needed");
    let mut tar = tar::Builder::new(Vec::new());
    for dir in ["bin/", "etc/", "tmp/", "proc/", "sys/", "dev/"] {
        tar.append_data(&mut header(tar::EntryType::Directory, 0), dir, &[][..]).unwrap();
    }
    file(&mut tar, "bin/busybox", &program);
    for name in APPLETS {
        tar.append_link(&mut header(tar::EntryType::Symlink, 0), format!("bin/{name}"), "busybox").unwrap();
    }
    tar.into_inner().unwrap()
}

fn accounts() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    file(&mut tar, "etc/passwd", b"root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n");
    file(&mut tar, "etc/group", b"root:x:0:\nweb:x:33:\nextra:x:50:web\n");
    tar.into_inner().unwrap()
}

fn file<W: std::io::Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8]) {
    tar.append_data(&mut header(tar::EntryType::Regular, bytes.len()), path, bytes).unwrap();
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o755);
    header
}
