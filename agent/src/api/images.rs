//! Images of the node: through CRI where it has a call, else through the store of the embedding program.
//!
//! `GET /images`; `POST /images/pull?ref=` answers JSON lines, each `{"progress": …}` or `{"pulling": SECONDS}`,
//! and last `{"id": …}` or `{"error": …}`; `DELETE /images?ref=`; `POST /images/import?path=`;
//! `POST /images/export?ref=&ref=&path=&format=`. Paths are the server's, who runs on the same machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use reeve_proto::cri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch as progress;

use super::watch::{self, Lines};
use super::{Api, Problem};
use crate::cri::Cri;
use crate::images::{Answer, ArchiveFormat, LocalImages, PullProgress};

/// How often a pull tells how far it is.
const TELL: Duration = Duration::from_millis(100);
/// How often a pull of which nothing is known says that it goes on.
const STILL: Duration = Duration::from_secs(1);

/// An image as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRow {
    /// Digest of its configuration.
    pub id: String,
    /// Names with tags.
    pub repo_tags: Vec<String>,
    /// Names with digests.
    pub repo_digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Whether garbage collection leaves it.
    pub pinned: bool,
}

#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Deserialize)]
pub(super) struct At {
    path: PathBuf,
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let answer = api.handles.cri.images().list_images(cri::ListImagesRequest::default()).await;
    let images = answer.map_err(|status| Problem::runtime(&status))?.into_inner().images;
    let row = |image: cri::Image| ImageRow {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        pinned: image.pinned,
    };
    Ok(Json(json!({"items": images.into_iter().map(row).collect::<Vec<_>>()})))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Query(named): Query<Named>,
) -> Result<Json<Value>, Problem> {
    let mut client = api.handles.cri.images();
    let image = Some(spec(&named.reference));
    // CRI's RemoveImage succeeds for an image that is not there; a person wants to know.
    let request = cri::ImageStatusRequest { image: image.clone(), verbose: false };
    let found = client.image_status(request).await.map_err(|status| Problem::runtime(&status))?;
    if found.into_inner().image.is_none() {
        return Err(Problem::not_found(format!("image {:?} not found", named.reference)));
    }
    client
        .remove_image(cri::RemoveImageRequest { image })
        .await
        .map_err(|status| Problem::runtime(&status))?;
    Ok(Json(json!({"removed": named.reference})))
}

pub(super) async fn import(State(api): State<Api>, Query(at): Query<At>) -> Result<Json<Value>, Problem> {
    let images = local(&api, "import")?.import(at.path).await.map_err(Problem::bad_request)?;
    Ok(Json(json!({"images": images})))
}

/// The query names several images, so it is read as pairs.
pub(super) async fn export(
    State(api): State<Api>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Problem> {
    let all = |key: &str| query.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let references = all("ref");
    let (Some(path), false) = (all("path").pop(), references.is_empty()) else {
        return Err(Problem::bad_request("an export needs ref and path".into()));
    };
    let format: ArchiveFormat = match all("format").pop() {
        Some(name) => serde_json::from_value(Value::String(name))
            .map_err(|_| Problem::bad_request("format is one of oci-tar, oci-dir, docker-tar".into()))?,
        None => ArchiveFormat::default(),
    };
    let exported = local(&api, "export")?.export(references, format, path.into()).await;
    exported.map_err(Problem::bad_request)?;
    Ok(Json(json!({})))
}

pub(super) async fn pull(State(api): State<Api>, Query(named): Query<Named>) -> Response {
    let (lines, response) = watch::lines();
    // A pull goes on when the one who asked has gone: what is here need not be pulled again.
    tokio::spawn(async move {
        let outcome = match api.handles.config.images.clone() {
            Some(local) => pull_local(local, named.reference, &lines).await,
            None => pull_through_cri(&api, &named.reference, &lines).await,
        };
        let last = match outcome {
            Ok(id) => json!({ "id": id }),
            Err(error) => json!({ "error": error }),
        };
        lines.send_value(&last).await;
    });
    response
}

async fn pull_local(local: Arc<dyn LocalImages>, reference: String, lines: &Lines) -> Result<String, String> {
    let (sender, receiver) = progress::channel(PullProgress::default());
    let told = tell(receiver, lines);
    let (outcome, ()) = tokio::join!(local.pull(reference, sender), told);
    outcome
}

/// Writes the progress until its sender is gone.
async fn tell(mut progress: progress::Receiver<PullProgress>, lines: &Lines) {
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        lines.send_value(&json!({ "progress": now })).await;
        tokio::time::sleep(TELL).await;
    }
}

async fn pull_through_cri(api: &Api, reference: &str, lines: &Lines) -> Result<String, String> {
    let mut pull = pull_image(&api.handles.cri, reference);
    let mut seconds = 0;
    loop {
        tokio::select! {
            outcome = &mut pull => return outcome,
            () = tokio::time::sleep(STILL) => {
                seconds += STILL.as_secs();
                lines.send_value(&json!({ "pulling": seconds })).await;
            }
        }
    }
}

/// Boxed: inlined into the caller's future, the compiler can no longer see that it may change threads.
fn pull_image(cri: &Cri, reference: &str) -> Answer<'static, String> {
    let request = cri::PullImageRequest { image: Some(spec(reference)), ..Default::default() };
    let mut client = cri.images();
    Box::pin(async move {
        let answer = client.pull_image(request).await;
        answer.map(|answer| answer.into_inner().image_ref).map_err(|status| status.message().to_owned())
    })
}

fn local(api: &Api, what: &str) -> Result<Arc<dyn LocalImages>, Problem> {
    api.handles.config.images.clone().ok_or_else(|| {
        Problem::conflict(format!(
            "this agent uses an external container runtime, which cannot {what} over CRI; use its own tool"
        ))
    })
}

fn spec(reference: &str) -> cri::ImageSpec {
    cri::ImageSpec {
        image: reference.to_owned(),
        user_specified_image: reference.to_owned(),
        ..Default::default()
    }
}
