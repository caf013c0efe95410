//! Images: through CRI, and through the store of the embedding program.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, StatusCode};
use reeve_proto::cri;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::fake::Fake;
use crate::images::{Answer, ArchiveFormat, LocalImages, PullProgress};

/// A store that answers at once.
struct Store;

impl LocalImages for Store {
    fn import(&self, path: PathBuf) -> Answer<'_, Vec<String>> {
        Box::pin(async move { Ok(vec![format!("from {}", path.display())]) })
    }

    fn export(&self, references: Vec<String>, format: ArchiveFormat, out: PathBuf) -> Answer<'_, ()> {
        let text = format!("{references:?} {format:?} {}", out.display());
        Box::pin(async move { if references.len() == 2 { Ok(()) } else { Err(text) } })
    }

    fn pull(&self, reference: String, progress: watch::Sender<PullProgress>) -> Answer<'_, String> {
        Box::pin(async move {
            progress.send_replace(PullProgress { layers: 1, ready: 0, size: 10, downloaded: 5 });
            match &reference[..] {
                "good" => Ok("sha256:ab".into()),
                _ => Err("no such image".into()),
            }
        })
    }
}

/// The JSON lines of a pull.
async fn pull(fake: &Fake, reference: &str) -> Vec<Value> {
    let (status, text) = fake.text(Method::POST, &format!("/images/pull?ref={reference}")).await;
    assert_eq!(status, StatusCode::OK);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn lists_and_removes_through_cri() {
    let fake = Fake::start().await;
    let image = cri::Image {
        id: "sha256:ab".into(),
        repo_tags: vec!["registry.test/web:1".into()],
        size: 42,
        ..Default::default()
    };
    fake.answers("ListImages", cri::ListImagesResponse { images: vec![image.clone()] });
    let list = fake.json(Method::GET, "/images").await;
    assert_eq!(
        (&list["items"][0]["repoTags"][0], &list["items"][0]["size"]),
        (&json!("registry.test/web:1"), &json!(42))
    );
    fake.answers("ImageStatus", cri::ImageStatusResponse::default());
    assert_eq!(fake.text(Method::DELETE, "/images?ref=web").await.0, StatusCode::NOT_FOUND);
    fake.answers("ImageStatus", cri::ImageStatusResponse { image: Some(image), ..Default::default() });
    fake.answers("RemoveImage", cri::RemoveImageResponse {});
    assert_eq!(fake.json(Method::DELETE, "/images?ref=web").await["removed"], "web");
}

#[tokio::test]
async fn pulls_through_cri() {
    let fake = Fake::start().await;
    fake.answers("PullImage", cri::PullImageResponse { image_ref: "sha256:cd".into() });
    assert_eq!(pull(&fake, "x").await, [json!({"id": "sha256:cd"})]);
    fake.fails("PullImage", tonic::Status::not_found("manifest unknown"));
    assert_eq!(pull(&fake, "x").await, [json!({"error": "manifest unknown"})]);
    let (status, text) = fake.text(Method::POST, "/images/import?path=/x").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text.contains("external container runtime"), "{text}");
}

#[tokio::test]
async fn pulls_imports_and_exports_with_the_store() {
    let fake = Fake::with(|config| config.images = Some(Arc::new(Store))).await;
    let lines = pull(&fake, "good").await;
    assert_eq!(lines[0]["progress"]["downloaded"], 5);
    assert_eq!(lines[1], json!({"id": "sha256:ab"}));
    assert_eq!(pull(&fake, "bad").await.last(), Some(&json!({"error": "no such image"})));
    let imported = fake.json(Method::POST, "/images/import?path=/a%20b.tar").await;
    assert_eq!(imported["images"], json!(["from /a b.tar"]));
    fake.json(Method::POST, "/images/export?ref=a&ref=b&path=/o.tar&format=docker-tar").await;
    let (status, text) = fake.text(Method::POST, "/images/export?ref=a&path=/o.tar").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("OciTar /o.tar"), "{text}");
    assert_eq!(fake.text(Method::POST, "/images/export?ref=a").await.0, StatusCode::BAD_REQUEST);
    let wrong = fake.text(Method::POST, "/images/export?ref=a&path=/o&format=zip").await;
    assert!(wrong.1.contains("oci-tar, oci-dir, docker-tar"), "{wrong:?}");
}
