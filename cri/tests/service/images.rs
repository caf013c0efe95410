use reeve_proto::cri;
use tonic::Code;

use crate::{Bench, busybox, isolated};

fn spec(image: &str) -> Option<cri::ImageSpec> {
    Some(cri::ImageSpec { image: image.to_owned(), ..Default::default() })
}

async fn status(bench: &mut Bench, image: &str) -> cri::ImageStatusResponse {
    let request = cri::ImageStatusRequest { image: spec(image), verbose: true };
    bench.images.image_status(request).await.unwrap().into_inner()
}

#[test]
fn an_image_is_found_by_each_of_its_names() {
    isolated("images::an_image_is_found_by_each_of_its_names", |mut bench| async move {
        let answer = status(&mut bench, busybox::NAME).await;
        assert!(answer.info["info"].contains("FROM_IMAGE"));
        let image = answer.image.unwrap();
        assert_eq!(image.repo_tags, [busybox::NAME]);
        assert_eq!(image.uid.unwrap().value, 0);
        assert!(image.size > 0 && image.id.starts_with("sha256:"));
        let short = &image.id["sha256:".len()..][..12];
        for name in [image.id.as_str(), short] {
            assert_eq!(status(&mut bench, name).await.image.unwrap().id, image.id, "{name}");
        }

        let request =
            cri::ListImagesRequest { filter: Some(cri::ImageFilter { image: spec(busybox::NAME) }) };
        assert_eq!(bench.images.list_images(request).await.unwrap().into_inner().images, [image]);
        let request =
            cri::ListImagesRequest { filter: Some(cri::ImageFilter { image: spec("registry.test/no:1") }) };
        assert!(bench.images.list_images(request).await.unwrap().into_inner().images.is_empty());
    });
}

#[test]
fn an_absent_image_is_no_error() {
    isolated("images::an_absent_image_is_no_error", |mut bench| async move {
        assert_eq!(status(&mut bench, "registry.test/no:1").await, cri::ImageStatusResponse::default());
        let remove = |name: &str| cri::RemoveImageRequest { image: spec(name) };
        bench.images.remove_image(remove("registry.test/no:1")).await.unwrap();
        bench.images.remove_image(remove(busybox::NAME)).await.unwrap();
        assert!(status(&mut bench, busybox::NAME).await.image.is_none());
        let refused = bench.images.remove_image(cri::RemoveImageRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
}

#[test]
fn the_filesystem_of_images_is_that_of_the_root() {
    isolated("images::the_filesystem_of_images_is_that_of_the_root", |mut bench| async move {
        let info = bench.images.image_fs_info(cri::ImageFsInfoRequest {}).await.unwrap().into_inner();
        let images = &info.image_filesystems[0];
        assert_eq!(images.fs_id.as_ref().unwrap().mountpoint, bench.dir.join("root").to_string_lossy());
        assert!(images.used_bytes.unwrap().value > 100_000);
        assert!(images.timestamp > 0);
        assert_eq!(info.container_filesystems.len(), 1);
    });
}

#[test]
fn a_pull_that_cannot_be_says_why() {
    isolated("images::a_pull_that_cannot_be_says_why", |mut bench| async move {
        let pull = |name: &str| cri::PullImageRequest { image: spec(name), ..Default::default() };
        let refused = bench.images.pull_image(pull("Not A Name")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let auth = Some(cri::AuthConfig { auth: "%".to_owned(), ..Default::default() });
        let refused = bench.images.pull_image(cri::PullImageRequest { auth, ..pull(busybox::NAME) }).await;
        assert!(refused.unwrap_err().message().starts_with("auth.auth"));
    });
}
