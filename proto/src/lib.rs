//! Reeve's wire interfaces: the Kubernetes Container Runtime Interface, and the protocol between the
//! engine and the shim of a pod. Generated from the definitions in `proto/proto/`.

/// `runtime.v1` of the Kubernetes CRI (cri-api v0.37), servers and clients.
#[cfg(feature = "cri")]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod cri {
    include!(concat!(env!("OUT_DIR"), "/runtime.v1.rs"));
}

/// Messages between engine and shim; see `proto/shim/shim.proto` for the transport.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
pub mod shim {
    include!(concat!(env!("OUT_DIR"), "/reeve.shim.v1.rs"));

    /// Longest frame either side accepts, in bytes (an exec's arguments and environment, with room).
    pub const MAX_FRAME: usize = 8 << 20;
}
