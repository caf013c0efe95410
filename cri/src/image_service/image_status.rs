use std::collections::HashMap;

use reeve_engine::image::Image;
use reeve_proto::cri::{ImageStatusRequest, ImageStatusResponse};
use serde_json::json;
use tonic::Status;

use super::ImageService;
use crate::convert::image;

/// An image that is not there is no error: the answer has no image.
pub(super) fn call(
    service: &ImageService,
    request: ImageStatusRequest,
) -> Result<ImageStatusResponse, Status> {
    let name = image::name("image", request.image.as_ref())?;
    let Some(found) = service.engine.images().get(&name) else {
        return Ok(ImageStatusResponse::default());
    };
    Ok(ImageStatusResponse {
        info: if request.verbose { info(&found) } else { HashMap::new() },
        image: Some(image::to_cri(&found)),
    })
}

fn info(image: &Image) -> HashMap<String, String> {
    let info = json!({
        "manifest": image.manifest.to_string(),
        "chainIDs": image.chain_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "imageSpec": &*image.config,
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}
