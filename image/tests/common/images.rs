//! Images of tars, as documents and blobs.

use std::path::Path;

use reeve_image::Digest;
use serde_json::{Value, json};

use super::tars::{gzip, zstd};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[derive(Clone, Copy, PartialEq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// An image with all its blobs.
#[derive(Clone)]
pub struct TestImage {
    pub manifest: Vec<u8>,
    pub media_type: String,
    pub config: Vec<u8>,
    /// As the registry has them.
    pub layers: Vec<Vec<u8>>,
    pub tars: Vec<Vec<u8>>,
}

pub struct Builder {
    pub layers: Vec<(Vec<u8>, Packing)>,
    pub docker: bool,
    pub config_patch: Value,
    pub layer_media_type: Option<String>,
}

pub fn image(layers: &[Vec<u8>]) -> TestImage {
    Builder::new(layers.iter().map(|tar| (tar.clone(), Packing::Gzip)).collect()).build()
}

impl Builder {
    pub fn new(layers: Vec<(Vec<u8>, Packing)>) -> Builder {
        Builder { layers, docker: false, config_patch: json!({}), layer_media_type: None }
    }

    pub fn build(self) -> TestImage {
        let diff_ids: Vec<String> = self.layers.iter().map(|(tar, _)| Digest::of(tar).to_string()).collect();
        let mut config = json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/hello"], "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        for (key, value) in self.config_patch.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = serde_json::to_vec(&config).unwrap();
        let mut blobs = Vec::new();
        let mut descriptors = Vec::new();
        for (tar, packing) in &self.layers {
            let (blob, oci, docker) = match packing {
                Packing::Plain => (tar.clone(), "tar", "tar"),
                Packing::Gzip => (gzip(tar), "tar+gzip", "tar.gzip"),
                Packing::Zstd => (zstd(tar), "tar+zstd", "tar.zstd"),
            };
            let media_type = self.layer_media_type.clone().unwrap_or_else(|| {
                if self.docker {
                    format!("application/vnd.docker.image.rootfs.diff.{docker}")
                } else {
                    format!("application/vnd.oci.image.layer.v1.{oci}")
                }
            });
            descriptors.push(descriptor(&media_type, &blob));
            blobs.push(blob);
        }
        let (media_type, config_type) = if self.docker {
            (DOCKER_MANIFEST, "application/vnd.docker.container.image.v1+json")
        } else {
            (OCI_MANIFEST, "application/vnd.oci.image.config.v1+json")
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor(config_type, &config), "layers": descriptors,
        });
        TestImage {
            manifest: serde_json::to_vec(&manifest).unwrap(),
            media_type: media_type.to_owned(),
            config,
            layers: blobs,
            tars: self.layers.into_iter().map(|(tar, _)| tar).collect(),
        }
    }
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

impl TestImage {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    pub fn layer_digest(&self, index: usize) -> Digest {
        Digest::of(&self.layers[index])
    }

    pub fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.layers.iter().chain([&self.config])
    }

    /// Writes it as an OCI layout.
    pub fn write_layout(&self, folder: &Path, name: Option<&str>) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for blob in self.blobs().chain([&self.manifest]) {
            std::fs::write(blobs.join(Digest::of(blob).hex()), blob).unwrap();
        }
        let mut entry = descriptor(&self.media_type, &self.manifest);
        if let Some(name) = name {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}
