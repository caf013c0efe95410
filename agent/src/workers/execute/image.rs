//! Images.

use k8s_openapi::api::core::v1::Container;
use reeve_proto::cri as proto;
use tokio_util::sync::CancellationToken;

use super::{Executor, Fault, words};
use crate::events::EventType;
use crate::spec::ImageUser;

/// An image that is there.
pub(super) struct Ready {
    pub(super) spec: proto::ImageSpec,
    pub(super) user: ImageUser,
}

impl Executor {
    /// Sees to it that a container's image is there, as its pull policy says; `None` when cancelled.
    pub(super) async fn image(
        &self,
        c: &Container,
        sandbox: &proto::PodSandboxConfig,
        cancel: &CancellationToken,
    ) -> Result<Option<Ready>, Fault> {
        let name = c.image.clone().unwrap_or_default();
        let policy = c.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let present = self.image_status(&name).await?;
        let present = match (present, policy) {
            (Some(image), "IfNotPresent" | "Never") => {
                let message = format!("Container image {name:?} already present on machine");
                self.event(Some(&c.name), EventType::Normal, "Pulled", message);
                image
            }
            (None, "Never") => {
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                self.event(Some(&c.name), EventType::Warning, "ErrImageNeverPull", message.clone());
                return Err(Fault { reason: "ErrImageNeverPull", message });
            }
            _ => {
                let pull = self.pull(c, &name, sandbox);
                let pulled = tokio::select! {
                    () = cancel.cancelled() => return Ok(None),
                    pulled = pull => pulled?,
                };
                self.image_status(&pulled).await?.or(self.image_status(&name).await?).ok_or_else(|| {
                    Fault {
                        reason: "ImageInspectError",
                        message: format!("image {name:?} is not there after it was pulled"),
                    }
                })?
            }
        };
        let user = ImageUser { uid: present.uid.map(|id| id.value), name: present.username.clone() };
        let spec = proto::ImageSpec {
            image: present.id.clone(),
            user_specified_image: name,
            ..proto::ImageSpec::default()
        };
        Ok(Some(Ready { spec, user }))
    }

    async fn image_status(&self, name: &str) -> Result<Option<proto::Image>, Fault> {
        let image = proto::ImageSpec { image: name.to_owned(), ..proto::ImageSpec::default() };
        let request = proto::ImageStatusRequest { image: Some(image), verbose: false };
        let mut images = self.handles.cri.images();
        let status = self.call("ImageStatus", images.image_status(request)).await;
        status.map(|s| s.image).map_err(|status| {
            let message = format!("Failed to inspect image {name:?}: {}", words(&status));
            Fault { reason: "ImageInspectError", message }
        })
    }

    /// Pulls an image; returns what to ask for it by.
    async fn pull(
        &self,
        c: &Container,
        name: &str,
        sandbox: &proto::PodSandboxConfig,
    ) -> Result<String, Fault> {
        self.event(Some(&c.name), EventType::Normal, "Pulling", format!("Pulling image {name:?}"));
        let begun = self.handles.clock.now();
        let request = proto::PullImageRequest {
            image: Some(proto::ImageSpec { image: name.to_owned(), ..proto::ImageSpec::default() }),
            auth: None,
            sandbox_config: Some(sandbox.clone()),
        };
        let mut images = self.handles.cri.images();
        match self.call("PullImage", images.pull_image(request)).await {
            Ok(response) => {
                let took = self.handles.clock.now().duration_since(begun).as_millis();
                let took = format!("{}.{:03}s", took / 1000, took % 1000);
                let message = format!("Successfully pulled image {name:?} in {took}");
                self.event(Some(&c.name), EventType::Normal, "Pulled", message);
                Ok(response.image_ref)
            }
            Err(status) => {
                let why = words(&status);
                let message = format!("Failed to pull image {name:?}: {why}");
                self.event(Some(&c.name), EventType::Warning, "Failed", message);
                self.event(Some(&c.name), EventType::Warning, "Failed", "Error: ErrImagePull".into());
                Err(Fault { reason: "ErrImagePull", message: why })
            }
        }
    }
}
