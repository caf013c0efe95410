use reeve_proto::cri::{StreamImagesRequest, StreamImagesResponse};
use tonic::Status;

use super::{ImageService, list_images};
use crate::stream::{Stream, batches};

pub(super) fn call(
    service: &ImageService,
    request: StreamImagesRequest,
) -> Result<Stream<StreamImagesResponse>, Status> {
    let images = list_images::fitting(service, request.filter.as_ref());
    Ok(batches(images, |images| StreamImagesResponse { images }))
}
