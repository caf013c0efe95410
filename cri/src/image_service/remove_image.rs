use reeve_engine::image::{Digest, Error};
use reeve_proto::cri::{RemoveImageRequest, RemoveImageResponse};
use tonic::Status;

use super::ImageService;
use crate::convert::image;
use crate::status;
use crate::uninterrupted::uninterrupted;

/// CRI removes the image with all its names, whichever of them the request has.
pub(super) async fn call(
    service: &ImageService,
    request: RemoveImageRequest,
) -> Result<RemoveImageResponse, Status> {
    let name = image::name("image", request.image.as_ref())?;
    let engine = service.engine.clone();
    uninterrupted(async move {
        let Some(found) = engine.images().get(&name) else {
            return Ok(RemoveImageResponse {});
        };
        let in_use: Vec<Digest> = engine.images_in_use().iter().filter_map(|id| id.parse().ok()).collect();
        match engine.images().remove(&found.id.to_string(), &in_use).await {
            // Someone else may have been faster.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(RemoveImageResponse {}),
            Err(error) => Err(status::of_image(&error)),
        }
    })
    .await
}
