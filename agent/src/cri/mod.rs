//! The runtime as a client sees it: gRPC over a Unix socket, or straight into a service in the same process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Request, Response};
use hyper_util::rt::TokioIo;
use reeve_proto::cri::VersionRequest;
use reeve_proto::cri::image_service_client::ImageServiceClient;
use reeve_proto::cri::runtime_service_client::RuntimeServiceClient;
use tokio::sync::OnceCell;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Endpoint, Uri};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// Largest message, as the kubelet allows: a list of many containers passes tonic's 4 MiB.
const MAX_MESSAGE: usize = 16 << 20;

/// What carries the calls. Its error is a concrete type: with a boxed one rustc cannot prove calls `Send`.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// A client of the runtime. Cheap to clone.
#[derive(Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Transport>,
    images: ImageServiceClient<Transport>,
    name: Arc<OnceCell<Arc<str>>>,
}

impl Cri {
    /// A client of the runtime at a socket; it connects when it is first needed, and again when it was lost.
    pub fn connect(socket: &Path) -> Cri {
        let socket: PathBuf = socket.to_path_buf();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // The authority is not used; some servers refuse a path there.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        let transport = BoxCloneSyncService::new(channel.map_err(unreachable));
        Cri::over(transport.clone(), transport)
    }

    /// A client over given transports, for instance services in the same process.
    pub fn over(runtime: Transport, images: Transport) -> Cri {
        Cri {
            runtime: RuntimeServiceClient::new(runtime)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(images)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            name: Arc::default(),
        }
    }

    /// Client of the RuntimeService.
    pub fn runtime(&self) -> RuntimeServiceClient<Transport> {
        self.runtime.clone()
    }

    /// The runtime's name, which a container's id begins with in a status; it is asked once.
    pub async fn runtime_name(&self) -> Result<Arc<str>, Status> {
        let ask = || async {
            let request = VersionRequest { version: "v1".into() };
            Ok(self.runtime().version(request).await?.into_inner().runtime_name.into())
        };
        self.name.get_or_try_init(ask).await.cloned()
    }

    /// Client of the ImageService.
    pub fn images(&self) -> ImageServiceClient<Transport> {
        self.images.clone()
    }
}

/// A call that did not reach the runtime, with all that is known of why.
fn unreachable(error: tonic::transport::Error) -> Status {
    let mut causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let why = causes.by_ref().last().map_or_else(|| error.to_string(), ToString::to_string);
    Status::unavailable(format!("the container runtime does not answer: {why}"))
}
