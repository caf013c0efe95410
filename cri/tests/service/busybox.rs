//! An image made of this machine's static busybox, as an OCI image layout.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The name of the image.
pub(crate) const NAME: &str = "registry.test/busybox:1";

const PROGRAM: &str = "/usr/bin/busybox";

/// Writes the image into `dir`, and returns that.
pub(crate) fn layout(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    let layer = layer();
    let layer_blob = blob(dir, "application/vnd.oci.image.layer.v1.tar", &layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "User": "0" },
        "rootfs": { "type": "layers", "diff_ids": [layer_blob["digest"]] },
        "history": [],
    });
    let config = blob(dir, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer_blob],
    });
    let mut manifest =
        blob(dir, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    manifest["annotations"] =
        json!({ "org.opencontainers.image.ref.name": NAME, "io.containerd.image.name": NAME });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    dir.to_owned()
}

fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(dir.join("blobs/sha256").join(&hex), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

fn layer() -> Vec<u8> {
    let program = fs::read(PROGRAM).expect("the tests need busybox-static");
    let mut tar = tar::Builder::new(Vec::new());
    for dir in ["bin/", "etc/", "tmp/", "proc/", "sys/", "dev/"] {
        let mut header = header(tar::EntryType::Directory, 0);
        tar.append_data(&mut header, dir, &[][..]).unwrap();
    }
    tar.append_data(&mut header(tar::EntryType::Regular, program.len()), "bin/busybox", &program[..])
        .unwrap();
    for name in ["sh", "sleep", "cat", "echo", "id", "head", "nc", "stty", "kill", "mount", "hostname"] {
        tar.append_link(&mut header(tar::EntryType::Symlink, 0), format!("bin/{name}"), "busybox").unwrap();
    }
    let passwd = "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\n";
    tar.append_data(&mut header(tar::EntryType::Regular, passwd.len()), "etc/passwd", passwd.as_bytes())
        .unwrap();
    let group = "root:x:0:\nweb:x:33:\nextra:x:50:web\n";
    tar.append_data(&mut header(tar::EntryType::Regular, group.len()), "etc/group", group.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o755);
    header
}
