use reeve_proto::cri::{Image, ImageFilter, ListImagesRequest, ListImagesResponse};
use tonic::Status;

use super::ImageService;
use crate::convert::image;

pub(super) fn call(service: &ImageService, request: ListImagesRequest) -> Result<ListImagesResponse, Status> {
    Ok(ListImagesResponse { images: fitting(service, request.filter.as_ref()) })
}

/// All images, or the one that the filter names.
pub(super) fn fitting(service: &ImageService, filter: Option<&ImageFilter>) -> Vec<Image> {
    let name = filter.and_then(|filter| filter.image.as_ref()).map_or("", |spec| spec.image.as_str());
    let images = service.engine.images();
    if name.is_empty() {
        images.list().iter().map(image::to_cri).collect()
    } else {
        images.get(name).iter().map(image::to_cri).collect()
    }
}
