//! The engine's image store, for what the agent's API offers beyond CRI.

use std::path::PathBuf;

use reeve_agent::images::{Answer, ArchiveFormat, LocalImages, PullProgress};
use reeve_engine::Engine;
use reeve_image::{Image, LayerState, Progress};
use tokio::sync::watch;

/// The images of an engine.
pub(super) struct EngineImages {
    engine: Engine,
}

impl EngineImages {
    pub(super) fn new(engine: Engine) -> EngineImages {
        EngineImages { engine }
    }
}

impl LocalImages for EngineImages {
    fn import(&self, path: PathBuf) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let imported = self.engine.images().import(&path).await;
            Ok(imported.map_err(|error| chain(&error))?.iter().map(name).collect())
        })
    }

    fn export(&self, references: Vec<String>, format: ArchiveFormat, out: PathBuf) -> Answer<'_, ()> {
        let format = match format {
            ArchiveFormat::OciTar => reeve_image::ArchiveFormat::OciTar,
            ArchiveFormat::OciDir => reeve_image::ArchiveFormat::OciDir,
            ArchiveFormat::DockerTar => reeve_image::ArchiveFormat::DockerTar,
        };
        Box::pin(async move {
            self.engine.images().export(&references, format, &out).await.map_err(|error| chain(&error))
        })
    }

    fn pull(&self, reference: String, progress: watch::Sender<PullProgress>) -> Answer<'_, String> {
        Box::pin(async move {
            let (sender, receiver) = watch::channel(Progress::default());
            let pull = self.engine.images().pull(&reference, None, Some(sender));
            let (pulled, ()) = tokio::join!(pull, pass_on(receiver, progress));
            pulled.map(|image| image.id.to_string()).map_err(|error| chain(&error))
        })
    }
}

/// Sums up the layers until the pull has ended.
async fn pass_on(mut from: watch::Receiver<Progress>, to: watch::Sender<PullProgress>) {
    while from.changed().await.is_ok() {
        let sum = sum(&from.borrow_and_update());
        to.send_replace(sum);
    }
}

fn sum(progress: &Progress) -> PullProgress {
    PullProgress {
        layers: progress.layers.len(),
        ready: progress.layers.iter().filter(|layer| layer.state == LayerState::Done).count(),
        size: progress.size(),
        downloaded: progress.downloaded(),
    }
}

/// The name of an image, or its id where it has none.
fn name(image: &Image) -> String {
    image.repo_tags.first().cloned().unwrap_or_else(|| image.id.to_string())
}

/// An error with its causes after colons.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
