use std::time::Duration;

use reeve_engine::Engine;
use reeve_proto::cri::image_service_server::ImageServiceServer;
use reeve_proto::cri::runtime_service_server::RuntimeServiceServer;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::image_service::ImageService;
use crate::runtime_service::RuntimeService;
use crate::socket::Socket;
use crate::streaming::Streaming;
use crate::{Config, Error};

/// What the kubelet accepts and sends at most (k8s.io/cri-client `maxMsgSize`); tonic's own limit is 4 MiB.
const MESSAGE_LIMIT: usize = 16 << 20;

/// How long calls under way may take after the shutdown was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Serves both CRI services on the socket of `config` until `shutdown` completes. Pods go on.
pub async fn serve(
    engine: Engine,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (socket, listener) = Socket::bind(&config.socket, config.socket_mode)?;
    let closing = CancellationToken::new();
    let streaming = Streaming::start(engine.clone(), config.streaming, closing.clone()).await?;
    tracing::info!(socket = %config.socket.display(), streaming = %streaming.address(), "serving CRI");

    let path = config.socket.clone();
    let runtime = RuntimeService::new(engine.clone(), config.clone(), streaming, closing.clone());
    let images = ImageService::new(engine, config);
    let server = Server::builder()
        .add_service(RuntimeServiceServer::new(runtime).max_decoding_message_size(MESSAGE_LIMIT))
        .add_service(ImageServiceServer::new(images).max_decoding_message_size(MESSAGE_LIMIT))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), closing.clone().cancelled_owned());

    let stop = async {
        shutdown.await;
        // Ends the event streams and the streaming server too: nobody else would.
        closing.cancel();
        tokio::time::sleep(GRACE).await;
    };
    let outcome = tokio::select! {
        outcome = server => outcome.map_err(|source| Error::Grpc { path, source }),
        () = stop => {
            tracing::warn!("clients still hold calls after {} s: leaving them", GRACE.as_secs());
            Ok(())
        }
    };
    closing.cancel();
    drop(socket);
    outcome
}
