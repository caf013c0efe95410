//! Manifests and indexes as registries serve them: OCI's and Docker's differ in media types only.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Place, Platform};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What a registry is asked for.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Media types of layers this crate unpacks; the compression itself is told by the content.
const LAYERS: [&str; 11] = [
    OCI_LAYER,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// Nested indexes are allowed; endless ones are not.
pub(crate) const MAX_INDEX_DEPTH: usize = 4;

/// A pointer to content (OCI image specification, "Descriptor").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// An image of one platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) layers: Vec<Descriptor>,
}

/// Manifests of several platforms, or of several images.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) manifests: Vec<Descriptor>,
}

/// Go writes empty lists as null.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a manifest reference turned out to be.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Index),
    Manifest(Manifest),
}

impl Document {
    /// Parses `bytes`; `media_type` is what the registry or the descriptor said. A document that names
    /// its own type must name the same kind, lest one digest mean two things.
    pub(crate) fn parse(bytes: &[u8], media_type: &str, place: &Place) -> Result<Document, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            #[serde(default)]
            media_type: String,
            #[serde(default)]
            schema_version: u32,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let invalid = |reason: String| Error::InvalidDocument { place: Box::new(place.clone()), reason };
        let bad_json = |error: serde_json::Error| invalid(format!("not a manifest: {error}"));
        let probe: Probe = serde_json::from_slice(bytes).map_err(bad_json)?;
        if probe.manifests.is_some() && probe.layers.is_some() {
            return Err(invalid("both an index and a manifest".to_owned()));
        }
        let said = media_type.split(';').next().unwrap_or_default().trim();
        let generic = matches!(said, "" | "application/json" | "text/plain" | "application/octet-stream");
        let media_type = if probe.media_type.is_empty() {
            if generic && probe.schema_version == 2 {
                if probe.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST }
            } else {
                said
            }
        } else {
            &probe.media_type
        };
        match media_type {
            OCI_INDEX | DOCKER_LIST => Ok(Document::Index(serde_json::from_slice(bytes).map_err(bad_json)?)),
            OCI_MANIFEST | DOCKER_MANIFEST => {
                let manifest: Manifest = serde_json::from_slice(bytes).map_err(bad_json)?;
                manifest.check(place)?;
                Ok(Document::Manifest(manifest))
            }
            other => Err(Error::UnknownMediaType {
                place: Box::new(place.clone()),
                media_type: other.chars().take(200).collect(),
            }),
        }
    }
}

impl Manifest {
    fn check(&self, place: &Place) -> Result<(), Error> {
        let unknown = |media_type: &str, part| Error::UnknownMediaType {
            place: Box::new(Place { part, ..place.clone() }),
            media_type: media_type.chars().take(200).collect(),
        };
        if !matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            let part = crate::Part::Config(self.config.digest.clone());
            return Err(unknown(&self.config.media_type, part));
        }
        match self.layers.iter().find(|layer| !LAYERS.contains(&layer.media_type.as_str())) {
            Some(layer) => Err(unknown(&layer.media_type, crate::Part::Layer(layer.digest.clone()))),
            None => Ok(()),
        }
    }

    /// The media type to say of this manifest where a descriptor is made for it.
    pub(crate) fn own_media_type(&self) -> &str {
        if self.media_type.is_empty() { OCI_MANIFEST } else { &self.media_type }
    }
}

impl Index {
    /// The entry for `platform`; an entry that names none is taken where nothing fits better.
    pub(crate) fn select(&self, platform: &Platform, place: &Place) -> Result<&Descriptor, Error> {
        let is_image = |entry: &&Descriptor| {
            matches!(entry.media_type.as_str(), "" | OCI_INDEX | OCI_MANIFEST | DOCKER_LIST | DOCKER_MANIFEST)
        };
        let rank = |entry: &Descriptor| match &entry.platform {
            Some(offered) => platform.rank(offered),
            None => Some(1000),
        };
        let entries = self.manifests.iter().filter(is_image);
        let ranked = entries.filter_map(|entry| Some((rank(entry)?, entry)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry).ok_or_else(|| {
            let offered: Vec<String> =
                self.manifests.iter().filter_map(|m| m.platform.as_ref().map(Platform::to_string)).collect();
            Error::NoPlatform {
                place: Box::new(place.clone()),
                wanted: platform.to_string(),
                offered: if offered.is_empty() { "none".to_owned() } else { offered.join(", ") },
            }
        })
    }
}

/// A configuration, and the diff-ids of its layers.
pub(crate) fn parse_config(
    bytes: &[u8],
    manifest: &Manifest,
    place: &Place,
) -> Result<(ImageConfiguration, Vec<Digest>), Error> {
    let invalid = |reason: String| Error::InvalidDocument { place: Box::new(place.clone()), reason };
    let config: ImageConfiguration = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("not an image configuration: {error}")))?;
    let diff_ids: Vec<Digest> =
        config.rootfs().diff_ids().iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    if diff_ids.len() != manifest.layers.len() {
        let (ids, layers) = (diff_ids.len(), manifest.layers.len());
        return Err(invalid(format!("{ids} diff-ids for {layers} layers")));
    }
    Ok((config, diff_ids))
}

/// Chain ids of layers with these diff-ids, base first.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        chain.push(Digest::chain(chain.last(), diff));
    }
    chain
}
