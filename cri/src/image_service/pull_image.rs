use reeve_proto::cri::{PullImageRequest, PullImageResponse};
use tonic::Status;

use super::ImageService;
use crate::convert::image;
use crate::status;

/// A client that goes away ends its interest in the pull, not the pull of others who want the same image.
/// `sandbox_config` says for which pod the image is; no pull depends on that here.
pub(super) async fn call(
    service: &ImageService,
    request: PullImageRequest,
) -> Result<PullImageResponse, Status> {
    let name = image::name("image", request.image.as_ref())?;
    let auth = image::auth(request.auth.as_ref())?;
    let pulled =
        service.engine.images().pull(&name, auth, None).await.map_err(|error| status::of_image(&error))?;
    Ok(PullImageResponse { image_ref: pulled.id.to_string() })
}
