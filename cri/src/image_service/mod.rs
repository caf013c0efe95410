//! `runtime.v1.ImageService`: a file for each RPC, named after it.

use reeve_engine::Engine;
use reeve_proto::cri;
use reeve_proto::cri::image_service_server::ImageService as Rpc;
use tonic::{Request, Response, Status};

use crate::Config;
use crate::stream::Stream;

mod image_fs_info;
mod image_status;
mod list_images;
mod pull_image;
mod remove_image;
mod stream_images;

/// The service.
pub(crate) struct ImageService {
    engine: Engine,
    config: Config,
}

impl ImageService {
    pub(crate) fn new(engine: Engine, config: Config) -> ImageService {
        ImageService { engine, config }
    }
}

#[tonic::async_trait]
impl Rpc for ImageService {
    async fn list_images(
        &self,
        request: Request<cri::ListImagesRequest>,
    ) -> Result<Response<cri::ListImagesResponse>, Status> {
        list_images::call(self, request.into_inner()).map(Response::new)
    }

    type StreamImagesStream = Stream<cri::StreamImagesResponse>;

    async fn stream_images(
        &self,
        request: Request<cri::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        stream_images::call(self, request.into_inner()).map(Response::new)
    }

    async fn image_status(
        &self,
        request: Request<cri::ImageStatusRequest>,
    ) -> Result<Response<cri::ImageStatusResponse>, Status> {
        image_status::call(self, request.into_inner()).map(Response::new)
    }

    async fn pull_image(
        &self,
        request: Request<cri::PullImageRequest>,
    ) -> Result<Response<cri::PullImageResponse>, Status> {
        pull_image::call(self, request.into_inner()).await.map(Response::new)
    }

    async fn remove_image(
        &self,
        request: Request<cri::RemoveImageRequest>,
    ) -> Result<Response<cri::RemoveImageResponse>, Status> {
        remove_image::call(self, request.into_inner()).await.map(Response::new)
    }

    async fn image_fs_info(
        &self,
        _request: Request<cri::ImageFsInfoRequest>,
    ) -> Result<Response<cri::ImageFsInfoResponse>, Status> {
        image_fs_info::call(self).await.map(Response::new)
    }
}
