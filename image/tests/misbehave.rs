//! Registries that break, stall, lie and redirect; disks that are full; pulls that are killed.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::images::{Builder, Packing, TestImage, image};
use common::registry::{Access, Fault, basic, start};
use common::tars::{file, tar};
use common::{assert_empty_soon, open};
use reeve_image::{Auth, Error, Images};

/// Does not compress, so that byte counts of the blob are like those of the content.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(next).collect()
}

fn noisy() -> TestImage {
    image(&[tar(&[file("noise", &noise(600_000))])])
}

fn check_content(images: &Images, pulled: &reeve_image::Image) {
    let layer = images.mount_plan(pulled).unwrap().dirs[0].clone();
    assert!(std::fs::read(layer.join("noise")).unwrap() == noise(600_000));
}

#[tokio::test]
async fn recovers_from_each_passing_fault() {
    for (path, fault, times) in [
        ("/manifests/", Fault::Status(500), 2),
        ("/manifests/", Fault::Hang, 1),
        ("/blobs/", Fault::Status(503), 3),
        ("/blobs/", Fault::Status(429), 2),
        ("/blobs/", Fault::Break(200_000), 3),
        ("/blobs/", Fault::EndEarly(300_000), 1),
        ("/blobs/", Fault::Stall(100_000), 2),
        ("/blobs/", Fault::Hang, 1),
    ] {
        let registry = start(Access::Open).await;
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path()).await;
        let name = registry.push("app", "v1", &noisy());
        registry.fault(path, fault.clone(), times);
        let pulled = images.pull(&name, None, None).await;
        check_content(&images, &pulled.unwrap_or_else(|error| panic!("{fault:?}: {error}")));
    }
}

#[tokio::test]
async fn resumes_where_a_download_broke() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = noisy();
    let name = registry.push("app", "v1", &built);
    let layer = built.layer_digest(0).to_string();
    registry.fault(&layer, Fault::Break(200_000), 1);
    check_content(&images, &images.pull(&name, None, None).await.unwrap());
    let ranges: Vec<_> = registry
        .seen()
        .into_iter()
        .filter(|seen| seen.path.contains(&layer))
        .map(|seen| seen.range)
        .collect();
    assert_eq!(ranges.len(), 2);
    assert!(ranges[1].as_ref().unwrap().starts_with("bytes="), "{ranges:?}");
    assert_ne!(ranges[1].as_deref(), Some("bytes=0-"));

    // A server without ranges sends all again; what is here already is passed over.
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    registry.fault(&layer, Fault::Break(200_000), 1);
    registry.fault(&layer, Fault::IgnoreRange, 1);
    check_content(&images, &images.pull(&name, None, None).await.unwrap());
}

#[tokio::test]
async fn heeds_retry_after() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let mut config = common::config(root.path());
    config.retry.max_delay = Duration::from_secs(5);
    let images = Images::open(config).await.unwrap();
    let name = registry.push("app", "v1", &noisy());
    registry.fault("/manifests/", Fault::RetryAfter(429, 1), 1);
    let begun = Instant::now();
    images.pull(&name, None, None).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn gives_up_with_an_error_that_names_all() {
    for (path, fault, words) in [
        ("/manifests/", Fault::Status(500), vec!["manifest of", "answers 500", "as told"]),
        ("/blobs/", Fault::Status(404), vec!["not found"]),
        ("/blobs/", Fault::Status(403), vec!["access denied", "403"]),
        ("/blobs/", Fault::EndEarly(0), vec!["truncated", "expected", "got 0"]),
        ("/blobs/", Fault::Stall(0), vec!["stalls", "0.4 s"]),
        ("/blobs/", Fault::Corrupt, vec!["wrong digest", "expected sha256:", "actual sha256:"]),
        ("/blobs/", Fault::TooLong, vec!["longer than"]),
        ("/manifests/", Fault::Redirect("ftp://elsewhere.test/".into()), vec!["redirect"]),
        ("/manifests/", Fault::Redirect("/v2/loop".into()), vec!["manifest of"]),
    ] {
        let registry = start(Access::Open).await;
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path()).await;
        let built = noisy();
        let name = registry.push("team/app", "v1", &built);
        // The configuration comes well, so that the layer is what fails.
        let layer = built.layer_digest(0).to_string();
        let path = if path == "/blobs/" { layer.as_str() } else { path };
        registry.fault(path, fault.clone(), 1000);
        let error = images.pull(&name, None, None).await.unwrap_err().to_string();
        for word in words.iter().copied().chain([name.as_str(), &registry.address.to_string()]) {
            assert!(error.contains(word), "{fault:?}: {error}: {word}");
        }
        if path == layer {
            assert!(error.contains(&layer), "{error}");
        }
        assert!(images.list().is_empty());
        assert_empty_soon(&images, root.path()).await;
    }
}

#[tokio::test]
async fn a_wrong_configuration_or_manifest_is_not_believed() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = noisy();
    let name = registry.push("app", "v1", &built);
    registry.fault(&built.id().to_string(), Fault::Corrupt, 1);
    let error = images.pull(&name, None, None).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    registry.fault("/manifests/", Fault::Corrupt, 1);
    let by_digest = registry.name(&format!("app@{}", built.digest()));
    let error = images.pull(&by_digest, None, None).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    images.pull(&name, None, None).await.unwrap();
}

#[tokio::test]
async fn unpacked_content_must_be_what_the_configuration_says() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let other = reeve_image::Digest::of(b"other");
    let mut builder = Builder::new(vec![(tar(&[file("a", b"a")]), Packing::Zstd)]);
    builder.config_patch = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": [other.to_string()]}});
    let name = registry.push("app", "v1", &builder.build());
    let error = images.pull(&name, None, None).await.unwrap_err();
    assert!(matches!(&error, Error::WrongDiffId { expected, .. } if *expected == other), "{error}");
    assert_empty_soon(&images, root.path()).await;
}

#[tokio::test]
async fn unknown_media_types_are_named() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let mut builder = Builder::new(vec![(tar(&[]), Packing::Plain)]);
    builder.layer_media_type = Some("application/vnd.oci.image.layer.v1.tar+encrypted".into());
    let built = builder.build();
    let name = registry.push("app", "v1", &built);
    let error = images.pull(&name, None, None).await.unwrap_err().to_string();
    assert!(error.contains("unknown media type") && error.contains("+encrypted"), "{error}");
    assert!(error.contains(&built.layer_digest(0).to_string()), "{error}");
    for (media_type, body) in [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion": 1}"#),
        ("text/html", "<html>"),
        ("application/vnd.oci.image.manifest.v1+json", r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#),
    ] {
        registry.manifest("app", "odd", media_type, body.as_bytes());
        let error = images.pull(&registry.name("app:odd"), None, None).await.unwrap_err();
        assert!(matches!(error, Error::UnknownMediaType { .. } | Error::InvalidDocument { .. }), "{error}");
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let registry = start(Access::Basic("user".into(), "secret".into())).await;
    let storage = start(Access::Open).await;
    let built = noisy();
    let name = registry.push("app", "v1", &built);
    storage.push("app", "v1", &built);
    let layer = built.layer_digest(0).to_string();
    let target = format!("http://{}/v2/app/blobs/{layer}?signature=abc", storage.address);
    registry.fault(&layer, Fault::Redirect(target), 1);
    let root = tempfile::tempdir().unwrap();
    let certs = root.path().join("certs.d").join(registry.address.to_string());
    std::fs::create_dir_all(&certs).unwrap();
    let hosts =
        format!("[host.\"http://{0}\"]\n[host.\"http://{0}\".header]\nx-secret = \"s\"\n", registry.address);
    std::fs::write(certs.join("hosts.toml"), hosts).unwrap();
    let images = open(root.path()).await;
    check_content(&images, &images.pull(&name, Some(Auth::basic("user", "secret")), None).await.unwrap());
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].authorization, None);
    assert!(!seen[0].headers.contains_key("x-secret"));
    let own = registry.seen();
    assert!(own.iter().any(|seen| seen.authorization == Some(basic("user", "secret"))));
    assert!(own.iter().all(|seen| seen.headers.contains_key("x-secret")));
}

#[tokio::test]
async fn mirrors_are_tried_in_order_and_see_no_credentials() {
    let upstream = start(Access::Basic("user".into(), "secret".into())).await;
    let (broken, mirror) = (start(Access::Open).await, start(Access::Open).await);
    let built = noisy();
    upstream.push("app", "v1", &built);
    mirror.push("app", "v1", &built);
    broken.push("app", "v1", &built);
    broken.fault("/blobs/", Fault::Corrupt, 1000);
    let root = tempfile::tempdir().unwrap();
    let certs = root.path().join("certs.d/registry.test");
    std::fs::create_dir_all(&certs).unwrap();
    let hosts = format!(
        "server = \"http://{}\"\n[host.\"http://127.0.0.1:1\"]\n[host.\"http://{}\"]\n[host.\"http://{}\"]\n",
        upstream.address, broken.address, mirror.address
    );
    std::fs::write(certs.join("hosts.toml"), hosts).unwrap();
    let images = open(root.path()).await;
    let auth = Some(Auth::basic("user", "secret"));
    let pulled = images.pull("registry.test/app:v1", auth.clone(), None).await.unwrap();
    check_content(&images, &pulled);
    assert_eq!(pulled.repo_tags, ["registry.test/app:v1"]);
    assert!(broken.count("/blobs/") > 0 && mirror.count("/blobs/") > 0);
    assert!(upstream.seen().is_empty());
    for seen in broken.seen().iter().chain(&mirror.seen()) {
        assert_eq!(seen.authorization, None);
        assert_eq!(seen.query, "ns=registry.test");
    }
    // What no mirror has comes from the registry itself, with the credentials that are for it.
    upstream.push("app", "v2", &image(&[tar(&[file("v2", b"2")])]));
    images.pull("registry.test/app:v2", auth, None).await.unwrap();
}

#[tokio::test]
async fn a_dropped_pull_leaves_nothing() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = noisy();
    let name = registry.push("app", "v1", &built);
    registry.fault(&built.layer_digest(0).to_string(), Fault::Slow(Duration::from_millis(20)), 1);
    let pull = tokio::time::timeout(Duration::from_millis(300), images.pull(&name, None, None)).await;
    assert!(pull.is_err());
    assert_empty_soon(&images, root.path()).await;
    // And does not stand in the way of the next.
    check_content(&images, &images.pull(&name, None, None).await.unwrap());
}

#[tokio::test]
async fn one_caller_going_away_does_not_stop_the_others() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = noisy();
    let name = registry.push("app", "v1", &built);
    registry.fault(&built.layer_digest(0).to_string(), Fault::Slow(Duration::from_millis(2)), 1);
    let (first, second) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(100), images.pull(&name, None, None)),
        images.pull(&name, None, None),
    );
    assert!(first.is_err());
    check_content(&images, &second.unwrap());
    assert_eq!(registry.count(&built.layer_digest(0).to_string()), 1);
}

#[tokio::test]
async fn garbage_collection_leaves_a_running_pull_alone() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[tar(&[file("first", b"1")]), tar(&[file("noise", &noise(600_000))])]);
    let name = registry.push("app", "v1", &built);
    registry.fault(&built.layer_digest(1).to_string(), Fault::Slow(Duration::from_millis(3)), 1);
    let pull = tokio::spawn({
        let (images, name) = (images.clone(), name.clone());
        async move { images.pull(&name, None, None).await }
    });
    while !pull.is_finished() {
        images.collect_garbage(&[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    check_content(&images, &pull.await.unwrap().unwrap());
    assert_eq!(registry.count(&built.layer_digest(0).to_string()), 1);
}
