//! Settings of an image store.

use std::path::PathBuf;
use std::time::Duration;

use crate::Platform;

/// Where images live and how they are fetched.
#[derive(Clone, Debug)]
pub struct Config {
    /// Holds `content/` and `layers/`.
    pub root: PathBuf,
    /// Folders with `HOST/hosts.toml`, as containerd's `certs.d`; the first that knows a host wins.
    pub certs_dirs: Vec<PathBuf>,
    /// Layers fetched or unpacked at once, over all pulls.
    pub max_parallel_layers: usize,
    /// The most bytes one layer may unpack to: what stops a decompression bomb before the disk does.
    pub max_layer_bytes: u64,
    /// Which entry of an index to take.
    pub platform: Platform,
    /// When to give up on a registry.
    pub retry: Retry,
}

impl Config {
    /// Defaults for a node.
    pub fn new(root: impl Into<PathBuf>) -> Config {
        Config {
            root: root.into(),
            certs_dirs: vec![PathBuf::from("/etc/reeve/certs.d"), PathBuf::from("/etc/containerd/certs.d")],
            max_parallel_layers: 4,
            max_layer_bytes: 128 << 30,
            platform: Platform::host(),
            retry: Retry::default(),
        }
    }
}

/// Patience with registries.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Tries in a row without a byte of progress.
    pub attempts: usize,
    /// The first pause; it doubles, with jitter.
    pub min_delay: Duration,
    /// The longest pause, and the most a `Retry-After` is believed.
    pub max_delay: Duration,
    /// How long nothing may come before a connection counts as stalled.
    pub idle_timeout: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 6,
            min_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(45),
        }
    }
}
