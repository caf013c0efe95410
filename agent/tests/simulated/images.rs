//! The ImageService.

use std::time::Duration;

use reeve_proto::cri as proto;
use tonic::{Request, Response, Status};

use super::Sim;

fn name(image: Option<proto::ImageSpec>) -> String {
    image.unwrap_or_default().image
}

#[tonic::async_trait]
impl proto::image_service_server::ImageService for Sim {
    type StreamImagesStream = tokio_stream::Empty<Result<proto::StreamImagesResponse, Status>>;

    async fn list_images(
        &self,
        _: Request<proto::ListImagesRequest>,
    ) -> Result<Response<proto::ListImagesResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn stream_images(
        &self,
        _: Request<proto::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn image_status(
        &self,
        request: Request<proto::ImageStatusRequest>,
    ) -> Result<Response<proto::ImageStatusResponse>, Status> {
        self.begin().await?;
        let name = name(request.into_inner().image);
        let image = self.lock().images.contains(&name).then(|| proto::Image {
            id: name.clone(),
            repo_tags: vec![name],
            ..Default::default()
        });
        Ok(Response::new(proto::ImageStatusResponse { image, ..Default::default() }))
    }

    async fn pull_image(
        &self,
        request: Request<proto::PullImageRequest>,
    ) -> Result<Response<proto::PullImageResponse>, Status> {
        self.begin().await?;
        let name = name(request.into_inner().image);
        if name.contains("missing") {
            return Err(Status::not_found(format!("no such image {name}")));
        }
        if let Some(seconds) = name.strip_prefix("sim/slow/").and_then(|s| s.parse().ok()) {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
        self.lock().images.insert(name.clone());
        self.end()?;
        Ok(Response::new(proto::PullImageResponse { image_ref: name }))
    }

    async fn remove_image(
        &self,
        _: Request<proto::RemoveImageRequest>,
    ) -> Result<Response<proto::RemoveImageResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn image_fs_info(
        &self,
        _: Request<proto::ImageFsInfoRequest>,
    ) -> Result<Response<proto::ImageFsInfoResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }
}
