//! The image around the layer: configuration, manifest, index, and the layout that holds them.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::Builder;

use crate::{Error, layer};

/// What the image is called.
pub(crate) const NAME: &str = "reeve.local/quickstart:latest";

/// A tar of the layout, and the manifest's digest.
pub(crate) fn archive(layer: Vec<u8>) -> Result<(Vec<u8>, String), Error> {
    let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", layer);
    let config = Blob::new("application/vnd.oci.image.config.v1+json", text(&config(&layer.digest)));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let manifest = Blob::new("application/vnd.oci.image.manifest.v1+json", text(&manifest));
    let mut named = manifest.descriptor();
    named["annotations"] = json!({
        // The first is containerd's, and what says the whole name to most tools.
        "io.containerd.image.name": NAME,
        "org.opencontainers.image.ref.name": NAME,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named],
    });

    let mut tar = Builder::new(Vec::new());
    layer::file(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    layer::file(&mut tar, "index.json", 0o644, &text(&index))?;
    for blob in [&manifest, &config, &layer] {
        let name = format!("blobs/sha256/{}", blob.digest.trim_start_matches("sha256:"));
        layer::file(&mut tar, &name, 0o644, &blob.content)?;
    }
    let archive = tar.into_inner().map_err(|source| Error::Entry { name: "end".into(), source })?;
    Ok((archive, manifest.digest))
}

/// The configuration (image-spec, "Image Configuration").
fn config(diff_id: &str) -> Value {
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Entrypoint": ["/reeve-quickstart"],
            "Cmd": ["serve"],
            "Env": ["PATH=/"],
            "WorkingDir": "/",
            "ExposedPorts": { "8080/tcp": {} },
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "reeve-quickstart-image" }],
    })
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

struct Blob {
    kind: &'static str,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, content: Vec<u8>) -> Self {
        let hash = Sha256::digest(&content);
        let digest = hash.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"));
        Blob { kind, digest, content }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest, "size": self.content.len() })
    }
}
