use std::path::PathBuf;

/// Where an engine keeps its things and which programs it starts. Engines whose settings differ in all of
/// `root`, `state`, `network.bridge`, `network.subnet` and `cgroup_parent` never meet.
#[derive(Clone, Debug)]
pub struct Config {
    /// What survives a reboot: `/var/lib/reeve`.
    pub root: PathBuf,
    /// What a reboot may sweep away: `/run/reeve`.
    pub state: PathBuf,
    /// The shim's program, `reeve-shim`.
    pub shim: PathBuf,
    /// The pods' network.
    pub network: reeve_network::Config,
    /// The store of images.
    pub images: reeve_image::Config,
    /// Parent of the cgroups of sandboxes that name none: `/reeve`, or a slice with `systemd_cgroup`.
    pub cgroup_parent: String,
    /// Cgroups are made by systemd, and cgroup parents are names of slices.
    pub systemd_cgroup: bool,
}

impl Config {
    pub(crate) fn sandbox_dir(&self, id: &str) -> PathBuf {
        self.sandboxes_dir().join(id)
    }

    /// Pod files that go with a reboot: hosts, hostname, resolv.conf, shm.
    pub(crate) fn sandboxes_dir(&self) -> PathBuf {
        self.state.join("sandboxes")
    }

    pub(crate) fn shim_dir(&self, id: &str) -> PathBuf {
        self.shims_dir().join(id)
    }

    pub(crate) fn shims_dir(&self) -> PathBuf {
        self.state.join("shims")
    }

    pub(crate) fn bundle_dir(&self, id: &str) -> PathBuf {
        self.bundles_dir().join(id)
    }

    /// OCI bundles: config.json alone, for the root filesystem is mounted by the shim.
    pub(crate) fn bundles_dir(&self) -> PathBuf {
        self.state.join("containers")
    }

    pub(crate) fn layer_dir(&self, id: &str) -> PathBuf {
        self.writable_dir().join(id)
    }

    /// Writable layers: `upper` and `work` of each container.
    pub(crate) fn writable_dir(&self) -> PathBuf {
        self.root.join("containers")
    }
}
