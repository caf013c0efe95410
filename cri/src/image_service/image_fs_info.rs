use reeve_engine::FsUsage;
use reeve_proto::cri::ImageFsInfoResponse;
use tonic::Status;

use super::ImageService;
use crate::convert::stats::filesystem;
use crate::{clock, status};

/// Images and writable layers share the filesystem of the engine's root. What writable layers take is counted
/// for running containers, the only ones that grow.
pub(super) async fn call(service: &ImageService) -> Result<ImageFsInfoResponse, Status> {
    let mountpoint = service.config.root.to_string_lossy();
    let images = service.engine.images().fs_usage();
    let containers = service.engine.container_stats(None).await.map_err(status::of_engine)?;
    let layers = containers.iter().fold(FsUsage::default(), |sum, one| FsUsage {
        bytes: sum.bytes + one.writable_layer.bytes,
        inodes: sum.inodes + one.writable_layer.inodes,
    });
    let now = clock::now();
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![filesystem(
            now,
            &mountpoint,
            FsUsage { bytes: images.bytes, inodes: images.inodes },
        )],
        container_filesystems: vec![filesystem(now, &mountpoint, layers)],
    })
}
