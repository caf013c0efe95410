//! Which entry of a multi-platform index is ours.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operating system and processor, in Go's words (OCI image index, `platform`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …; empty where the architecture has none
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The platform this program was built for.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// How well `offered` suits this platform: lower is better, `None` does not run here.
    /// An older variant of the same architecture runs; a newer one does not.
    pub(crate) fn rank(&self, offered: &Platform) -> Option<u32> {
        let (wanted, offered) = (self.normalised(), offered.normalised());
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        let level = |variant: &str| variant.strip_prefix('v').and_then(|n| n.parse::<u32>().ok());
        match (level(&wanted.variant), level(&offered.variant)) {
            _ if wanted.variant == offered.variant => Some(0),
            (Some(wanted), Some(offered)) if offered <= wanted => Some(wanted - offered),
            (Some(_), Some(_)) => None,
            _ if offered.variant.is_empty() => Some(100),
            _ => None,
        }
    }

    /// arm64 means v8, arm means v7, and amd64 means v1 where nothing is said.
    fn normalised(&self) -> Platform {
        let variant = match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "" | "8") => "v8",
            ("arm", "") => "v7",
            ("amd64", "") => "v1",
            ("arm", "5" | "6" | "7" | "8") => return self.with_variant(&format!("v{}", self.variant)),
            (_, variant) => variant,
        };
        self.with_variant(variant)
    }

    fn with_variant(&self, variant: &str) -> Platform {
        Platform { variant: variant.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next().unwrap_or_default(),
        }
    }

    #[test]
    fn ranks_variants() {
        for (wanted, offered, rank) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/arm64/v8", "linux/arm64", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v7", "linux/arm/v5", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/amd64", "unknown/unknown", None),
        ] {
            assert_eq!(platform(wanted).rank(&platform(offered)), rank, "{wanted} {offered}");
        }
    }
}
